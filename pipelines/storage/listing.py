"""What is there: asking file systems for names and sizes. The client's memory of listings never answers; see pipelines.storage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipelines.storage.errors import reading
from pipelines.storage.options import protocol_of
from pipelines.storage.systems import file_system

ASKERS = 16
"""Threads that wait for a store's answers about single objects."""


def join(base: str, *names: str) -> str:
    """A path below `base`, which may be a URL."""
    return "/".join([base.rstrip("/"), *names])


def is_local(path: str) -> bool:
    """Whether it is on a disk of this machine, or mounted as one. Opens nothing."""
    return not protocol_of(path)


def absolute(path: str) -> str:
    """A path of this machine from its root, since workers may run in another folder; URLs, and nothing, as they are."""
    return os.path.abspath(path) if path and "://" not in path and "::" not in path else path


def exists(path: str) -> bool:
    """Whether a file or folder is there. A store is asked for it by name, and only if it is no file, for anything below it."""
    with reading(path):
        fs, name = file_system(path)
        try:
            fs.info(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def names_in(folder: str) -> list[str]:
    """Sorted names of the files and folders directly in `folder`; none if it does not exist or is a file."""
    with reading(folder):
        fs, root = file_system(folder)
        try:
            found = [name.rstrip("/") for name in fs.ls(root, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(os.path.basename(name) for name in found if name != root.rstrip("/"))


def files_below(folder: str) -> list[str]:
    """Sorted paths, relative to `folder`, of all files below it."""
    return sorted(sizes_below(folder))


def sizes_below(folder: str) -> dict[str, int]:
    """Bytes of all files below `folder` by their path relative to it; none if it does not exist. A store lists 1,000 a request."""
    with reading(folder):
        fs, root = file_system(folder)
        try:
            found = fs.find(root, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
    below = f"{root.rstrip('/')}/"
    files = {name: info for name, info in found.items() if name.startswith(below) and info["type"] != "directory"}
    return {name[len(below) :]: int(info["size"] or 0) for name, info in files.items() if not name.endswith("/")}


def sizes_of(paths: Sequence[str]) -> dict[str, int]:
    """Bytes of those of the files that are there, each asked for by name: true even where a store's listing is old."""

    def size(path: str) -> int | None:
        with reading(path):
            fs, name = file_system(path)
            try:
                info = fs.info(name)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return None if info["type"] == "directory" else int(info["size"] or 0)

    with ThreadPoolExecutor(ASKERS) as askers:
        return {path: found for path, found in zip(paths, askers.map(size, paths), strict=True) if found is not None}

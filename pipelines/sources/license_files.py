"""The licence files of a source tree, each looked at once."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipelines.sources.base import Input
from pipelines.sources.inputs import TRANSIENT, open_input
from pipelines.sources.licenses import Licenses, is_license_file, recognize
from pipelines.sources.stores import READING, ask, exists, is_store, located

_LONGEST = 256 * 1024
"""Bytes of a licence file that are looked at; GPL-3.0, among the longest, has 35 KB."""


class LicenseFiles:
    """Answers which licence files govern an input, whose label is its path below the tree's root."""

    def __init__(self) -> None:
        self._by_folder: dict[tuple[str, PurePosixPath], Licenses] = {}

    def nearest(self, each: Input) -> Licenses:
        """Licences of the nearest folder, from the file's own up to the root, that holds licence files; all of them must hold."""
        root = each.path.removesuffix(each.label)
        for folder in PurePosixPath(each.label).parents:
            if (root, folder) not in self._by_folder:
                self._by_folder[root, folder] = _licenses_in(root, folder)
            if self._by_folder[root, folder].expressions:
                return self._by_folder[root, folder]
        return Licenses((), "")


def _licenses_in(root: str, folder: PurePosixPath) -> Licenses:
    labels = sorted(folder / name for name in _files_in(f"{root}{folder}".removesuffix("/.")) if is_license_file(name))
    expressions = tuple(dict.fromkeys(_recognize(f"{root}{label}") for label in labels))
    return Licenses(expressions, f"licence file {', '.join(str(label) for label in labels)}")


def _files_in(path: str) -> list[str]:
    """Names of the plain files of a folder; none where a local folder cannot be listed."""
    fs, folder = located(path)
    if is_store(fs) and not exists(fs, folder, path, READING):
        return []
    try:
        found = ask(fs, path, lambda: fs.ls(folder, detail=True))
    except TRANSIENT:
        raise
    except OSError:
        return []
    return [PurePosixPath(info["name"]).name for info in found if info["type"] == "file" and not info.get("islink")]


def _recognize(path: str) -> str:
    with open_input(path) as file:
        return recognize(file.read(_LONGEST))

"""What is installed in the running Python: the standard library and the distributions, their files and licences."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from pipelines.sources.distribution_licenses import licenses_of
from pipelines.sources.inputs import escaped
from pipelines.sources.licenses import Licenses, is_license_file

_STDLIB_LICENSE = Licenses(("Python-2.0.1",), "licence of CPython")
"""The whole stack of licences that CPython is under; PSF-2.0 names only the first of them. Source: SPDX License List."""

_OWN_NAME = "spanmill"
"""This project is left out, so that its corpus is the same whether it is installed or run from a checkout."""

_NOT_STDLIB = frozenset({"site-packages", "dist-packages", "__pycache__"})

_BUNDLED = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "third_party", "_third_party", "extern", "_extern", "externals"}
)
"""Folders of other people's code, which a distribution's own licence does not cover."""


class Installed(NamedTuple):
    """One distribution, or the standard library."""

    repo: str
    """Name and version: "numpy-2.4.6"."""
    root: Path
    """Folder that its paths are relative to."""
    files: tuple[str, ...]
    """Its own regular files; other people's code in it is left out."""
    licenses: Licenses


@cache
def installed() -> dict[str, Installed]:
    """All that is installed, by repo. About 2 s for 130 distributions; once a process."""
    found = [_standard_library(), *_distributions()]
    return {each.repo: each for each in sorted(found, key=lambda each: each.repo)}


@cache
def labels() -> dict[str, str]:
    """Label, "REPO/PATH", of each installed file by its absolute path."""
    return {str(each.root / file): escaped(f"{each.repo}/{file}") for each in installed().values() for file in each.files}


def _standard_library() -> Installed:
    root = Path(sysconfig.get_path("stdlib"))
    files = tuple(sorted(_walk(root)))
    return Installed(f"cpython-{platform.python_version()}", root, files, _STDLIB_LICENSE)


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_STDLIB and name not in _BUNDLED]
        below = Path(folder).relative_to(root)
        yield from ((below / name).as_posix() for name in files if os.path.isfile(os.path.join(folder, name)))


def _distributions() -> Iterator[Installed]:
    seen: set[str] = set()
    for root in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        for each in distributions(path=[root]):
            metadata = each.metadata
            repo = f"{metadata['Name']}-{metadata['Version']}"
            if repo not in seen and metadata["Name"].lower() != _OWN_NAME:
                seen.add(repo)
                files = [path.as_posix() for path in each.files or () if os.path.isfile(os.path.join(root, path))]
                licenses = licenses_of(metadata, _license_texts(Path(root), files))
                yield Installed(repo, Path(root), tuple(sorted(filter(_is_own, files))), licenses)


def _is_own(path: str) -> bool:
    """Whether a path of the record lies in the environment's folder and is not somebody else's."""
    steps = path.split("/")
    return ".." not in steps and not path.startswith("/") and _BUNDLED.isdisjoint(steps)


def _license_texts(root: Path, files: Sequence[str]) -> Iterator[bytes]:
    """Licence files beside the metadata, read when asked for."""
    for path in files:
        folder, _, name = path.rpartition("/")
        if folder.split("/")[0].endswith((".dist-info", ".egg-info")) and is_license_file(name) and (root / path).is_file():
            yield (root / path).read_bytes()

"""What is installed in the running Python: the standard library and the distributions, their files and licences."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipelines.sources.distribution_licenses import licenses_of
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
    """Its own files; other people's code in it is left out."""
    licenses: Licenses


@cache
def installed() -> dict[str, Installed]:
    """All that is installed, by repo. About 2 s for 130 distributions; once a process."""
    found = [_standard_library(), *_distributions()]
    return {each.repo: each for each in sorted(found, key=lambda each: each.repo)}


@cache
def labels() -> dict[str, str]:
    """Label, "REPO/PATH", of each installed file by its absolute path."""
    return {str(each.root / file): f"{each.repo}/{file}" for each in installed().values() for file in each.files}


def _standard_library() -> Installed:
    root = Path(sysconfig.get_path("stdlib"))
    files = tuple(sorted(_walk(root)))
    return Installed(f"cpython-{platform.python_version()}", root, files, _STDLIB_LICENSE)


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _NOT_STDLIB and name not in _BUNDLED]
        below = Path(folder).relative_to(root)
        yield from ((below / name).as_posix() for name in files)


def _distributions() -> Iterator[Installed]:
    roots = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    seen: set[str] = set()
    for root in roots:
        for each in distributions(path=[root]):
            repo = f"{each.name}-{each.version}"
            if repo not in seen and each.name.lower() != _OWN_NAME:
                seen.add(repo)
                yield Installed(repo, Path(root), tuple(sorted(_own_files(each))), _licenses(each))


def _own_files(each: Distribution) -> Iterator[str]:
    """Paths from its record that lie in the environment's folder and are its own."""
    for path in each.files or ():
        steps = path.parts
        if ".." not in steps and not path.is_absolute() and not _BUNDLED.intersection(steps):
            yield path.as_posix()


def _licenses(each: Distribution) -> Licenses:
    paths = [Path(str(path.locate())) for path in each.files or () if is_license_file(path.name) and _is_info(path)]
    return licenses_of(each.metadata, [path.read_bytes() for path in paths if path.is_file()])


def _is_info(path: PurePosixPath) -> bool:
    return path.parts[0].endswith((".dist-info", ".egg-info"))

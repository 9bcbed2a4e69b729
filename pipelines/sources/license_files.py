"""The licence files of a source tree, each looked at once."""

from __future__ import annotations

from pathlib import PurePosixPath

from fsspec.core import url_to_fs

from pipelines.sources.inputs import TRANSIENT
from pipelines.sources.licenses import Licenses, is_license_file, recognize

_LONGEST = 256 * 1024
"""Bytes of a licence file that are looked at; GPL-3.0, among the longest, has 35 KB."""


class LicenseFiles:
    """Answers which licence files govern a path."""

    def __init__(self, root: str) -> None:
        self._fs, path = url_to_fs(root)
        self._root = path.rstrip("/")
        self._by_folder: dict[PurePosixPath, Licenses] = {}

    def nearest(self, label: str) -> Licenses:
        """Licences of the nearest folder, from the file's own up to the root, that holds licence files; all of them must hold."""
        for folder in PurePosixPath(label).parents:
            if folder not in self._by_folder:
                self._by_folder[folder] = self._in(folder)
            if self._by_folder[folder].expressions:
                return self._by_folder[folder]
        return Licenses((), "")

    def _in(self, folder: PurePosixPath) -> Licenses:
        try:
            found = self._fs.ls(f"{self._root}/{folder}", detail=True)
        except TRANSIENT:
            raise
        except OSError:
            return Licenses((), "")
        names = sorted(PurePosixPath(info["name"]).name for info in found if info["type"] == "file" and not info.get("islink"))
        names = [name for name in names if is_license_file(name)]
        expressions = tuple(dict.fromkeys(self._recognize(folder / name) for name in names))
        return Licenses(expressions, f"licence file {', '.join(str(folder / name) for name in names)}")

    def _recognize(self, label: PurePosixPath) -> str:
        with self._fs.open(f"{self._root}/{label}", "rb") as file:
            return recognize(file.read(_LONGEST))

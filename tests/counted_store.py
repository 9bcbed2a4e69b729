"""A store of local files that counts what is asked of it: `counted:///PATH`."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem


class CountedStore(AbstractFileSystem):
    """Reads files, and keeps in mind the bytes of each request, by the file's path on the disk."""

    protocol = "counted"
    asked: ClassVar[dict[str, list[int]]] = {}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        name = str(self._strip_protocol(path))
        return {"name": name, "size": os.path.getsize(name), "type": "directory" if os.path.isdir(name) else "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        found = [self.info(f"{self._strip_protocol(path)}/{name}") for name in sorted(os.listdir(self._strip_protocol(path)))]
        return found if detail else [each["name"] for each in found]

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **options: Any) -> AbstractBufferedFile:
        return _CountedFile(self, path, mode, block_size or self.blocksize, **options)


class _CountedFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        CountedStore.asked.setdefault(self.path, []).append(end - start)
        with open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start)


fsspec.register_implementation("counted", CountedStore, clobber=True)

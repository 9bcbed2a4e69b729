"""File systems that are neither a disk nor a store: files are written under another name and renamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from contracts.errors import OutputError
from pipelines import storage
from pipelines.storage import TEMPORARY, read_bytes, write_bytes, write_file


class Renaming(MemoryFileSystem):
    """Shows files as they grow, and renames as its `manner` says."""

    protocol = "renaming"
    root_marker = "/"
    store: dict[str, Any] = {}  # noqa: RUF012  as its base has it
    pseudo_dirs = [""]  # noqa: RUF012
    manner = "replaces"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("renaming://")))

    def mv(self, path1: str, path2: str, **_: object) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.manner == "denies":
            raise PermissionError(13, "Permission denied")
        if self.manner == "breaks":
            raise ConnectionResetError("Connection reset by peer")
        if target in self.store and self.manner == "raises":  # as HDFS and Samba
            raise FileExistsError(target)
        if target in self.store and self.manner == "keeps":  # as WebHDFS: without a word
            return
        self.store[target] = self.store.pop(source)


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    fsspec.register_implementation("renaming", Renaming, clobber=True)
    yield "renaming://run"
    Renaming.store.clear()
    Renaming.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("manner", ["replaces", "raises", "keeps"])
def test_the_last_writer_counts_whatever_renaming_does(base: str, manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Renaming, "manner", manner)
    path = f"{base}/a/x"
    for content in (b"first", b"second"):
        write_bytes(path, content)
        assert read_bytes(path) == content
        assert storage.files_below(base) == ["a/x"]


def test_what_is_not_finished_can_be_told_by_its_name(base: str) -> None:
    seen: list[str] = []

    def write(file: Any) -> None:
        file.write(b"half")
        seen.extend(storage.names_in(base))
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_file(f"{base}/x", write)
    assert [name.partition(TEMPORARY)[0] for name in seen] == ["x"]
    assert seen != ["x"]
    assert storage.files_below(base) == [], "it is gone"


@pytest.mark.parametrize("manner", ["denies", "breaks"])
def test_a_finished_file_stays_where_renaming_fails(base: str, manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(f"{base}/x", b"finished")
    monkeypatch.setattr(Renaming, "manner", manner)
    with pytest.raises(OutputError, match=r"Cannot write renaming://run/x"):
        write_bytes(f"{base}/x", b"finished")
    assert storage.files_below(base) == ["x"]
    assert read_bytes(f"{base}/x") == b"finished"

"""What the survey saw is read as it was, or the run stops; what it could not open is quarantined with its cause."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from source_reading import Found, gathered, plan, read_part, write_code

from contracts.errors import InputError
from pipelines.sources import installed, surveyed
from pipelines.sources.base import Part, Source
from pipelines.sources.inputs import survey_file
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.licenses import Licenses
from pipelines.sources.starcoderdata import StarCoderDataSettings
from pipelines.sources.tree import TreeSettings

LINE = json.dumps({"text": "some text"}).encode() + b"\n"


def tree(root: Path) -> tuple[Source, Path]:
    (root / "a.py").write_bytes(b"print(1)\n")
    return TreeSettings(name="s", path=str(root)).open(), root / "a.py"


def plain(root: Path) -> tuple[Source, Path]:
    (root / "a.jsonl").write_bytes(LINE * 50)
    return JsonlSettings(name="s", path=str(root)).open(), root / "a.jsonl"


def packed(root: Path) -> tuple[Source, Path]:
    (root / "a.jsonl.gz").write_bytes(gzip.compress(LINE * 50, mtime=0))
    return JsonlSettings(name="s", path=str(root)).open(), root / "a.jsonl.gz"


def parquet(root: Path) -> tuple[Source, Path]:
    path = write_code(root / "python" / "a.parquet", ["x" * 300] * 50, group=10)
    return StarCoderDataSettings(name="s", path=str(root)).open(), path


KINDS = pytest.mark.parametrize("kind", [tree, plain, packed, parquet])
Kind = Callable[[Path], tuple[Source, Path]]


def read(source: Source, parts: list[Part]) -> Found:
    return gathered([read_part(source, part) for part in parts])


class Failing(io.FileIO):
    """A file on a disk that fails `after` so many bytes, as a real one does."""

    def __init__(self, path: str, error: OSError, after: int) -> None:
        super().__init__(path)
        self._error, self._after = error, after

    def read(self, size: int | None = -1, /) -> bytes:
        end = os.fstat(self.fileno()).st_size if size is None or size < 0 else self.tell() + size
        if end > self._after:
            raise self._error
        return super().read(size)


@KINDS
def test_a_file_that_goes_away_stops_the_run_until_it_is_back(tmp_path: Path, kind: Kind) -> None:
    source, path = kind(tmp_path)
    parts = plan(source)
    whole = read(source, parts)
    path.rename(tmp_path / "aside")
    with pytest.raises(
        InputError, match=rf"{path}.* cannot be read: FileNotFoundError: No such file .* restore it and run the same"
    ):
        read(source, parts)
    (tmp_path / "aside").rename(path)
    assert read(source, parts).documents.equals(whole.documents)
    assert whole.lost.num_rows == 0


@KINDS
@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("after", [-1, 4], ids=["opening", "reading"])
def test_a_failing_disk_stops_the_run(tmp_path: Path, kind: Kind, code: int, after: int, monkeypatch: Any) -> None:
    source, path = kind(tmp_path)
    parts = plan(source)
    error = OSError(code, os.strerror(code))

    def opened(name: str) -> Failing:
        if after < 0:
            raise error
        return Failing(name, error, after)

    monkeypatch.setattr(surveyed, "open_input", opened)
    with pytest.raises(InputError, match=rf"{path}.* cannot be read: {type(error).__name__}: {os.strerror(code)}\. It was there"):
        read(source, parts)


@KINDS
@pytest.mark.parametrize("error", [ConnectionResetError("peer"), TimeoutError("slow")])
def test_a_failing_network_stays_one_for_the_runner_to_retry(tmp_path: Path, kind: Kind, error: OSError, monkeypatch: Any) -> None:
    source, _ = kind(tmp_path)
    parts = plan(source)
    monkeypatch.setattr(surveyed, "open_input", lambda name: Failing(name, error, 4))
    with pytest.raises(type(error)):
        read(source, parts)


@KINDS
def test_a_file_of_another_size_stops_the_run(tmp_path: Path, kind: Kind) -> None:
    source, path = kind(tmp_path)
    parts = plan(source)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match=rf"{path}.* changed while the run was reading it: {size} bytes became {size + 1} "):
        read(source, parts)


@KINDS
def test_other_bytes_of_the_same_size_stop_the_run(tmp_path: Path, kind: Kind) -> None:
    """Parquet is not read in order: it is digested again only where it proves damaged."""
    source, path = kind(tmp_path)
    parts = plan(source)
    stored = bytearray(path.read_bytes())
    if kind is parquet:
        stored[4:60] = b"\xff" * 56
    else:
        stored[5] ^= 1
    path.write_bytes(bytes(stored))
    with pytest.raises(InputError, match=rf"{path}.* changed while the run was reading it: digest "):
        read(source, parts)


@KINDS
def test_a_file_that_the_survey_could_not_open_is_one_quarantined_row(tmp_path: Path, kind: Kind, monkeypatch: Any) -> None:
    source, path = kind(tmp_path)

    def forbidden(name: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr("pipelines.sources.inputs.open_input", forbidden)
    parts = plan(source)
    monkeypatch.undo()
    assert [each.unreadable for part in parts for each in part.inputs] == [
        "the file cannot be read: PermissionError: Permission denied"
    ]
    found = read(source, parts)
    assert (found.documents.num_rows, found.checks()) == (0, ["open"])
    assert found.reasons() == [parts[0].inputs[0].unreadable]
    assert path.name not in found.reasons()[0]


def test_the_survey_tells_apart_nothing_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert survey_file(str(tmp_path / "empty")).unreadable == ""
    assert (
        survey_file(str(tmp_path / "missing")).unreadable == "the file cannot be read: FileNotFoundError: No such file or directory"
    )


@pytest.fixture
def odd_name() -> str:
    """As file systems give it for Latin-1 bytes."""
    return os.fsdecode(b"caf\xe9")


@KINDS
def test_a_name_that_is_not_utf8_costs_its_file_only(tmp_path: Path, kind: Kind, odd_name: str) -> None:
    source, path = kind(tmp_path)
    whole = read(source, plan(source))
    suffixes = "".join(path.suffixes)
    (path.parent / f"{odd_name}{suffixes}").write_bytes(path.read_bytes())
    parts = plan(source)
    found = read(source, parts)
    assert found.documents.equals(whole.documents)
    assert found.checks() == ["open"]
    assert found.reasons() == [rf"the file's name is not valid UTF-8: 'caf\udce9{suffixes}'; rename the file"]
    for part in parts:
        for each in part.inputs:
            (each.path + each.label).encode()


def test_a_folder_that_is_not_utf8_is_escaped_from_there_on(tmp_path: Path, odd_name: str) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_code(tmp_path / "named" / name, ["x"])
    (tmp_path / "named").rename(tmp_path / odd_name)
    write_code(tmp_path / "python" / "a.parquet", ["fine"])
    source = StarCoderDataSettings(name="s", path=str(tmp_path), max_bytes=10**6).open()
    found = read(source, plan(source))
    assert found.texts() == ["fine"]
    assert sorted(found.reasons()) == [
        rf"the file's name is not valid UTF-8: 'caf\udce9/{name}.parquet'; rename the file" for name in "ab"
    ]
    assert set(found.lost["language"].to_pylist()) == {r"caf\udce9"}


@pytest.mark.parametrize("settings", [TreeSettings, JsonlSettings])
def test_a_configured_path_that_is_not_utf8_is_refused(tmp_path: Path, odd_name: str, settings: Any) -> None:
    (tmp_path / odd_name).mkdir()
    (tmp_path / odd_name / "a.py").write_bytes(b"x")
    (tmp_path / odd_name / "a.jsonl").write_bytes(LINE)
    source = settings.model_construct(name="s", path=str(tmp_path / odd_name)).open()
    with pytest.raises(InputError, match=r"caf\\udce9' is not valid UTF-8: rename it"):
        source.list_inputs()


@KINDS
def test_pipes_and_sockets_are_no_inputs(tmp_path: Path, kind: Kind) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    source, path = kind(tmp_path)
    os.mkfifo(path.parent / f"pipe{''.join(path.suffixes)}")
    (path.parent / f"link{''.join(path.suffixes)}").symlink_to(path.parent / f"pipe{''.join(path.suffixes)}")
    assert source.list_inputs() == [str(path)]


def test_a_pipe_is_refused_as_the_configured_path_and_in_a_glob(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    for path in (tmp_path / "a.jsonl", tmp_path / "*.jsonl"):
        with pytest.raises(InputError, match="There is no input"):
            JsonlSettings(name="s", path=str(path)).open().list_inputs()


@pytest.mark.parametrize("pattern", ["", "*.jsonl"])
def test_links_to_files_are_inputs_and_dangling_ones_are_told_of(tmp_path: Path, pattern: str) -> None:
    """Caches of data sets are folders of links."""
    (tmp_path / "blob").write_bytes(LINE)
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "blob")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone")
    source = JsonlSettings(name="s", path=str(tmp_path / pattern)).open()
    found = read(source, plan(source))
    assert (found.texts(), found.checks()) == (["some text"], ["open"])
    assert "FileNotFoundError" in found.reasons()[0]


def test_only_regular_files_of_the_environment_are_listed(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a.py").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.py")
    monkeypatch.setattr(installed.sysconfig, "get_path", lambda name: str(tmp_path))
    assert installed._standard_library().files == ("a.py",)


def test_labels_of_the_environment_are_always_text(tmp_path: Path, odd_name: str, monkeypatch: Any) -> None:
    found = installed.Installed("r-1", tmp_path, (f"{odd_name}.py",), Licenses((), ""))
    monkeypatch.setattr(installed, "installed", lambda: {"r-1": found})
    assert installed.labels.__wrapped__() == {f"{tmp_path}/{odd_name}.py": r"r-1/caf\udce9.py"}

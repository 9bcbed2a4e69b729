"""Stores of any kind: they are asked again while a failure may pass, and no failure costs a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from source_reading import plan, read_part

from contracts.errors import InputError
from pipelines.sources.base import Source
from pipelines.sources.inputs import open_input, survey_file
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.stores import LISTING, READING
from pipelines.sources.tree import TreeSettings

LINES = b"".join(b'{"text": "text %d"}\n' % i for i in range(1000))


class Flaky(MemoryFileSystem):
    """A store that raises what it is told to, `times` times."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012  as in MemoryFileSystem: all instances have one
    pseudo_dirs = [""]  # noqa: RUF012
    raised: Exception = OSError()
    times = 0
    asked = 0

    @classmethod
    def fail(cls, raised: Exception, times: int = -1) -> None:
        cls.raised, cls.times, cls.asked = raised, times, 0

    @classmethod
    def meet(cls) -> None:
        cls.asked += 1
        if cls.times:
            cls.times -= 1
            raise cls.raised

    def info(self, path: str, **kwargs: Any) -> Any:
        self.meet()
        return super().info(path, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self.meet()
        return super().ls(path, detail, **kwargs)

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self.meet()
        return super()._open(path, *args, **kwargs)


@pytest.fixture
def flaky(clock: Any) -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.fail(OSError(), 0)
    with fsspec.open("flaky://corpus/a.jsonl", "wb") as file:
        file.write(LINES)
    with fsspec.open("flaky://corpus/b.py", "wb") as file:
        file.write(b"print(1)\n")
    yield Flaky
    Flaky.store.clear()


def jsonl() -> Source:
    return JsonlSettings(name="s", path="flaky://corpus").open()


def test_a_store_is_asked_again_while_it_fails(flaky: type[Flaky], clock: Any) -> None:
    for call in (lambda: jsonl().list_inputs(), lambda: jsonl().survey("flaky://corpus/a.jsonl")):
        flaky.fail(ConnectionResetError("peer"), 3)
        call()
        assert clock.waits == [1, 2, 4]
        clock.waits.clear()


@pytest.mark.parametrize(
    ("raised", "words"), [(PermissionError("Access Denied"), "credentials"), (OSError("x"), "See that the storage is there")]
)
def test_no_refusal_of_a_store_is_quarantined(flaky: type[Flaky], raised: OSError, words: str) -> None:
    parts = plan(jsonl())
    assert len(read_part(jsonl(), parts[0]).texts()) == 1000
    flaky.fail(raised)
    with pytest.raises(InputError, match=f"flaky://corpus/a.jsonl.* cannot be read. {type(raised).__name__}.*{words}"):
        survey_file("flaky://corpus/a.jsonl")
    with pytest.raises(InputError, match=words):
        read_part(jsonl(), parts[0])


@pytest.mark.parametrize("raised", [PermissionError("Access Denied"), ConnectionResetError("peer")])
@pytest.mark.parametrize("settings", [JsonlSettings, TreeSettings])
def test_a_listing_that_fails_is_not_an_empty_one(flaky: type[Flaky], clock: Any, settings: Any, raised: OSError) -> None:
    """Which is what fsspec's `exists`, `isdir` and `walk` take it for."""
    flaky.fail(raised)
    with pytest.raises(InputError, match=f"cannot be read. {type(raised).__name__}"):
        settings(name="s", path="flaky://corpus").open().list_inputs()
    assert clock.now <= LISTING


def test_what_is_not_there_is_just_not_there(flaky: type[Flaky], clock: Any) -> None:
    for settings in (JsonlSettings, TreeSettings):
        with pytest.raises(InputError, match="There is no input"):
            settings(name="s", path="flaky://elsewhere").open().list_inputs()
    with pytest.raises(InputError, match="It was there when the folder was listed"):
        survey_file("flaky://corpus/gone.jsonl")
    assert clock.waits == []


def test_an_outage_that_a_file_system_takes_for_a_missing_file(flaky: type[Flaky], clock: Any) -> None:
    """As fsspec's own for http:// does."""
    missing = FileNotFoundError("flaky://corpus")
    missing.__cause__ = ConnectionRefusedError("nobody there")
    flaky.fail(missing, 2)
    assert len(jsonl().list_inputs()) == 1
    flaky.fail(missing)
    with pytest.raises(InputError, match=r"cannot be read\. FileNotFoundError.*Nothing that can be used answers there"):
        jsonl().list_inputs()


def test_patience_ends(flaky: type[Flaky], clock: Any) -> None:
    flaky.fail(TimeoutError("slow"))
    with pytest.raises(
        InputError, match=r"TimeoutError: slow\. The store or the network failed, again and again\. The same command goes on"
    ):
        survey_file("flaky://corpus/a.jsonl")
    assert READING / 2 < clock.now <= READING
    assert clock.waits == [1, 2, 4, 8, 16, 32, *[60] * 8]


def test_a_file_of_a_store_behaves_as_any_file(flaky: type[Flaky]) -> None:
    with open_input("flaky://corpus/a.jsonl") as file:
        assert (file.seek(-5, 2), file.tell(), file.read()) == (len(LINES) - 5, len(LINES) - 5, LINES[-5:])
        assert (file.read(), file.read(10), file.seek(10), file.read(3)) == (b"", b"", 10, LINES[10:13])
        assert (file.seek(2, 1), file.read(0), file.readline()) == (15, b"", LINES[15 : LINES.index(b"\n") + 1])
        assert file.seek(10**9) == 10**9
        assert file.read(1) == b""

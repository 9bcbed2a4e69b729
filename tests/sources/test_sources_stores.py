"""Stores of any kind: which failures pass, what the others say, and that none of them costs a document."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from source_reading import plan, read_part

from contracts.errors import InputError
from pipelines.sources.base import Source
from pipelines.sources.inputs import open_input, survey_file
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.store_errors import asked_wait, is_passing, of_the_store, status_of, words_for
from pipelines.sources.stores import LISTING, READING
from pipelines.sources.tree import TreeSettings

LINES = b"".join(b'{"text": "text %d"}\n' % i for i in range(1000))


def error(package: str, *names: str, **attributes: Any) -> Exception:
    """An error as a library has it: an instance of the last class, each derived from the one before."""
    kind: type[Exception] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": f"{package}.errors"})
    found = kind("words")
    vars(found).update(attributes)
    return found


def answer(status: int, **headers: str) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


PASSING = [
    ConnectionResetError("peer"),
    TimeoutError("slow"),
    error("httpx", "TransportError", "ReadTimeout"),
    error("httpx2", "TransportError", "RemoteProtocolError"),
    error("botocore", "HTTPClientError", "ConnectTimeoutError"),
    error("botocore", "ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 503}}),
    error("aiohttp", "ClientConnectionError", "ServerDisconnectedError"),
    error("aiohttp", "ClientResponseError", status=429),
    error("gcsfs", "HttpError", code=500),
    error("requests", "ConnectionError"),
    error("google", "TransportError"),
    error("huggingface_hub", "HfHubHTTPError", response=answer(502)),
]
LASTING = [
    PermissionError(errno.EACCES, "Forbidden"),
    FileNotFoundError(errno.ENOENT, "gone"),
    error("botocore", "NoCredentialsError"),
    error("botocore", "ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 403}}),
    error("aiohttp", "ClientResponseError", status=404),
    error("gcsfs", "HttpError", code=401),
    error("huggingface_hub", "HfHubHTTPError", response=answer(403)),
    error("huggingface_hub", "OfflineModeIsEnabled"),
]


def named(each: Exception) -> str:
    return f"{type(each).__module__}.{type(each).__name__} {status_of(each)}"


@pytest.mark.parametrize("each", PASSING, ids=named)
def test_what_passes(each: Exception) -> None:
    assert of_the_store(each)
    assert is_passing(each)
    assert "When it is back, run the same command again" in words_for(each)


@pytest.mark.parametrize("each", LASTING, ids=named)
def test_what_lasts(each: Exception) -> None:
    assert of_the_store(each)
    assert not is_passing(each)


@pytest.mark.parametrize("each", [KeyError("a"), TypeError("b"), InputError("c")], ids=repr)
def test_what_is_no_failure_of_a_store(each: Exception) -> None:
    assert not of_the_store(each)


def test_a_certificate_that_nobody_trusts_is_not_tried_again() -> None:
    found = error("httpx", "TransportError", "ConnectError")
    found.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert not is_passing(found)


def test_words_for_what_lasts() -> None:
    assert "give this machine and every worker the store's credentials" in words_for(error("botocore", "NoCredentialsError"))
    assert "give this machine and every worker the store's credentials" in words_for(PermissionError("Access Denied"))
    assert "It was there when the folder was listed: restore it" in words_for(FileNotFoundError("key"))
    assert "Check the path, the credentials and the store" in words_for(OSError(errno.EIO, "what"))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry_after": "120"}, 121.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 56.0),
        ({"ratelimit": '"api";r=12;t=55', "retry_after": "3"}, 4.0),
    ],
)
def test_waits_that_servers_ask_for(headers: dict[str, str], wait: float | None) -> None:
    assert asked_wait(error("huggingface_hub", "HfHubHTTPError", response=answer(429, **headers))) == wait
    assert asked_wait(ConnectionError()) is None


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


@pytest.mark.parametrize(("raised", "words"), [(PermissionError("Access Denied"), "credentials"), (OSError("x"), "Check the path")])
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


def test_patience_ends(flaky: type[Flaky], clock: Any) -> None:
    flaky.fail(TimeoutError("slow"))
    with pytest.raises(InputError, match="did not recover while it was tried again"):
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

"""Which failures of stores pass, which last, what a store's answer says of itself, and what to do about each."""

from __future__ import annotations

import errno
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.errors import InputError
from pipelines.storage.errors import reason_of, remedy_of, unopened
from pipelines.storage.kinds import KINDS, PASSING_WHEN_SENT, asked_wait, kind_of, may_pass, of_a_store, status_of
from pipelines.storage.options import PACKAGES, StorageSettings

PATH = "s3://bucket/x"


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
    error("azure", "ServiceResponseError", "ServiceResponseTimeoutError", error_code="ServerBusy"),
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
    error("azure", "HttpResponseError", status_code=403),
    error("requests", "ConnectionError", "SSLError"),
    error("gcsfs", "HttpError", code=401),
    error("huggingface_hub", "HfHubHTTPError", response=answer(403)),
    error("huggingface_hub", "OfflineModeIsEnabled"),
]


def named(each: Exception) -> str:
    return f"{type(each).__module__}.{type(each).__name__} {status_of(each)}"


@pytest.mark.parametrize("each", PASSING, ids=named)
def test_what_passes(each: Exception) -> None:
    assert of_a_store(each)
    assert may_pass(each, PATH)
    assert "The same command goes on where it stopped" in remedy_of(each, PATH, "read")


@pytest.mark.parametrize("each", LASTING, ids=named)
def test_what_lasts(each: Exception) -> None:
    assert of_a_store(each)
    assert not may_pass(each, PATH)
    assert not may_pass(each, PATH, sending=True)


@pytest.mark.parametrize("each", [KeyError("a"), TypeError("b"), InputError("c")], ids=repr)
def test_what_is_no_failure_of_a_store(each: Exception) -> None:
    assert not of_a_store(each)


@pytest.mark.parametrize("status", [400, 410])
def test_what_passes_only_when_a_whole_file_is_sent_again(status: int) -> None:
    refused = error("gcsfs", "HttpError", code=status)
    assert may_pass(refused, PATH, sending=True)
    assert not may_pass(refused, PATH)


def test_nothing_passes_on_a_disk() -> None:
    assert not may_pass(TimeoutError("slow"), "/data/x")


@pytest.mark.parametrize(
    ("behind", "kind"), [(ssl.SSLCertVerificationError("self-signed"), "address"), (ssl.SSLEOFError("EOF occurred"), "cut")]
)
def test_a_certificate_that_nobody_trusts_lasts_and_a_connection_that_breaks_off_does_not(behind: Exception, kind: str) -> None:
    found = error("httpx", "TransportError", "ConnectError")
    found.__cause__ = behind
    assert kind_of(found, PATH) == kind
    assert may_pass(found, PATH) == (kind == "cut")


def test_the_cause_counts_whether_it_was_named_or_not() -> None:
    """s3fs translates errors inside of `except`, and names no cause where it asks for an object."""
    for how in ("__cause__", "__context__"):
        missing = FileNotFoundError("x")
        setattr(missing, how, error("botocore", "ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 503}}))
        assert status_of(missing) == 503
        assert may_pass(missing, PATH)
        missing.__cause__, missing.__suppress_context__ = None, True
        assert status_of(missing) == 0
        assert not may_pass(missing, PATH)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("s3a://bucket/x", "For S3: a role of the machine or pod"),
        ("gcs://bucket/x", "For Google: the service account"),
        ("hf://datasets/me/it", r"For the Hub: `hf auth login` (or set HF_TOKEN)."),
        ("simplecache::az://bucket/x", "For Azure: a managed identity"),
        ("sftp://host/x", "See the documentation of the file system"),
    ],
)
def test_credentials_are_each_machines_own(path: str, words: str) -> None:
    for each in (error("botocore", "NoCredentialsError"), error("gcsfs", "HttpError", code=401)):
        advice = remedy_of(each, path, "read")
        assert f"The machine that submits and every worker must find their own. {words}" in advice


def test_remedies_for_what_lasts() -> None:
    assert "they must be allowed to get objects" in remedy_of(PermissionError("Access Denied"), PATH, "read")
    assert "See that the storage is there" in remedy_of(OSError(errno.EIO, "what"), PATH, "read")
    assert "See that the storage is there" in remedy_of(error("gcsfs", "HttpError", code=418), PATH, "read")


@pytest.mark.parametrize(("path", "package"), [("s3a://b/x", "spanmill[s3]"), ("hf://datasets/me/it", "spanmill[hub]")])
def test_a_missing_package_is_named(path: str, package: str) -> None:
    words = unopened(ImportError("Install s3fs to access S3"), path)
    assert words == f"a package is missing or broken (Install s3fs to access S3). Here and on every worker: pip install '{package}'"
    assert unopened(OSError("another error"), path) == ""


def test_packages_are_named_by_sections_of_the_recipe() -> None:
    assert PACKAGES.keys() <= StorageSettings.model_fields.keys()


def test_reasons_are_one_line() -> None:
    assert reason_of(OSError(errno.EIO, "Input/output error", "/home/me/secret")) == "OSError: Input/output error"
    assert reason_of(ValueError("one.\ntwo")) == "ValueError: one"
    assert reason_of(KeyError()) == "KeyError: no further words"


def test_no_mark_is_of_two_kinds() -> None:
    marks = [mark for kind in KINDS for mark in kind.marks]
    assert len(marks) == len(set(marks))
    assert not PASSING_WHEN_SENT & set(marks)


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


def test_every_kind_has_a_remedy_that_can_be_filled_in() -> None:
    for kind in KINDS:
        words = kind.remedy.format(bucket="b", section="storage.s3", credentials="Here.", doing="write")
        assert words.endswith((".", "…"))
        assert "{{" not in words

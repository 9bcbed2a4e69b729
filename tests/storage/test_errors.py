"""Every trouble with a storage is told in words on what to do."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import Fault
from stores import BUCKET, Store, options

from contracts.errors import ConfigError, InputError, OutputError
from pipelines import storage
from pipelines.storage import join, read_bytes, write_bytes
from pipelines.storage import options as storage_options
from pipelines.storage.errors import writing
from pipelines.storage.kinds import kind_of
from pipelines.storage.options import PACKAGES


def refusal(code: str, status: int) -> Fault:
    """An answer of S3."""
    body = f"<Error><Code>{code}</Code><Message>Words of the store.</Message></Error>"
    return Fault("^PUT", "answer", status=status, body=body, headers={"Content-Type": "application/xml"})


REFUSALS = [
    ("AccessDenied", 403, r"Words of the store\. The credentials that this machine found.*may not write"),
    (
        "InvalidAccessKeyId",
        403,
        r"submits and every worker must find their own\. For S3: a role of the machine.*~/\.aws/credentials",
    ),
    ("SignatureDoesNotMatch", 403, r"Credentials are missing, wrong or out of date"),
    ("ExpiredToken", 400, r"Credentials are missing, wrong or out of date"),
    ("NoSuchBucket", 404, rf"There is no bucket '{BUCKET}': create it first"),
    ("PermanentRedirect", 301, r"another region: name it in the recipe, \[storage\.s3\] client_kwargs = \{ region_name = '…' \}"),
    ("AuthorizationHeaderMalformed", 400, r"another region"),
    ("RequestTimeTooSkewed", 403, r"The clock of the machine is wrong"),
    ("InternalError", 500, r"failed, again and again\. The same command goes on where it stopped"),
    ("SomethingNew", 418, r"Cannot write s3://.*SomethingNew.*See that the storage is there"),
]


@pytest.mark.parametrize(("code", "status", "words"), REFUSALS, ids=[code for code, *_ in REFUSALS])
@pytest.mark.parametrize("faulty", ["s3"], indirect=True)
def test_what_s3_refuses(faulty: Store, code: str, status: int, words: str) -> None:
    faulty.faulty.set(refusal(code, status))
    with pytest.raises(OutputError, match=words):
        write_bytes(join(faulty.base, "x"), b"1")


GOOGLE_REFUSALS = [
    (401, r"For Google: the service account of the machine.*\[storage\.gs\] token = 'anon'"),
    (403, r"may not write"),
    (404, rf"There is no bucket '{BUCKET}'"),
    (400, r"Cannot write gs://.*/x: Words of the store, invalid\. See that"),
    (503, r"asked to slow down"),
]


@pytest.mark.parametrize(("status", "words"), GOOGLE_REFUSALS)
@pytest.mark.parametrize("faulty", ["gs"], indirect=True)
def test_what_google_refuses(faulty: Store, status: int, words: str) -> None:
    more = ", invalid" if status == 400 else ""
    body = f'{{"error": {{"code": {status}, "message": "Words of the store{more}."}}}}'
    faulty.faulty.set(Fault("", "answer", status=status, body=body))
    with pytest.raises(OutputError, match=words):
        write_bytes(join(faulty.base, "x"), b"1")


@pytest.mark.parametrize("store", ["s3", "gs"], indirect=True)
def test_a_bucket_that_is_not_there(store: Store) -> None:
    path = f"{store.kind}://no-such-bucket/run/x"
    with pytest.raises(OutputError, match=r"There is no bucket 'no-such-bucket': create it first, Spanmill never does"):
        write_bytes(path, b"1")
    assert not storage.exists(path)
    assert storage.names_in(path) == []
    storage.remove(path)
    with pytest.raises(InputError if store.kind == "s3" else FileNotFoundError, match="bucket"):
        read_bytes(path)


def test_a_name_that_no_bucket_can_have(servers: dict[str, str]) -> None:
    storage_options.apply(options("s3", servers["s3"]))
    with pytest.raises(OutputError, match=r"'No Bucket!' cannot be the name of a bucket"):
        write_bytes("s3://No Bucket!/x", b"1")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_server_that_is_not_there(kind: str) -> None:
    storage_options.apply(options(kind, "http://127.0.0.1:9", patient=False))
    words = rf"Nothing that can be used answers there.*endpoint_url in the recipe's section \[storage\.{kind}\]"
    with pytest.raises(OutputError, match=words):
        write_bytes(f"{kind}://{BUCKET}/x", b"1")


def test_credentials_that_are_nowhere(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    storage_options.apply({"s3": {**options("s3", servers["s3"])["s3"], "s3_additional_kwargs": {}}})  # a client of its own
    with pytest.raises(
        InputError, match=r"Unable to locate credentials.*every worker must find their own.*\[storage\.s3\] anon = true"
    ):
        read_bytes(f"s3://{BUCKET}/x")


def test_a_profile_that_is_nowhere(servers: dict[str, str]) -> None:
    storage_options.apply({"s3": {**options("s3", servers["s3"])["s3"], "profile": "nobody"}})
    with pytest.raises(OutputError, match=r"nobody.*every worker must find their own"):
        write_bytes(f"s3://{BUCKET}/x", b"1")


def test_an_option_that_is_unknown(servers: dict[str, str]) -> None:
    storage_options.apply({"s3": {"endpoint": servers["s3"]}})
    with pytest.raises(ConfigError, match=r"section \[storage\.s3\] has an unknown option: .*'endpoint'"):
        write_bytes(f"s3://{BUCKET}/x", b"1")


@pytest.mark.parametrize("protocol", ["s3", "gs"])
def test_a_package_that_is_missing(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, protocol, raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] in ("s3fs", "gcsfs")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(
        ConfigError, match=rf"missing or broken.*Here and on every worker: {PACKAGES[protocol]}".replace("[", r"\[")
    ):
        storage.exists(f"{protocol}://{BUCKET}/x")


def test_a_protocol_that_nobody_knows() -> None:
    asks: list[Callable[[str], object]] = [storage.exists, storage.remove, read_bytes, lambda path: write_bytes(path, b"")]
    for ask in asks:
        with pytest.raises(ConfigError, match=r"Protocol not known: s4.*It must be a path, or a URL that fsspec knows"):
            ask("s4://bucket/x")
    with pytest.raises(ConfigError, match="Protocol not known"), storage.locked("s4://bucket/run"):
        pass


def test_a_protocol_that_cannot_write() -> None:
    pytest.importorskip("aiohttp", reason="no aiohttp: `make test-engines` runs this")
    with pytest.raises(ConfigError, match=r"http:// cannot write\. Choose a folder, or a store such as s3://"):
        write_bytes("http://127.0.0.1:9/x", b"1")


def test_the_hub_is_read_and_never_written() -> None:
    words = (
        r"Cannot write hf://datasets/me/it.*: the Hub would make a commit of each file\. Choose a folder, or a store.*`hf upload`"
    )
    with pytest.raises(ConfigError, match=words):
        write_bytes("hf://datasets/me/it/x", b"1")
    with pytest.raises(ConfigError, match=words), storage.locked("hf://datasets/me/it/run"):
        pass


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match=r"Choose another folder with --output"):
        write_bytes(str(tmp_path / "x" / "y"), b"1")
    assert not storage.exists(str(tmp_path / "x" / "y"))
    assert storage.names_in(str(tmp_path / "x" / "y")) == []


def test_no_room_for_what_is_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    with pytest.raises(OutputError, match=r"The folder for temporary files, .* \(TMPDIR\), is full: free some space"):
        write_bytes("memory://run/x", b"1")


def test_an_error_that_is_not_the_storages_is_left_as_it_is(tmp_path: Path) -> None:
    bug = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError) as raised, writing(str(tmp_path)):
        raise bug
    assert raised.value is bug
    assert bug.__cause__ is None
    circle = ValueError("its own cause")
    circle.__cause__ = circle
    assert kind_of(circle, "s3://bucket/x") == ""

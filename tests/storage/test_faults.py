"""Stores that fail in the middle: nothing is lost, nothing looks finished that is not, nothing is left to pay for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
from faults import Fault, internal_error, slow_down, too_many_requests
from stores import Store, options

from contracts.errors import InputError, OutputError, StageError
from contracts.manifest import FileEntry
from pipelines import storage
from pipelines.stage import Stage
from pipelines.storage import join, read_bytes, write_bytes, write_file

LARGE = bytes(range(256)) * 4096 * 11
"""11 MiB: three parts."""

PART = {"s3": r"PUT .*partNumber=2", "gs": r"POST .*upload_id="}
"""The sending of a part of a large file; Google's have no numbers."""

SENDING = {"s3": r"PUT ", "gs": r"POST .*/upload/"}

READING = {"s3": r"GET .*/x\b", "gs": r"GET /download/"}

AFTER = {"s3": 0, "gs": 1}
"""Parts that go through before the one that fails."""


def write_large(path: str) -> None:
    write_file(path, lambda file: file.write(LARGE))


def is_large(path: str) -> bool:
    """Not compared in an assert: the difference would take minutes to show."""
    return read_bytes(path) == LARGE


def throttled(kind: str, pattern: str, times: int = 10**9) -> Fault:
    return slow_down(pattern, times) if kind == "s3" else too_many_requests(pattern, times)


def holds_nothing(store: Store) -> bool:
    """Not even parts of an upload."""
    store.faulty.set()
    return storage.files_below(store.base) == [] and storage.abort_uploads(store.base) == 0


@pytest.mark.parametrize("deed", ["answer", "cut", "lose answer"])
def test_a_part_that_fails_once_is_sent_again(faulty: Store, deed: str) -> None:
    path = join(faulty.base, "x")
    faulty.faulty.set(Fault(PART[faulty.kind], deed, times=1, after=AFTER[faulty.kind]))  # type: ignore[arg-type]
    write_large(path)
    assert faulty.faulty.faults[0].spoilt == 1
    assert is_large(path)
    assert storage.abort_uploads(faulty.base) == 0


@pytest.mark.parametrize("deed", ["answer", "cut"])
def test_a_part_that_never_comes_through_leaves_nothing(faulty: Store, deed: str) -> None:
    path = join(faulty.base, "x")
    faulty.faulty.set(Fault(PART[faulty.kind], deed, after=AFTER[faulty.kind]))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match=r"Cannot write .*/x: .*failed, again and again.*goes on where it stopped"):
        write_large(path)
    assert holds_nothing(faulty)


def test_a_failed_overwrite_leaves_what_was_there(faulty: Store) -> None:
    """A late twin of a finished item that cannot send its copy takes nothing away."""
    path = join(faulty.base, "x")
    write_large(path)
    faulty.faulty.set(Fault(SENDING[faulty.kind], "cut"))
    with pytest.raises(OutputError):
        write_large(path)
    faulty.faulty.set()
    assert is_large(path)


def test_an_upload_whose_end_is_not_confirmed_is_sent_again(faulty: Store) -> None:
    """The store has completed it, the client does not know and is then told that there is no such upload."""
    path = join(faulty.base, "x")
    last = {"s3": r"POST .*uploadId=", "gs": r"POST .*upload_id="}[faulty.kind]
    faulty.faulty.set(Fault(last, "lose answer", times=1, after={"s3": 0, "gs": 2}[faulty.kind]))
    write_large(path)
    assert faulty.faulty.faults[0].spoilt == 1
    assert is_large(path)
    assert storage.abort_uploads(faulty.base) == 0


def test_an_upload_that_could_not_be_aborted_is_aborted_later(faulty: Store) -> None:
    """As after the death of a worker. Google ends them by itself, and charges nothing."""
    if faulty.kind != "s3":
        pytest.skip("only S3 keeps the parts of an upload that nobody finished")
    faulty.faulty.set(internal_error(PART["s3"]), internal_error(r"DELETE .*uploadId="))
    with pytest.raises(OutputError):
        write_large(join(faulty.base, "x"))
    faulty.faulty.set()
    assert storage.files_below(faulty.base) == []
    assert storage.abort_uploads(faulty.base + "x") == 0, "another folder's"
    assert storage.abort_uploads(faulty.base) > 0
    assert storage.abort_uploads(faulty.base) == 0


def test_a_killed_worker_leaves_nothing_that_could_be_mistaken(faulty: Store) -> None:
    """`kill -9` while the second part of a file is on its way."""
    script = (
        "import sys, json; from pipelines import storage; from pipelines.storage import options as storage_options;"
        "storage_options.apply(json.loads(sys.argv[1]));"
        "storage.write_file(sys.argv[2], lambda file: file.write(bytes(34 * 2**20)))"
    )
    path = join(faulty.base, "x")
    faulty.faulty.set(Fault(PART[faulty.kind], "delay", after=AFTER[faulty.kind], seconds=30))
    given = json.dumps(options(faulty.kind, faulty.faulty.url))
    process = subprocess.Popen([sys.executable, "-c", script, given, path])
    while not faulty.faulty.faults[0].spoilt:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    faulty.faulty.set()
    assert storage.files_below(faulty.base) == []
    assert storage.abort_uploads(faulty.base) == (1 if faulty.kind == "s3" else 0)
    write_large(path)
    assert is_large(path)


@pytest.mark.parametrize("deed", ["cut", "delay"])
def test_twins_of_which_one_has_bad_luck(faulty: Store, deed: str) -> None:
    path = join(faulty.base, "x")
    faulty.faulty.set(Fault(PART[faulty.kind], deed, times=1, seconds=0.3))  # type: ignore[arg-type]
    twins = [threading.Thread(target=write_large, args=[path]) for _ in range(2)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join()
    assert faulty.faulty.faults[0].spoilt == 1
    assert storage.files_below(faulty.base) == ["x"]
    assert is_large(path)
    assert storage.abort_uploads(faulty.base) == 0


def test_where_uploads_may_not_be_listed_the_run_goes_on(faulty: Store) -> None:
    faulty.faulty.set(Fault(r"\?uploads", "answer", status=403))
    assert storage.abort_uploads(faulty.base) == 0


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_throttling_that_ends_is_waited_for(faulty: Store, size: int) -> None:
    path = join(faulty.with_patience().base, "x")
    content = LARGE[:size]
    faulty.faulty.set(throttled(faulty.kind, "", times=4))
    write_bytes(path, content)
    faulty.faulty.set(throttled(faulty.kind, "", times=3))
    assert (read_bytes(path) == content) is True
    faulty.faulty.set(throttled(faulty.kind, "", times=3))
    assert storage.names_in(faulty.base) == ["x"]
    faulty.faulty.set(throttled(faulty.kind, "", times=3))
    assert storage.read_many([path]) == {path: content}
    faulty.faulty.set(throttled(faulty.kind, "", times=3))
    storage.remove(path)
    assert holds_nothing(faulty)


def test_throttling_for_good_is_an_error_with_a_remedy(faulty: Store) -> None:
    path = join(faulty.with_patience().base, "x")
    write_bytes(path, b"1")
    faulty.faulty.set(throttled(faulty.kind, ""))
    words = r"The store asked to slow down until its client gave up\. Run fewer workers"
    with pytest.raises(OutputError, match=rf"Cannot write .*/y: .*{words}"):
        write_bytes(join(faulty.base, "y"), b"2")
    with pytest.raises(OutputError, match=words):
        storage.remove(path)
    for ask in (read_bytes, storage.exists, storage.names_in, storage.sizes_below, storage.digest_file):
        with pytest.raises(InputError, match=words):
            ask(path)
    for ask_many in (storage.read_many, storage.sizes_of):
        with pytest.raises(InputError, match=words):
            ask_many([path])
    faulty.faulty.set()
    assert storage.files_below(faulty.base) == ["x"]


@pytest.mark.parametrize("deed", ["cut", "cut answer", "answer"])
def test_reading_outlives_a_fault_and_never_gives_half_a_file(faulty: Store, deed: str) -> None:
    path = join(faulty.with_patience().base, "x")
    write_bytes(path, b"whole" * 1000)
    faulty.faulty.set(Fault(READING[faulty.kind], deed, times=1, status=503))  # type: ignore[arg-type]
    assert read_bytes(path) == b"whole" * 1000
    faulty.faulty.set(Fault(READING[faulty.kind], deed, status=500))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Cannot read .*/x: .*failed, again and again"):
        read_bytes(path)
    with pytest.raises(InputError, match="failed, again and again"):
        storage.read_many([path])


def test_an_outage_is_not_taken_for_a_missing_file(faulty: Store) -> None:
    """Else a finished stage would be made again, and a receipt overlooked."""
    write_bytes(join(faulty.base, "x"), b"1")
    faulty.faulty.set(Fault("", "cut"))
    for ask in (storage.exists, storage.names_in, storage.sizes_below, storage.read_bytes_or_none):
        with pytest.raises(InputError):
            ask(join(faulty.base, "x"))


def test_an_object_that_the_store_keeps_is_told_of(faulty: Store) -> None:
    """S3 answers 200 to the removal of a thousand objects, and says in the body which it has kept."""
    if faulty.kind != "s3":
        pytest.skip("gcsfs raises for what it could not remove; s3fs keeps silent, which is what this is about")
    for name in ("a", "b"):
        write_bytes(join(faulty.base, name), b"1")
    kept = "<DeleteResult><Error><Key>b</Key><Code>InternalError</Code><Message>no</Message></Error></DeleteResult>"
    faulty.faulty.set(Fault(r"POST .*\?delete", "answer", times=1, status=200, body=kept))
    storage.remove(faulty.base)
    assert storage.files_below(faulty.base) == [], "a second try did it"
    write_bytes(join(faulty.base, "b"), b"1")
    faulty.faulty.set(Fault(r"POST .*\?delete", "answer", status=200, body=kept))
    with pytest.raises(OutputError, match=r"Cannot remove .*/b: the store keeps it"):
        storage.remove(faulty.base)


def test_a_stage_without_a_manifest_is_refused_and_goes_on(faulty: Store) -> None:
    stage = Stage("curate", faulty.base, {"a": 1}, 0, {})
    stage.open()
    written = write_bytes(stage.path("x.bin"), b"hello")
    stage.write_receipt("parts", 0, {"n": 1})
    sending = {"s3": r"PUT .*manifest\.json", "gs": r"POST .*/upload/"}[faulty.kind]
    faulty.faulty.set(internal_error(sending))
    with pytest.raises(OutputError):
        stage.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})
    faulty.faulty.set()
    with pytest.raises(StageError, match="no finished 'curate' stage"):
        storage.read_manifest(stage.folder)
    again = Stage("curate", faulty.base, {"a": 1}, 0, {})
    assert again.open() == (True, "goes on where it stopped")
    assert again.receipts("parts") == {0: {"n": 1}}
    again.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})
    again.close()
    assert storage.files_below(stage.folder) == ["manifest.json", "x.bin"]

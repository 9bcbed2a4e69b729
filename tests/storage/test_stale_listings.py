"""Stores whose listings are older than their objects: names and receipts are still right, since what matters is asked for by name."""

from __future__ import annotations

from faults import Fault
from stores import Store

from pipelines import storage
from pipelines.stage import Stage
from pipelines.storage import join, write_bytes

LISTING = {"s3": r"GET .*list-type=2", "gs": r"GET .*/o\?"}


def test_a_listing_that_lacks_what_is_new(faulty: Store) -> None:
    paths = [join(faulty.base, "step", f"{number:08d}.json") for number in range(3)]
    write_bytes(paths[0], b"0")
    assert storage.names_in(join(faulty.base, "step")) == ["00000000.json"]
    assert list(storage.sizes_below(join(faulty.base, "step"))) == ["00000000.json"]
    faulty.faulty.set(Fault(LISTING[faulty.kind], "old answer"))
    write_bytes(paths[1], b"1")
    write_bytes(paths[2], b"22")
    assert storage.names_in(join(faulty.base, "step")) == ["00000000.json"], "the test itself: it is old"
    assert storage.read_many(paths) == {paths[0]: b"0", paths[1]: b"1", paths[2]: b"22"}
    assert storage.sizes_of(paths) == {paths[0]: 1, paths[1]: 1, paths[2]: 2}
    assert all(storage.exists(path) for path in paths)
    storage.remove(paths[1])
    assert storage.read_bytes_or_none(paths[1]) is None


def test_a_listing_that_still_shows_what_is_gone(faulty: Store) -> None:
    paths = [join(faulty.base, "step", f"{number:08d}.json") for number in range(3)]
    for path in paths:
        write_bytes(path, b"1")
    folder = join(faulty.base, "step")
    assert len(storage.names_in(folder)) == len(storage.sizes_below(folder)) == 3
    faulty.faulty.set(Fault(LISTING[faulty.kind], "old answer"))
    storage.remove(paths[1])
    assert len(storage.names_in(folder)) == 3, "the test itself: it is old"
    assert list(storage.read_many(paths)) == [paths[0], paths[2]]
    assert list(storage.sizes_of(paths)) == [paths[0], paths[2]]
    assert not storage.exists(paths[1])
    storage.remove(folder)  # no error, although all are still listed
    assert storage.sizes_of(paths) == {}


def test_receipts_are_found_though_the_listing_lacks_them(faulty: Store) -> None:
    stage = Stage("curate", faulty.base, {"a": 1}, 0, {})
    stage.open()
    stage.write_receipt("parts", 0, {"n": 0})
    assert stage.done("parts") == [0]
    faulty.faulty.set(Fault(LISTING[faulty.kind], "old answer"))
    stage.write_receipt("parts", 1, {"n": 1})
    assert stage.all_receipts("parts", 2) == [{"n": 0}, {"n": 1}]
    storage.remove(join(stage.progress, "parts", "00000000.json"))
    assert stage.receipts("parts") == {}

"""Arrays as files: what comes back of them, whole and in rows, from a disk and from a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import fsspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import storage
from pipelines.dedup_steps.pairs import EDGE, PLACED
from pipelines.rows import (
    GAP_BYTES,
    HEADER_BYTES,
    Array,
    addresses,
    gather,
    load,
    parts_of,
    read_plain,
    read_rows,
    read_span,
    read_spans,
    rows_of,
    save,
    save_plain,
)
from pipelines.signatures import DOCUMENT
from pipelines.storage import join, read_bytes

FAR = GAP_BYTES // 8 + 2
"""Rows of eight bytes that lie so far apart are not read together."""

kinds = st.sampled_from(
    [("<i8", ()), ("<u4", (7,)), ("<f8", (2, 3)), ("V16", ()), ("?", ()), (DOCUMENT, ()), (PLACED, ()), (DOCUMENT, (2,))]
)
"""Type, and shape of a row."""
plain_kinds = st.sampled_from([np.dtype("<i8"), np.dtype("V16"), EDGE])


@pytest.fixture(scope="module", params=["local", "memory"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder on a disk and on a store. Not one for each test: Hypothesis has many examples of one."""
    if request.param == "local":
        yield str(tmp_path_factory.mktemp("rows"))
    else:
        yield "memory://rows"
        fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="module")
def far(base: str) -> str:
    """A file of several gaps."""
    path = join(base, "far.npy")
    save(path, np.arange(8 * FAR))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, int]]]:
    """The ranges of each request to a store for rows; requests for headers are left out."""
    found: list[list[tuple[int, int]]] = []
    read = storage.read_ranges

    def spy(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if list(ranges) != [(0, HEADER_BYTES)]:
            found.append(list(ranges))
        return read(path, ranges)

    monkeypatch.setattr("pipelines.rows.read_ranges", spy)
    return found


def made_up(kind: tuple[npt.DTypeLike, tuple[int, ...]], count: int, seed: int) -> Array:
    dtype, shape = np.dtype(kind[0]), (count, *kind[1])
    content = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(bytes(byte & 1 for byte in content) if dtype == np.bool_ else content, dtype).reshape(shape)


def assert_same(found: Array, expected: Array) -> None:
    """Bytes, as NaN is among them."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


@given(kind=kinds, count=st.integers(0, 50), seed=st.integers(0, 9))
def test_an_array_comes_back_as_it_went(base: str, kind: tuple[npt.DTypeLike, tuple[int, ...]], count: int, seed: int) -> None:
    array, path = made_up(kind, count, seed), join(base, "whole.npy")
    save(path, array)
    assert_same(load(path), array)
    assert load(path).flags.writeable


@given(kind=kinds, count=st.integers(0, 50), seed=st.integers(0, 9), data=st.data())
def test_spans_are_slices(
    base: str, kind: tuple[npt.DTypeLike, tuple[int, ...]], count: int, seed: int, data: st.DataObject
) -> None:
    array, path = made_up(kind, count, seed), join(base, "spans.npy")
    save(path, array)
    span = st.tuples(st.integers(0, count), st.integers(0, count)).map(lambda span: (min(span), max(span)))
    spans = data.draw(st.lists(span, max_size=5))
    found = read_spans(path, spans)
    assert len(found) == len(spans)
    for piece, (start, stop) in zip(found, spans, strict=True):
        assert_same(piece, array[start:stop])
        assert_same(read_span(path, start, stop), array[start:stop])


@given(kind=kinds, count=st.integers(0, 50), seed=st.integers(0, 9), data=st.data())
def test_rows_come_in_the_order_asked_for_and_as_often(
    base: str, kind: tuple[npt.DTypeLike, tuple[int, ...]], count: int, seed: int, data: st.DataObject
) -> None:
    array, path = made_up(kind, count, seed), join(base, "some.npy")
    save(path, array)
    wanted = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=20) if count else st.just([])), np.int64)
    assert_same(read_rows(path, wanted), array[wanted])


@given(kind=plain_kinds, count=st.integers(0, 50), seed=st.integers(0, 9), data=st.data())
def test_files_of_rows_alone_are_read_by_slices(base: str, kind: npt.DTypeLike, count: int, seed: int, data: st.DataObject) -> None:
    array, path = made_up((kind, ()), count, seed), join(base, "plain")
    save_plain(path, array)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    assert_same(read_plain(path, array.dtype, start, stop), array[start:stop])
    save_plain(path, np.repeat(array, 2)[::2])
    assert read_bytes(path) == array.tobytes()


@given(wanted=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=12))
def test_rows_far_apart(far: str, wanted: list[tuple[int, int]]) -> None:
    """Clusters of rows, the gaps between them about as wide as a gap may be."""
    numbers = np.array([cluster * (FAR - 2) + place for cluster, place in wanted], np.int64)
    assert_same(read_rows(far, numbers), np.arange(8 * FAR)[numbers])


def test_from_a_store_come_the_ranges_that_are_needed_neighbours_together(asked: list[list[tuple[int, int]]]) -> None:
    path, array = "memory://rows/ranges.npy", np.arange(4 * FAR)
    save(path, array)
    header = len(read_bytes(path)) - array.nbytes
    wanted = np.array([2 * FAR + 5, 0, 3, 2 * FAR, 0, 4 * FAR - 1])
    assert_same(read_rows(path, wanted), array[wanted])
    bounds = [(0, 4), (2 * FAR, 2 * FAR + 6), (4 * FAR - 1, 4 * FAR)]
    assert asked == [[(header + 8 * start, header + 8 * stop) for start, stop in bounds]]
    assert_same(read_rows(path, np.array([0, GAP_BYTES // 8])), array[[0, GAP_BYTES // 8]])
    assert_same(read_rows(path, np.array([0, GAP_BYTES // 8 + 1])), array[[0, GAP_BYTES // 8 + 1]])
    assert [len(ranges) for ranges in asked[1:]] == [1, 2]


def test_what_is_not_needed_is_not_asked_for(asked: list[list[tuple[int, int]]]) -> None:
    path = "memory://rows/nothing.npy"
    save(path, np.arange(9))
    assert read_rows(path, np.zeros(0, np.int64)).tolist() == []
    assert [piece.tolist() for piece in read_spans(path, [(3, 3), (4, 6), (9, 9)])] == [[], [4, 5], []]
    assert [len(ranges) for ranges in asked if ranges] == [1]


def test_the_gap_is_one_of_bytes_not_of_rows(asked: list[list[tuple[int, int]]]) -> None:
    path, wide = "memory://rows/wide.npy", np.arange(40 * 2048, dtype=np.int64).reshape(40, 2048)
    save(path, wide)
    assert_same(read_rows(path, np.array([9, 0, 4])), wide[[9, 0, 4]])
    assert [len(ranges) for ranges in asked] == [2], "four rows are 64 KiB, five are more"


def test_arrays_in_the_order_of_columns(base: str) -> None:
    array, path = np.asfortranarray(np.arange(12).reshape(4, 3)), join(base, "columns.npy")
    save(path, array)
    assert_same(load(path), np.ascontiguousarray(array))
    assert_same(read_rows(path, np.array([2, 1])), np.ascontiguousarray(array[[2, 1]]))
    assert_same(read_span(path, 1, 3), np.ascontiguousarray(array[1:3]))


def test_equal_arrays_give_equal_bytes(base: str) -> None:
    array = np.arange(12).reshape(4, 3)
    for name, each in (("one", array), ("other", np.asfortranarray(array)), ("view", np.repeat(array, 2, axis=0)[::2])):
        save(join(base, name), each)
    assert read_bytes(join(base, "one")) == read_bytes(join(base, "other")) == read_bytes(join(base, "view"))


def test_what_is_read_keeps_no_file_mapped(base: str) -> None:
    path = join(base, "mapped.npy")
    save(path, np.arange(9))
    found = [load(path), read_span(path, 2, 5), read_rows(path, np.array([1])), *read_spans(path, [(0, 9)])]
    assert not any(isinstance(each, np.memmap) or isinstance(each.base, np.memmap) for each in found)


@pytest.mark.parametrize("read", [load, lambda path: read_span(path, 0, 1), lambda path: read_rows(path, np.array([0]))])
def test_a_file_that_is_not_there(base: str, read: Callable[[str], Array]) -> None:
    with pytest.raises(FileNotFoundError):
        read(join(base, "none.npy"))


@given(part=st.integers(0, 2**31 - 1), numbers=st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_addresses_hold_part_and_row(part: int, numbers: list[int]) -> None:
    found = addresses(part, np.array(numbers, np.int64))
    assert found.dtype == np.int64
    assert parts_of(found).tolist() == [part] * len(numbers)
    assert rows_of(found).tolist() == numbers
    assert np.argsort(found, kind="stable").tolist() == np.argsort(numbers, kind="stable").tolist()


@given(kind=kinds, sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4), data=st.data())
def test_gather_finds_rows_in_the_files_of_their_parts(
    base: str, kind: tuple[npt.DTypeLike, tuple[int, ...]], sizes: list[int], data: st.DataObject
) -> None:
    arrays = [made_up(kind, size, part) for part, size in enumerate(sizes)]
    for part, array in enumerate(arrays):
        save(join(base, f"{part}.npy"), array)
    every = [(part, row) for part, size in enumerate(sizes) for row in range(size)]
    wanted = data.draw(st.lists(st.sampled_from(every), max_size=20) if every else st.just([]))
    address = np.array([addresses(part, np.array(row)) for part, row in wanted], np.int64)
    asked_for: list[int] = []

    def path_of(part: int) -> str:
        asked_for.append(part)
        return join(base, f"{part}.npy")

    expected = np.zeros((len(wanted), *kind[1]), kind[0])
    for at, (part, row) in enumerate(wanted):
        expected[at] = arrays[part][row]
    assert_same(gather(address, path_of, *kind), expected)
    assert asked_for == sorted({part for part, _ in wanted}), "each file is opened once, and none that is not needed"


def test_a_file_that_was_replaced_is_read_anew(base: str) -> None:
    """Of the same length, at once: the clock of files is coarse."""
    path = join(base, "replaced.npy")
    arrays: list[Array] = [np.arange(8), np.arange(8, dtype=np.float64), np.arange(16, dtype=np.uint32).reshape(4, 4)]
    for array in arrays * 20:
        save(path, array)
        assert_same(read_rows(path, np.array([3])), array[[3]])
        assert_same(read_span(path, 0, 2), array[:2])

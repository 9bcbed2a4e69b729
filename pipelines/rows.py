"""Arrays as files, and single rows of them: what steps of a stage hand one another.

On a local disk a file is mapped only while its rows are copied, so that a worker's memory does not grow with the files it has looked
into. From a store come only the bytes that are asked for, neighbours together.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from fsspec.core import url_to_fs

from pipelines.storage import is_local, read_bytes, read_many, read_pieces, read_ranges, write_bytes

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]
Header = tuple[tuple[int, ...], np.dtype[Any], int]

HEADER_BYTES = 1024
"""Of a file that are read to learn its type and shape: numpy writes 128, more for rows of many fields."""

GAP_BYTES = 65_536
"""Bytes that are read from a store, unneeded, rather than asking twice."""

AT_ONCE_BYTES = 64 * 2**20
"""Bytes that are asked of a store at once, about."""

ROW_BITS = 32
"""Of an address, the number of the row in its part; the part's number stands above."""


def save(path: str, array: Array) -> None:
    """Writes a .npy file, whole."""
    write_bytes(path, to_bytes(array))


def to_bytes(array: Array) -> bytes:
    """The bytes of a .npy file, row behind row whatever the order in memory: pieces of it are read by row."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()


def save_plain(path: str, array: Array) -> None:
    """Writes a file of rows alone, for `read_plain`: without numpy's header, which takes longer to read than a few rows."""
    write_bytes(path, np.ascontiguousarray(array).tobytes())


def read_plain(path: str, dtype: np.dtype[Any], start: int, stop: int) -> Array:
    """dtype[stop - start]: rows [start, stop) of a file of `save_plain`."""
    return read_plains([(path, start, stop)], dtype)[0]


def read_plains(slices: Sequence[tuple[str, int, int]], dtype: np.dtype[Any]) -> list[Array]:
    """Rows [start, stop) of files of `save_plain`, all on one file system; from a store about a hundred slices at once."""
    width = dtype.itemsize
    wanted = [each for each in slices if each[2] > each[1]]
    if wanted and is_local(wanted[0][0]):
        found = (np.fromfile(_disk_name(path), dtype, stop - start, offset=start * width) for path, start, stop in wanted)
    else:
        contents = read_pieces([(path, start * width, stop * width) for path, start, stop in wanted])
        found = (np.frombuffer(content, dtype) for content in contents)
    return [next(found) if stop > start else np.empty(0, dtype) for _, start, stop in slices]


def load(path: str) -> Array:
    """A whole .npy file, in memory."""
    if is_local(path):
        whole: Array = np.load(_disk_name(path), allow_pickle=False)
    else:
        whole = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    return whole


def load_many(paths: Sequence[str]) -> list[Array]:
    """Whole .npy files, all on one file system; from a store about a hundred at once. Raises FileNotFoundError if one is not there."""
    if not paths or is_local(paths[0]):
        return [load(path) for path in paths]
    found = read_many(paths)
    if lost := [path for path in paths if path not in found]:
        raise FileNotFoundError(lost[0])
    return [np.load(io.BytesIO(found[path]), allow_pickle=False) for path in paths]


def read_span(path: str, start: int, stop: int) -> Array:
    """Rows [start, stop) of a .npy file."""
    return read_spans(path, [(start, stop)])[0]


def read_spans(path: str, spans: Sequence[tuple[int, int]]) -> list[Array]:
    """Several [start, stop) of the rows of a .npy file."""
    if is_local(path):
        whole = _mapped(_disk_name(path))
        return [np.array(whole[start:stop]) for start, stop in spans]
    return _pieces(path, spans)


def read_slices(slices: Sequence[tuple[str, int, int]], dtype: np.dtype[Any]) -> list[Array]:
    """Rows [start, stop) of .npy files dtype[·], all on one file system, those of one file together; from a store as `read_plains`."""
    if slices and is_local(slices[0][0]):
        by_file = groupby(slices, key=itemgetter(0))
        return [array for path, some in by_file for array in read_spans(path, [(start, stop) for _, start, stop in some])]
    offset, width = len(to_bytes(np.empty(0, dtype))), dtype.itemsize
    wanted = [(path, offset + start * width, offset + stop * width) for path, start, stop in slices if stop > start]
    contents = iter(read_pieces(wanted))
    return [np.frombuffer(next(contents) if stop > start else b"", dtype) for _, start, stop in slices]


def read_rows(path: str, rows: Int64) -> Array:
    """The numbered rows of a .npy file, in the order asked for; a row may be asked for repeatedly."""
    if is_local(path):
        return np.array(_mapped(_disk_name(path))[rows])
    header = _remote_header(path)
    runs, place = _runs(rows, _width(header))
    pieces = _pieces(path, [(int(run[0]), int(run[-1]) + 1) for run in runs], header)
    return _picked(pieces, runs)[place] if pieces else np.empty((0, *header[0][1:]), header[1])


def read_rows_of(files: Sequence[tuple[str, Int64]], dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> Iterator[Array]:
    """`read_rows` of many files, all of them dtype[·, *shape] and on one file system; from a store about a hundred pieces at once."""
    if files and is_local(files[0][0]):
        yield from (read_rows(path, rows) for path, rows in files)
        return
    header = ((0, *shape), dtype, len(to_bytes(np.empty((0, *shape), dtype))))
    waiting: list[tuple[str, list[Int64], Int64]] = []
    size = 0
    for path, rows in files:
        runs, place = _runs(rows, _width(header))
        waiting.append((path, runs, place))
        size += sum(int(run[-1] - run[0] + 1) for run in runs) * _width(header)
        if size >= AT_ONCE_BYTES:
            yield from _answers(waiting, header)
            waiting, size = [], 0
    yield from _answers(waiting, header)


def addresses(part: int, rows: Array) -> Int64:
    """int64[k]: part and row as one number."""
    return (np.int64(part) << ROW_BITS) | np.asarray(rows, np.int64)


def parts_of(address: Int64) -> Int64:
    """int64[k]: the part of each address."""
    return address >> ROW_BITS


def rows_of(address: Int64) -> Int64:
    """int64[k]: the row of each address."""
    return address & np.int64(2**ROW_BITS - 1)


def gather(address: Int64, path_of: Callable[[int], str], dtype: Any, shape: tuple[int, ...] = ()) -> Array:
    """What the files of many parts hold at the addresses: dtype[k, *shape]. `path_of` names the file of a part."""
    out = np.empty((len(address), *shape), dtype)
    part = parts_of(address)
    order = np.argsort(part, kind="stable")
    numbers, starts = np.unique(part[order], return_index=True)
    stores: dict[str, list[tuple[str, Int64]]] = {}  # references may be on another
    for number, mine in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
        path = path_of(number)
        stores.setdefault(path.partition("://")[0] if "://" in path else "", []).append((path, mine))
    for files in stores.values():
        wanted = [(path, rows_of(address[mine])) for path, mine in files]
        for (_, mine), found in zip(files, read_rows_of(wanted, np.dtype(dtype), shape), strict=True):
            out[mine] = found
    return out


def _answers(waiting: Sequence[tuple[str, list[Int64], Int64]], header: Header) -> Iterator[Array]:
    """The rows of each file, asked for together."""
    (_, *shape), dtype, offset = header
    width = _width(header)
    bounds = [
        (path, offset + int(run[0]) * width, offset + (int(run[-1]) + 1) * width) for path, runs, _ in waiting for run in runs
    ]
    contents = iter(read_pieces(bounds))
    for _, runs, place in waiting:
        pieces = [np.frombuffer(next(contents), dtype).reshape(-1, *shape) for _ in runs]
        yield _picked(pieces, runs)[place] if runs else np.empty((0, *shape), dtype)


def _runs(rows: Int64, width: int) -> tuple[list[Int64], Int64]:
    """The distinct rows, ascending, cut where the gap is worth another request; and the place of each row among them."""
    wanted, place = np.unique(rows, return_inverse=True)
    far = np.flatnonzero(np.diff(wanted) * width > GAP_BYTES) + 1
    return np.split(wanted, far) if len(wanted) else [], place


def _picked(pieces: Sequence[Array], runs: Sequence[Int64]) -> Array:
    """Of the pieces from the first to the last row of each run, the rows of the run."""
    return np.concatenate([piece[run - run[0]] for piece, run in zip(pieces, runs, strict=True)])


def _width(header: Header) -> int:
    """Bytes of a row."""
    shape, dtype, _ = header
    return dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))


@lru_cache(maxsize=100_000)
def _disk_name(path: str) -> str:
    """Of a local path. Asking fsspec takes as long as reading some rows."""
    return str(url_to_fs(path)[1])


def _mapped(name: str) -> Array:
    """A .npy file on a local disk as an array whose pages are read when they are touched."""
    status = os.stat(name)
    shape, dtype, offset = _local_header(name, status.st_ino, status.st_mtime_ns, status.st_size)
    if 0 in shape:
        return np.empty(shape, dtype)
    mapped: Array = np.memmap(name, dtype, "r", offset, shape)
    return mapped


@lru_cache(maxsize=100_000)
def _local_header(name: str, inode: int, mtime_ns: int, size: int) -> Header:
    """Of a file as it is now, for the clock of files is coarse; parsing it takes longer than copying some rows."""
    with open(name, "rb") as file:
        return _parsed(file)


def _pieces(path: str, spans: Sequence[tuple[int, int]], header: Header | None = None) -> list[Array]:
    header = header or _remote_header(path)
    shape, dtype, offset = header
    width = _width(header)
    contents = read_ranges(path, [(offset + start * width, offset + stop * width) for start, stop in spans if stop > start])
    found = iter(contents)
    return [
        np.frombuffer(next(found) if stop > start else b"", dtype).reshape(max(0, stop - start), *shape[1:])
        for start, stop in spans
    ]


def _remote_header(path: str) -> Header:
    return _parsed(io.BytesIO(read_ranges(path, [(0, HEADER_BYTES)])[0]))


def _parsed(file: BinaryIO) -> Header:
    """Shape, type, and where the rows begin."""
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype, file.tell()

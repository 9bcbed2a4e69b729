"""Arrays as files, and single rows of them: what steps of a stage hand one another.

On a local disk a file is mapped only while its rows are copied, so that a worker's memory does not grow with the files it has looked
into. From a store come only the bytes that are asked for, neighbours together.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from fsspec.core import url_to_fs

from pipelines.storage import is_local, read_bytes, read_ranges, write_bytes

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]
Header = tuple[tuple[int, ...], np.dtype[Any], int]

HEADER_BYTES = 1024
"""Of a file that are read to learn its type and shape: numpy writes 128, more for rows of many fields."""

GAP_BYTES = 65_536
"""Bytes that are read from a store, unneeded, rather than asking twice."""

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
    if stop <= start:
        return np.empty(0, dtype)
    if is_local(path):
        return np.fromfile(url_to_fs(path)[1], dtype, stop - start, offset=start * dtype.itemsize)
    return np.frombuffer(read_ranges(path, [(start * dtype.itemsize, stop * dtype.itemsize)])[0], dtype)


def load(path: str) -> Array:
    """A whole .npy file, in memory."""
    if is_local(path):
        whole: Array = np.load(url_to_fs(path)[1], allow_pickle=False)
    else:
        whole = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    return whole


def read_span(path: str, start: int, stop: int) -> Array:
    """Rows [start, stop) of a .npy file."""
    return read_spans(path, [(start, stop)])[0]


def read_spans(path: str, spans: Sequence[tuple[int, int]]) -> list[Array]:
    """Several [start, stop) of the rows of a .npy file."""
    if is_local(path):
        whole = _mapped(url_to_fs(path)[1])
        return [np.array(whole[start:stop]) for start, stop in spans]
    return _pieces(path, spans)


def read_rows(path: str, rows: Int64) -> Array:
    """The numbered rows of a .npy file, in the order asked for; a row may be asked for repeatedly."""
    if is_local(path):
        return np.array(_mapped(url_to_fs(path)[1])[rows])
    wanted, place = np.unique(rows, return_inverse=True)
    first = _header(path)
    width = first.itemsize * int(np.prod(first.shape[1:], dtype=np.int64))
    far = np.flatnonzero(np.diff(wanted) * width > GAP_BYTES) + 1
    runs = np.split(wanted, far)
    pieces = _pieces(path, [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)])
    found = [piece[run - run[0]] for piece, run in zip(pieces, runs, strict=False)]
    return np.concatenate(found)[place] if found else first[:0]


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
    for number, mine in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
        out[mine] = read_rows(path_of(number), rows_of(address[mine]))
    return out


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


def _header(path: str) -> Array:
    """An array of the file's type and shape whose rows cost no memory."""
    shape, dtype, _ = _remote_header(path)
    return np.broadcast_to(np.zeros(1, dtype), shape)


def _pieces(path: str, spans: Sequence[tuple[int, int]]) -> list[Array]:
    shape, dtype, offset = _remote_header(path)
    width = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
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

"""Arrow columns as their values were stored: checked, of one type, with a word for each row that cannot be used.

A file may hold anything under any column: Parquet strings are not always UTF-8, an id may be a number, licences come as strings,
lists, or BigQuery's `{"list": [{"item": ...}]}`. Nothing here raises for a value; a bad one becomes a Problem of its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_text import text_buffers


class Problem(NamedTuple):
    """Why a row is quarantined."""

    check: str
    """One word for counting: "text", "utf8", "json", …"""
    reason: str
    """What is wrong, and where; never quotes the text."""


Problems = dict[int, Problem]
"""Row of the batch → its first problem."""


def as_text(column: pa.Array, name: str, problems: Problems) -> pa.LargeStringArray:
    """large_string[n] of a string or binary column, zero-copy where the bytes are UTF-8; null rows and bad rows come back empty.

    Problems: null; not UTF-8; a NUL byte, which marks binary data and ends strings in much of what reads them.
    """
    if not _is_texty(column.type):
        _add(problems, range(len(column)), "text", f"column {name!r} holds {column.type}, not text")
        return pa.nulls(len(column), pa.large_string()).fill_null("")
    _add(problems, np.flatnonzero(column.is_null()), "text", f"column {name!r} is null")
    raw = column.cast(pa.large_binary()).fill_null(b"")
    raw = _without(raw, _invalid_utf8(raw), problems, "utf8", f"column {name!r} is not valid UTF-8")
    raw = _without(raw, _holds_nul(raw), problems, "nul", f"column {name!r} holds NUL bytes: binary data, not text")
    return raw.cast(pa.large_string())


def as_names(column: pa.Array, name: str, problems: Problems) -> pa.StringArray:
    """string[n] of a column of names or numbers, null as empty. Problem: not UTF-8."""
    if not _is_texty(column.type):
        return _cast_or_null(column, pa.string()).fill_null("")
    raw = column.cast(pa.large_binary()).fill_null(b"")
    raw = _without(raw, _invalid_utf8(raw), problems, "utf8", f"column {name!r} is not valid UTF-8")
    return raw.cast(pa.string())


def as_counts(column: pa.Array) -> pa.Int64Array:
    """int64[n]: null where a value is not a whole number."""
    return _cast_or_null(column, pa.int64())


def as_values(column: pa.Array, name: str, problems: Problems) -> list[Any]:
    """Python values of any column, n of them, for those that are nested; None for bad rows. Problem: not UTF-8. About 1 µs a value."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_as_value(value) for value in column]
        bad = [i for i, value in enumerate(values) if value is None and column[i].is_valid]
        _add(problems, bad, "utf8", f"column {name!r} is not valid UTF-8")
    return values


def as_licenses(column: pa.Array, name: str, problems: Problems) -> pa.ListArray:
    """list<string>[n]: SPDX expressions that all hold.

    A string is split at commas, which no SPDX expression contains; a list is taken as it is; so is BigQuery's nested list.
    """
    if pa.types.is_struct(column.type) and column.type.num_fields == 1:
        column = pc.struct_field(column, [0])
    if _is_list(column.type) and pa.types.is_struct(column.type.value_type):
        items = pc.struct_field(column.flatten(), [0])
        column = pa.ListArray.from_arrays(_list_offsets(column), items)
    if _is_list(column.type):
        in_list: Problems = {}
        values = as_names(column.flatten(), name, in_list)
        _blame_rows(column, in_list, problems)
        return _clean(pa.ListArray.from_arrays(_list_offsets(column), values).to_pylist())
    return _clean([text.split(",") for text in as_names(column, name, problems).to_pylist()])


def constant(value: str, n: int) -> pa.StringArray:
    """string[n], all equal."""
    return pa.repeat(pa.scalar(value, pa.string()), n)


def no_licenses(n: int) -> pa.ListArray:
    """list<string>[n], all empty."""
    return pa.array([[]] * n, pa.list_(pa.string()))


def joined_lists(columns: Sequence[pa.ListArray]) -> pa.ListArray:
    """list<string>[n]: the entries of all columns, each once, in the order of their first mention."""
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.array([list(dict.fromkeys(entry for each in row for entry in each)) for row in rows], pa.list_(pa.string()))


def _is_texty(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _invalid_utf8(raw: pa.LargeBinaryArray) -> npt.NDArray[np.int64]:
    """Rows that do not decode. Arrow checks a good batch at several GB/s; only a bad one is looked at row by row."""
    try:
        raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        return np.flatnonzero([not _decodes(value.as_buffer()) for value in raw])
    return np.zeros(0, np.int64)


def _decodes(value: pa.Buffer) -> bool:
    try:
        str(value, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _holds_nul(raw: pa.LargeBinaryArray) -> npt.NDArray[np.int64]:
    """Rows with a zero byte; one pass at memory speed, and a look at the offsets where there is one."""
    data, offsets = text_buffers(raw)
    if len(data) == 0 or data[offsets[0] : offsets[-1]].min(initial=255):
        return np.zeros(0, np.int64)
    zeros = offsets[0] + np.flatnonzero(data[offsets[0] : offsets[-1]] == 0)
    return np.unique(np.searchsorted(offsets, zeros, side="right") - 1)


def _without(
    raw: pa.LargeBinaryArray, bad: npt.NDArray[np.int64], problems: Problems, check: str, reason: str
) -> pa.LargeBinaryArray:
    """The array with bad rows emptied and blamed."""
    if len(bad) == 0:
        return raw
    _add(problems, bad, check, reason)
    mask = np.zeros(len(raw), np.bool_)
    mask[bad] = True
    return pc.if_else(pa.array(mask), pa.scalar(b"", raw.type), raw)


def _add(problems: Problems, rows: Sequence[int] | range | npt.NDArray[np.int64], check: str, reason: str) -> None:
    for row in rows:
        problems.setdefault(int(row), Problem(check, reason))


def _cast_or_null(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values that can be cast, null for the others."""
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([_cast_value(value, kind) for value in column], kind)


def _cast_value(value: pa.Scalar, kind: pa.DataType) -> object:
    try:
        return value.cast(kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):
        return None


def _as_value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return None


def _list_offsets(column: pa.ListArray) -> pa.Array:
    """Offsets that fit `flatten()`, which leaves out null lists."""
    lengths = pc.list_value_length(column).fill_null(0).cast(pa.int64())
    return pa.array(np.concatenate([[0], np.cumsum(np.asarray(lengths))]), pa.int32())


def _blame_rows(column: pa.Array, in_list: Problems, problems: Problems) -> None:
    ends = np.asarray(_list_offsets(column))[1:]
    for item, problem in in_list.items():
        problems.setdefault(int(np.searchsorted(ends, item, side="right")), problem)


def _clean(lists: list[list[str | None]]) -> pa.ListArray:
    kept = [[text.strip() for text in texts if text and text.strip()] for texts in lists]
    return pa.array(kept, pa.list_(pa.string()))

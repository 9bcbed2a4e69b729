"""Counts of characters and lines of UTF-8 texts, exactly as Python's str methods would give them, without decoding.

One numba kernel walks the Arrow buffer once. What `str.isalnum`, `str.isalpha` and `str.splitlines` say of each code point is looked
up in a table made from these very methods, so Unicode versions cannot differ. About 1.1 MB of table, of which ASCII text touches 128
bytes.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ALNUM = 1
_ALPHA = 2
_LINE_BREAK = 4
_N_METRICS = 6


class TextMetrics(NamedTuple):
    """Of n texts; each field int64[n], in characters unless said otherwise."""

    characters: npt.NDArray[np.int64]
    alphanumeric: npt.NDArray[np.int64]
    alphabetic: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    """Number of lines, as `splitlines` counts them."""
    line_characters: npt.NDArray[np.int64]
    """Characters without line ends."""
    longest_line: npt.NDArray[np.int64]


def text_metrics(text: pa.LargeStringArray) -> TextMetrics:
    """Metrics of each text. One pass over the bytes."""
    _, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1] if offsets else np.zeros(1, np.int64)
    content = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    out = np.zeros((_N_METRICS, len(text)), np.int64)
    _measure(bounds, content, _table(), out)
    return TextMetrics(*out)


@cache
def _table() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]: what Python says of each code point. About 0.2 s, once a process."""
    letters = [chr(point) for point in range(0x110000)]
    alnum = np.array([letter.isalnum() for letter in letters], np.uint8)
    alpha = np.array([letter.isalpha() for letter in letters], np.uint8)
    table = alnum * np.uint8(_ALNUM) + alpha * np.uint8(_ALPHA)
    table[[point for point in range(0x3000) if len(f"a{chr(point)}a".splitlines()) > 1]] += _LINE_BREAK
    return table


@numba.njit(cache=True, nogil=True)
def _measure(
    bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], table: npt.NDArray[np.uint8], out: npt.NDArray[np.int64]
) -> None:
    """Fills out: int64[6, n] in the order of TextMetrics. `data` must be valid UTF-8 between the bounds, int64[n + 1]."""
    for d in range(bounds.size - 1):
        i, end = bounds[d], bounds[d + 1]
        characters = alnum = alpha = lines = in_lines = longest = current = np.int64(0)
        while i < end:
            point = np.int64(data[i])
            if point < 0x80:
                i += 1
            elif point < 0xE0:
                point = (point & 0x1F) << 6 | (data[i + 1] & 0x3F)
                i += 2
            elif point < 0xF0:
                point = (point & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F)
                i += 3
            else:
                point = (
                    (point & 0x07) << 18
                    | np.int64(data[i + 1] & 0x3F) << 12
                    | np.int64(data[i + 2] & 0x3F) << 6
                    | (data[i + 3] & 0x3F)
                )
                i += 4
            flags = np.int64(table[point])
            characters += 1
            alnum += flags & 1
            alpha += (flags >> 1) & 1
            if flags & 4:
                if point == 13 and i < end and data[i] == 10:
                    i += 1
                    characters += 1
                lines += 1
                in_lines += current
                longest = max(longest, current)
                current = np.int64(0)
            else:
                current += 1
        if current > 0:
            lines += 1
            in_lines += current
            longest = max(longest, current)
        out[0, d], out[1, d], out[2, d] = characters, alnum, alpha
        out[3, d], out[4, d], out[5, d] = lines, in_lines, longest

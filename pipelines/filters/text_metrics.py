"""Counts of characters and lines of UTF-8 texts, exactly as Python's str methods would give them, without decoding.

One numba kernel walks the Arrow buffer once. What `str.isalnum`, `str.isalpha` and `str.splitlines` say of each code point is looked
up in a table made from these very methods, so Unicode versions cannot differ. About 1.1 MB of table, of which ASCII text touches 128
bytes.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.arrow_text import text_buffers

_ALNUM = 1
_ALPHA = 2
_LINE_BREAK = 4
_N_METRICS = 6
_LETTERS_END = 0x40000
"""Above it, Unicode has marks and private points only: nothing alphanumeric."""


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
    content, bounds = text_buffers(text)
    out = np.zeros((_N_METRICS, len(text)), np.int64)
    from pipelines.filters.text_metrics_kernel import measure

    measure(bounds, content, _table(), out)
    return TextMetrics(*out)


@cache
def _table() -> npt.NDArray[np.uint8]:
    """uint8[0x110000]: what Python says of each code point. About 0.05 s, once a process."""
    letters = [chr(point) for point in range(_LETTERS_END)]
    table = np.zeros(0x110000, np.uint8)
    table[:_LETTERS_END] += np.fromiter(map(str.isalnum, letters), np.uint8, _LETTERS_END) * np.uint8(_ALNUM)
    table[:_LETTERS_END] += np.fromiter(map(str.isalpha, letters), np.uint8, _LETTERS_END) * np.uint8(_ALPHA)
    table[[point for point in range(0x3000) if len(f"a{chr(point)}a".splitlines()) > 1]] += _LINE_BREAK
    return table

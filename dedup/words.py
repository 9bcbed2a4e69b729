"""Text as buffers, and what a word is: a maximal run of A-Z a-z 0-9 _ and, unless switched off, of bytes ≥ 0x80."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.errors import InputError
from dedup.arrays import Int64, UInt8

Scalar = TypeVar("Scalar", bound=np.generic)

ASCII_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


class TextBuffers(NamedTuple):
    """n documents, one behind the other. Both arrays are read-only views of Arrow's memory."""

    data: UInt8
    """uint8[bytes], UTF-8"""
    offsets: Int64
    """int64[n + 1]: document i is data[offsets[i]:offsets[i + 1]]; the first need not be 0"""


def text_buffers(text: pa.LargeStringArray) -> TextBuffers:
    """The buffers of a RecordBatch column of type large_string, without a copy. Raises InputError for other types and for nulls."""
    if not isinstance(text, pa.LargeStringArray):
        found = text.type if isinstance(text, pa.Array | pa.ChunkedArray) else "no Arrow type"
        raise InputError(
            f"text is a {type(text).__name__} of {found}; a LargeStringArray is needed: "
            "take the column of one RecordBatch, and cast it to pa.large_string()."
        )
    if text.null_count:
        raise InputError(f"text has {text.null_count:,} nulls among {len(text):,} documents; fill or drop them first.")
    if len(text) == 0:
        return TextBuffers(_view(b"", np.uint8), _view(bytes(8), np.int64))
    _, offsets, data = text.buffers()
    return TextBuffers(_view(data or b"", np.uint8), _view(offsets, np.int64)[text.offset : text.offset + len(text) + 1])


@lru_cache
def alphabet(lowercase: bool, non_ascii: bool) -> UInt8:
    """uint8[256]: for each byte 0 if it separates words, else the byte that stands for it in them."""
    table = np.zeros(256, np.uint8)
    table[list(ASCII_WORD)] = list(ASCII_WORD.lower() if lowercase else ASCII_WORD)
    if non_ascii:
        table[128:] = np.arange(128, 256)
    table.flags.writeable = False
    return table


def _view(buffer: pa.Buffer | bytes, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """Read-only even where Arrow's memory is not, so that the kernels see one type and compile once."""
    array = np.frombuffer(buffer, dtype)
    array.flags.writeable = False
    return array

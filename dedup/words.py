"""Text as buffers, and what a word is: a maximal run of A-Z a-z 0-9 _ and, unless switched off, of bytes ≥ 0x80."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from contracts import arrow_text
from contracts.arrow_text import TextBuffers
from contracts.errors import InputError
from dedup.arrays import UInt8

ASCII_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


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
    return arrow_text.text_buffers(text)


@lru_cache
def alphabet(lowercase: bool, non_ascii: bool) -> UInt8:
    """uint8[256]: for each byte 0 if it separates words, else the byte that stands for it in them."""
    table = np.zeros(256, np.uint8)
    table[list(ASCII_WORD)] = list(ASCII_WORD.lower() if lowercase else ASCII_WORD)
    if non_ascii:
        table[128:] = np.arange(128, 256)
    table.flags.writeable = False
    return table

"""Marks, the control tokens that stand in documents: as columns, as bytes to hash, and taken out of texts that spell them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_text import text_buffers
from contracts.schemas import MARK, MARKS

Mark = tuple[int, str]
"""Byte of the UTF-8 text that a control token stands before, and the token."""


class Marked(NamedTuple):
    """One text and what stands in it."""

    text: bytes
    """UTF-8."""
    marks: tuple[Mark, ...] = ()
    """By ascending place."""


def no_marks(n: int) -> pa.ListArray:
    """MARKS[n], all empty."""
    return as_marks([()] * n)


def as_marks(rows: Sequence[Sequence[Mark]]) -> pa.ListArray:
    """MARKS[n] of n documents' marks."""
    flat = [mark for row in rows for mark in row]
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return _lists(np.array([at for at, _ in flat], np.int64), [token for _, token in flat], ends)


def hashed_marks(marks: pa.ListArray) -> list[bytes]:
    """What of each document's marks enters its hashes behind the text: b"" where there are none; see contracts.schemas.DOCUMENT."""
    flat = marks.flatten()
    if len(flat) == 0:
        return [b""] * len(marks)
    pairs = zip(flat.field("at").to_pylist(), flat.field("token").to_pylist(), strict=True)
    words = [b"%d:%b;" % (at, token.encode()) for at, token in pairs]
    ends = np.cumsum(np.asarray(pc.list_value_length(marks))).tolist()
    return [b"\xff" + b"".join(words[start:stop]) if stop > start else b"" for start, stop in pairwise([0, *ends])]


def take_marks(text: pa.LargeStringArray, tokens: Sequence[str]) -> tuple[pa.LargeStringArray, pa.ListArray]:
    """The texts without what spells one of `tokens`, and those tokens as marks.

    Where nothing is found, or no token is asked for, the texts come back as they are. Cost: one search of a regular expression over the
    whole buffer, and a copy of the texts where it finds any.
    """
    data, offsets = text_buffers(text)
    doc, start, stop, found = _spelled(offsets, data, tokens)
    if len(doc) == 0:
        return text, no_marks(len(text))
    taken = np.concatenate([[0], np.cumsum(stop - start)])  # bytes taken before the k-th token
    moved = offsets - offsets[0] - taken[np.searchsorted(start, offsets, side="left")]
    at = start - offsets[0] - taken[:-1] - moved[doc]
    ends = np.searchsorted(doc, np.arange(len(text)), side="right")
    return _without(data, offsets, start, stop, moved), _lists(at, found, ends)


Int64 = npt.NDArray[np.int64]


def _spelled(offsets: Int64, data: npt.NDArray[np.uint8], tokens: Sequence[str]) -> tuple[Int64, Int64, Int64, list[str]]:
    """Of each token that is spelled: its document, where in the buffer it begins and ends, and which it is; ascending.

    All tokens begin with "<" and hold no other, so they never overlap, and what is spelled across two documents hides none that is not.
    """
    first, last = int(offsets[0]), int(offsets[-1])
    if not tokens or first == last:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), []
    pattern = re.compile(b"|".join(re.escape(token.encode()) for token in tokens))
    matches = list(pattern.finditer(memoryview(data.data)[first:last]))
    start = first + np.array([match.start() for match in matches], np.int64)
    stop = first + np.array([match.end() for match in matches], np.int64)
    doc = np.searchsorted(offsets, start, side="right").astype(np.int64) - 1
    whole = stop <= offsets[doc + 1]
    found = [match.group().decode() for match, inside in zip(matches, whole.tolist(), strict=True) if inside]
    return doc[whole], start[whole], stop[whole], found


def _without(data: npt.NDArray[np.uint8], offsets: Int64, start: Int64, stop: Int64, moved: Int64) -> pa.LargeStringArray:
    """The texts without the bytes [start, stop) of the buffer; `moved`: where they begin then."""
    view = memoryview(data.data)
    begins, ends = [int(offsets[0]), *stop.tolist()], [*start.tolist(), int(offsets[-1])]
    joined = b"".join([view[begin:end] for begin, end in zip(begins, ends, strict=True)])
    return pa.LargeStringArray.from_buffers(len(moved) - 1, pa.py_buffer(moved.astype(np.int64)), pa.py_buffer(joined))


def _lists(at: Int64, tokens: Sequence[str], ends: Int64) -> pa.ListArray:
    """MARKS[n]; `ends`: int64[n], how many marks there are up to the end of each document."""
    marks = pa.StructArray.from_arrays([pa.array(at, pa.int64()), pa.array(tokens, pa.string())], fields=list(MARK))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), marks, type=MARKS)

"""What objectives may know of text: the bytes behind each id, and a function that turns text into ids.

Both come from the tokenizer as arguments; this room does not know it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

CONTROL = 1
"""Flag of an id without text: a control token, or one that is not used."""

STARTS_SPACE = 2
"""Flag of a token whose first byte is ASCII white space."""

ENDS_WORD = 4
"""Flag of a token that ends with a whole character which is not white space."""

STARTS_CHARACTER = 8
"""Flag of a token whose first byte begins a character; control tokens too."""

NEWLINE = 10
"""The byte."""

Counts = npt.NDArray[np.uint16 | np.uint32]
"""Of something in each token: 16 bits, so that the table of a usual vocabulary stays in a core's cache; 32 where a token is that long."""

Encode = Callable[[pa.LargeStringArray], tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]
"""n texts to (ids uint32[tokens], offsets int64[n + 1]): text i has the ids ids[offsets[i]:offsets[i + 1]]. Never a control token."""


@dataclass(frozen=True, eq=False)
class TextTable:
    """The bytes that each id stands for; none for control tokens."""

    offsets: npt.NDArray[np.int64]
    """int64[V + 1]: id i stands for data[offsets[i]:offsets[i + 1]]"""
    data: npt.NDArray[np.uint8]
    """uint8[bytes]"""

    def spell(self, ids: npt.NDArray[np.unsignedinteger]) -> bytes:
        """The text of a sequence of ids, without its control tokens. Cost: about 1 ns a byte."""
        text: bytes = _spell(ids, self.offsets, self.data).tobytes()
        return text

    @cached_property
    def characters(self) -> Counts:
        """uint16[V]: UTF-8 characters that begin in each token."""
        return self._count((self.data & 0xC0) != 0x80)

    @cached_property
    def newlines(self) -> Counts:
        """uint16[V]: newlines in each token."""
        return self._count(self.data == NEWLINE)

    @cached_property
    def newline(self) -> int:
        """Id of the token that is a newline and nothing else; a byte-level BPE always has one, and writes a newline alone with it."""
        begin = self.offsets[:-1]
        alone = (np.diff(self.offsets) == 1) & (self.data[np.minimum(begin, len(self.data) - 1)] == NEWLINE)
        return int(np.flatnonzero(alone)[0])

    @cached_property
    def ends_line(self) -> npt.NDArray[np.bool_]:
        """bool[V]: whether a token's text ends with a newline."""
        last = np.maximum(self.offsets[1:], 1) - 1
        ends: npt.NDArray[np.bool_] = (np.diff(self.offsets) > 0) & (self.data[last] == NEWLINE)
        return ends

    @cached_property
    def flags(self) -> npt.NDArray[np.uint8]:
        """uint8[V]: CONTROL, STARTS_SPACE, ENDS_WORD, STARTS_CHARACTER added up. Cost: about 1 µs an id, once."""
        text, edges = self.data.tobytes(), self.offsets.tolist()
        tokens = (text[begin:end] for begin, end in pairwise(edges))
        return np.fromiter(map(_flags, tokens), np.uint8, len(edges) - 1)

    def _count(self, matches: npt.NDArray[np.bool_]) -> Counts:
        before = np.concatenate([[0], np.cumsum(matches)])
        counts = np.diff(before[self.offsets])
        return counts.astype(np.uint16 if counts.max(initial=0) < 2**16 else np.uint32)


@dataclass(frozen=True, eq=False)
class Codec:
    """Both directions between text and ids."""

    table: TextTable
    encode: Encode


def _flags(text: bytes) -> int:
    if not text:
        return CONTROL | STARTS_CHARACTER
    last = _last_character(text)
    starts_space = STARTS_SPACE * (text[:1] in b" \t\n\r\v\f")
    return starts_space | ENDS_WORD * (last != "" and not last.isspace()) | STARTS_CHARACTER * (text[0] & 0xC0 != 0x80)


def _last_character(text: bytes) -> str:
    """The character that a token ends with, or "" if it ends within one, or began before the token."""
    for size in range(1, min(4, len(text)) + 1):
        try:
            return text[-size:].decode()
        except UnicodeDecodeError:
            continue
    return ""


@njit(cache=True, nogil=True)
def _spell(
    ids: npt.NDArray[np.unsignedinteger], offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    size = 0
    for token in ids:
        size += offsets[token + 1] - offsets[token]
    out = np.empty(size, np.uint8)
    at = 0
    for token in ids:
        for j in range(offsets[token], offsets[token + 1]):
            out[at] = data[j]
            at += 1
    return out

"""Two cuts through a chunk at any character, and the text around them that has to be encoded anew.

    tokens     … │ def│ foo│(bar│, b│az│):│¶│ return│ …        a cut within " foo" and one within "az"
                     ╎    ╎   ^   ╎      ^   ╎
                   safe  left ╰cut╯ right     safe

A place between two tokens is safe if encoding the text on its two sides separately gives the same ids as encoding it at once. In
GPT-2's way to split words, which the published tokenizers share, that holds wherever a character that is not white space meets white
space: no word contains such a pair. Control tokens are never encoded, so beside them it holds too; and at a chunk's edges nothing
else is left. (A tokenizer with words across such places still gets back every byte; only the split around a cut may differ then.)

So a cut costs the encoding of what lies between the nearest safe places: a word or a few. There are up to four pieces of text:

    left[0] ─ 0 ─ cut[0] ─ 1 ─ right[0]   …   left[1] ─ 2 ─ cut[1] ─ 3 ─ right[1]         where the cuts lie in different words
    left[0] ─ 0 ─ cut[0] ────── 1 ────── cut[1] ─ 3 ─ right[1]                            where they share one
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from sharding.objectives.text import CONTROL, ENDS_WORD, NEWLINE, STARTS_CHARACTER, STARTS_SPACE, Counts, TextTable
from sharding.randomness import below
from sharding.token_ids import TokenIds

AGAIN = 1000
"""Added to the counter of a draw that is made once more; beyond all others."""

CutUnit = Literal["character", "token", "line"]
_TOKEN, _CHARACTER, _LINE = 0, 1, 2
_CODE: dict[CutUnit, int] = {"token": _TOKEN, "character": _CHARACTER, "line": _LINE}

Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]


class CutPairs(NamedTuple):
    """Two cuts in each of c chunks, the earlier first."""

    token: Int64
    """int64[c, 2]: the token of the flat ids in or before which it lies"""
    byte: Int64
    """int64[c, 2]: bytes of that token before it"""
    left: Int64
    """int64[c, 2]: nearest safe place at or before it, as a token of the flat ids"""
    right: Int64
    """int64[c, 2]: nearest safe place at or after it"""

    @property
    def shared(self) -> npt.NDArray[np.bool_]:
        """bool[c]: whether both cuts lie between the same two safe places."""
        same = (self.left[:, 0] == self.left[:, 1]) & (self.right[:, 0] == self.right[:, 1])
        shared: npt.NDArray[np.bool_] = same & (self.left[:, 0] < self.right[:, 0])
        return shared

    @property
    def replaced(self) -> Int64:
        """int64[c]: tokens that the encoded pieces stand in for."""
        widths = self.right - self.left
        replaced: Int64 = widths[:, 0] + np.where(self.shared, 0, widths[:, 1])
        return replaced


def draw_cuts(
    ids: TokenIds, first: Int64, stop: Int64, drawn: Int64, key: npt.NDArray[np.uint64], counter: int, at: CutUnit, table: TextTable
) -> CutPairs:
    """Two independent uniform cuts in each chunk ids[first[i]:stop[i]], edges included. Chunks begin and end between characters.

    They are drawn from ids[first[i]:drawn[i]], and one that falls behind `stop` once more, from the chunk alone.

    "character": before any character or at the end. Control tokens count for nothing; a cut where some stand goes behind them.
    "line": at the start, after any newline, or at the end. "token": between any two tokens; one that would part the bytes of a
    character moves to the left of it, and nothing is encoded anew. Draws `counter` and `counter + 1` of each key,
    and AGAIN further ones.

    Cost: about 5 ns a token; nothing to speak of for "token".
    """
    units = {"character": table.characters, "line": table.newlines, "token": table.newlines}[at]
    return CutPairs(*_draw(ids, first, stop, drawn, key, counter, _CODE[at], units, table.flags, table.offsets, table.data))


def piece_texts(ids: TokenIds, cuts: CutPairs, table: TextTable) -> pa.LargeStringArray:
    """The text of the four pieces of each chunk, string[4 c]."""
    offsets, data = _gather(ids, cuts.token, cuts.byte, cuts.left, cuts.right, cuts.shared, table.offsets, table.data)
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@njit(cache=True, nogil=True)
def _draw(
    ids: TokenIds,
    first: Int64,
    stop: Int64,
    drawn: Int64,
    key: npt.NDArray[np.uint64],
    counter: int,
    at: int,
    units: Counts,
    flags: UInt8,
    offsets: Int64,
    data: UInt8,
) -> tuple[Int64, Int64, Int64, Int64]:
    shape = (len(first), 2)
    token, byte, left, right = (
        np.empty(shape, np.int64),
        np.zeros(shape, np.int64),
        np.empty(shape, np.int64),
        np.empty(shape, np.int64),
    )
    for i in range(len(first)):
        last = _last_place(ids, first[i], stop[i], at, units, offsets, data)
        wide = last if drawn[i] == stop[i] else _last_place(ids, first[i], drawn[i], at, units, offsets, data)
        one, other = _place(key[i], counter, wide, last), _place(key[i], counter + 1, wide, last)
        for k, place in enumerate((min(one, other), max(one, other))):
            if at == _TOKEN:
                token[i, k] = left[i, k] = right[i, k] = _whole_character(ids, first[i], first[i] + place, stop[i], flags)
                continue
            if at == _CHARACTER:
                where, within = _before_character(ids, first[i], stop[i], place, units, offsets, data)
            else:
                where, within = _after_newline(ids, first[i], stop[i], place, units, offsets, data)
            token[i, k], byte[i, k] = where, within
            left[i, k] = _safe_left(ids, first[i], where, stop[i], flags)
            right[i, k] = _safe_right(ids, first[i], where + (within > 0), stop[i], flags)
    return token, byte, left, right


@njit(cache=True, nogil=True)
def _place(key: np.uint64, counter: int, wide: int, last: int) -> int:
    """Uniform over 0 … last, drawn from 0 … wide."""
    place = below(key, counter, wide + 1)
    return place if place <= last else below(key, counter + AGAIN, last + 1)


@njit(cache=True, nogil=True)
def _last_place(ids: TokenIds, first: int, stop: int, at: int, units: Counts, offsets: Int64, data: UInt8) -> int:
    """Places to cut at are numbered from 0 to this."""
    if at == _TOKEN:
        return stop - first
    total = 0
    for j in range(first, stop):
        total += units[ids[j]]
    if at == _LINE and stop > first:  # the end is a place of its own unless the text ends with a newline
        end = offsets[ids[stop - 1] + 1]
        total += not (end > offsets[ids[stop - 1]] and data[end - 1] == NEWLINE)
    return total


@njit(cache=True, nogil=True)
def _whole_character(ids: TokenIds, first: int, at: int, stop: int, flags: UInt8) -> int:
    while first < at < stop and not flags[ids[at]] & STARTS_CHARACTER:
        at -= 1
    return at


@njit(cache=True, nogil=True)
def _before_character(
    ids: TokenIds, first: int, stop: int, place: int, characters: Counts, offsets: Int64, data: UInt8
) -> tuple[int, int]:
    """(token, bytes of it) before the character number `place`, or the end."""
    for j in range(first, stop):
        if characters[ids[j]] <= place:
            place -= characters[ids[j]]
            continue
        for b in range(offsets[ids[j]], offsets[ids[j] + 1]):
            if data[b] & 0xC0 != 0x80:
                if place == 0:
                    return j, b - offsets[ids[j]]
                place -= 1
    return stop, 0


@njit(cache=True, nogil=True)
def _after_newline(
    ids: TokenIds, first: int, stop: int, place: int, newlines: Counts, offsets: Int64, data: UInt8
) -> tuple[int, int]:
    """(token, bytes of it) behind the place-th newline; the start for 0, the end where there are not so many."""
    if place == 0:
        return first, 0
    for j in range(first, stop):
        if newlines[ids[j]] < place:
            place -= newlines[ids[j]]
            continue
        for b in range(offsets[ids[j]], offsets[ids[j] + 1]):
            place -= data[b] == NEWLINE
            if place == 0:
                return (j + 1, 0) if b + 1 == offsets[ids[j] + 1] else (j, b + 1 - offsets[ids[j]])
    return stop, 0


@njit(cache=True, nogil=True, inline="always")
def _is_safe(ids: TokenIds, first: int, at: int, stop: int, flags: UInt8) -> bool:
    if at <= first or at >= stop:
        return True
    before, after = flags[ids[at - 1]], flags[ids[at]]
    return bool((before | after) & CONTROL) or bool(before & ENDS_WORD and after & STARTS_SPACE)


@njit(cache=True, nogil=True)
def _safe_left(ids: TokenIds, first: int, at: int, stop: int, flags: UInt8) -> int:
    while not _is_safe(ids, first, at, stop, flags):
        at -= 1
    return at


@njit(cache=True, nogil=True)
def _safe_right(ids: TokenIds, first: int, at: int, stop: int, flags: UInt8) -> int:
    while not _is_safe(ids, first, at, stop, flags):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _gather(
    ids: TokenIds,
    token: Int64,
    byte: Int64,
    left: Int64,
    right: Int64,
    shared: npt.NDArray[np.bool_],
    offsets: Int64,
    data: UInt8,
) -> tuple[Int64, UInt8]:
    """(offsets int64[4 c + 1], text) of the pieces. The text is written twice: once to learn its size."""
    ends = np.zeros(4 * len(token) + 1, np.int64)
    out = np.empty(0, np.uint8)
    for really in (False, True):
        at = 0
        for i in range(len(token)):
            (a, b), (x, y) = (token[i, 0], token[i, 1]), (byte[i, 0], byte[i, 1])
            at = _spell(out, at, ids, left[i, 0], 0, a, x, offsets, data, really)
            ends[4 * i + 1] = at
            if shared[i]:
                at = _spell(out, at, ids, a, x, b, y, offsets, data, really)
                ends[4 * i + 2] = ends[4 * i + 3] = at
            else:
                at = _spell(out, at, ids, a, x, right[i, 0], 0, offsets, data, really)
                ends[4 * i + 2] = at
                at = _spell(out, at, ids, left[i, 1], 0, b, y, offsets, data, really)
                ends[4 * i + 3] = at
            at = _spell(out, at, ids, b, y, right[i, 1], 0, offsets, data, really)
            ends[4 * i + 4] = at
        if not really:
            out = np.empty(at, np.uint8)
    return ends, out


@njit(cache=True, nogil=True)
def _spell(
    out: UInt8,
    at: int,
    ids: TokenIds,
    token: int,
    byte: int,
    end_token: int,
    end_byte: int,
    offsets: Int64,
    data: UInt8,
    really: bool,
) -> int:
    """Writes the text from `byte` of `token` to `end_byte` of `end_token` if `really`; the next free place of `out`."""
    for j in range(token, end_token + (end_byte > 0)):
        begin = offsets[ids[j]] + (byte if j == token else 0)
        end = offsets[ids[j]] + end_byte if j == end_token else offsets[ids[j] + 1]
        if really:
            for b in range(begin, end):
                out[at + b - begin] = data[b]
        at += end - begin
    return at

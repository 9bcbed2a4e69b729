r"""The words of a text and how often each occurs: what BPE is trained on.

    text ─▶ pieces between whitespace runs or digits ─▶ words by GPT-2's pattern ─▶ table(word, count)

    GPT-2's pattern:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

A numba kernel that walks over the Arrow buffer and counts in a hash table. It returns when the table is full, and is called again with a
larger one: a kernel that exchanges its own tables is compiled to much slower code. What is a letter, a number or a space it learns from
`tokenizers`, so that training and encoding agree on each character whatever Unicode version either knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Regex, pre_tokenizers

from contracts.arrow_text import text_buffers
from tokenizer.digits import digits
from tokenizer.utf8 import character_at, characters_where

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

LONGEST_WORD = 256
"""Bytes. Longer words (base64, minified data) are left out of training: no token would be won from them. Our choice."""

OTHER, LETTER, NUMBER, SPACE = range(4)

_ALONE = 4
"""The class of digits that are words of their own: each ends what comes before it."""

_BLANK, _TAB, _APOSTROPHE = 32, 9, 39


class Words(NamedTuple):
    """Distinct words of some text."""

    table: pa.Table
    """word: large_binary, hash: uint64, count: int64; in order of first appearance."""
    blank_bytes: int
    """Bytes in runs of two or more spaces or tabs that were left out."""
    long_words: int
    """Words that were left out since they are longer than LONGEST_WORD."""


SCHEMA = pa.schema([("word", pa.large_binary()), ("hash", pa.uint64()), ("count", pa.int64())])

COUNTED = pa.schema([("word", pa.large_binary()), ("count", pa.int64())])
"""Words and their counts, once nothing needs their hashes."""


def count_words(text: pa.LargeStringArray, *, skip_runs: bool, digits_alone: bool = False) -> Words:
    """Counts the words of all documents.

    `skip_runs`: leave out runs of two or more spaces or tabs, which have tokens of their own. `digits_alone`: each digit is a word, and
    what stands between two is split by itself (tokenizer.digits).

    One thread, about 80 MB/s of Python source in CPU time (the standard library's, repeated to 63 MB; once the kernel is compiled, which
    takes 2 s). Memory: 48 to 96 bytes a distinct word.
    """
    data, offsets = text_buffers(text)
    classes = np.where(digits(), np.uint8(_ALONE), character_classes()) if digits_alone else character_classes()
    table, at = _count(data, offsets, classes, skip_runs)
    n = at.words
    spelled = _gather(data, table.starts[:n], table.lengths[:n])
    words = pa.table([spelled, pa.array(table.hashes[:n]), pa.array(table.counts[:n])], schema=SCHEMA)
    return Words(words, at.blank_bytes, at.long_words)


def merge_words(tables: list[pa.Table]) -> pa.Table:
    """One row a word, by descending count, then by the word's bytes; so the result depends on the counts alone."""
    counted = pa.concat_tables([each.select(COUNTED.names) for each in (SCHEMA.empty_table(), *tables)])
    summed = counted.group_by("word", use_threads=False).aggregate([("count", "sum")]).rename_columns(["word", "count"])
    return summed.sort_by([("count", "descending"), ("word", "ascending")])


@cache
def character_classes() -> Bytes:
    """uint8[0x110000]: OTHER, LETTER, NUMBER or SPACE of each character, as the regular expressions of `tokenizers` see it."""
    classes = np.full(0x110000, OTHER, np.uint8)
    for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        classes[characters_where(partial(_matches, pre_tokenizers.Split(Regex(pattern), "removed")))] = kind
    return classes


def _matches(split: Any, characters: Sequence[str]) -> list[int]:
    """Which of the characters `split` removes."""
    left = [place for _, bounds in split.pre_tokenize_str("".join(characters)) for place in range(*bounds)]
    return sorted(set(range(len(characters))).difference(left))


def _gather(data: Bytes, starts: Int64, lengths: Int64) -> pa.LargeBinaryArray:
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    found = _copy(data, starts, offsets)
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(starts), [None, pa.py_buffer(offsets), pa.py_buffer(found)])


@numba.njit(cache=True)
def _copy(data: Bytes, starts: Int64, offsets: Int64) -> Bytes:
    out = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        for k in range(offsets[i + 1] - offsets[i]):
            out[offsets[i] + k] = data[starts[i] + k]
    return out


class _Table(NamedTuple):
    """Distinct words, found by their hashes; with room for half as many as there are slots."""

    slots: Int64
    """Which word is there, or -1. A word stands at its hash or, if others do, behind them."""
    starts: Int64
    """Of each word, where it first stands in the buffer; what follows is of each word too."""
    lengths: Int64
    hashes: UInt64
    counts: Int64


class _At(NamedTuple):
    """How far a text is counted, and what was found so far."""

    document: int
    byte: int
    words: int
    blank_bytes: int
    long_words: int


def _count(data: Bytes, offsets: Int64, classes: Bytes, skip_runs: bool) -> tuple[_Table, _At]:
    table = _table(1 << 15)
    at = _count_from(_At(0, int(offsets[0]), 0, 0, 0), data, offsets, classes, skip_runs, table)
    while at.document < len(offsets) - 1:
        table = _doubled(table)
        at = _count_from(at, data, offsets, classes, skip_runs, table)
    return table, at


def _table(room: int) -> _Table:
    starts, lengths, counts = (np.empty(room, np.int64) for _ in range(3))
    return _Table(np.full(2 * room, -1, np.int64), starts, lengths, np.empty(room, np.uint64), counts)


def _doubled(table: _Table) -> _Table:
    """A table with twice the room for the words of a full one."""
    wide = _table(2 * len(table.starts))
    for old, new in zip(table[1:], wide[1:], strict=True):
        new[: len(old)] = old
    _place(wide.slots, table.hashes)
    return wide


@numba.njit(cache=True)
def _count_from(at: _At, data: Bytes, offsets: Int64, classes: Bytes, skip_runs: bool, table: _Table) -> _At:
    """Counts on, to the end of the text or till a word finds no room in the table."""
    document, i, words, blank_bytes, long_words = at
    while document < len(offsets) - 1:
        end = offsets[document + 1]
        while i < end:
            if skip_runs and _begins_run(data, i, end):
                stop = _run_end(data, i, end)
                blank_bytes += stop - i
            else:
                stop = _word_end(data, i, end, classes, skip_runs)
                if stop - i > LONGEST_WORD:
                    long_words += 1
                elif words == len(table.starts):
                    return _At(document, i, words, blank_bytes, long_words)
                else:
                    words += _add(data, i, stop, words, table)
            i = stop
        document += 1
    return _At(document, i, words, blank_bytes, long_words)


@numba.njit(cache=True, inline="always")
def _add(data: Bytes, start: int, stop: int, words: int, table: _Table) -> int:
    """Counts a word; 1 if it is new."""
    value = _hash(data, start, stop)
    mask = np.uint64(len(table.slots) - 1)
    slot = value & mask
    word = table.slots[slot]
    while word >= 0 and not (
        table.hashes[word] == value and table.lengths[word] == stop - start and _same(data, table.starts[word], start, stop - start)
    ):
        slot = (slot + np.uint64(1)) & mask
        word = table.slots[slot]
    if word >= 0:
        table.counts[word] += 1
        return 0
    table.slots[slot] = words
    table.starts[words], table.lengths[words], table.hashes[words], table.counts[words] = start, stop - start, value, 1
    return 1


@numba.njit(cache=True)
def _hash(data: Bytes, start: int, stop: int) -> np.uint64:
    value = np.uint64(0xCBF29CE484222325)  # FNV-1a, then a finisher, so that all bits of it are of use
    for i in range(start, stop):
        value = (value ^ np.uint64(data[i])) * np.uint64(0x100000001B3)
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> np.uint64(32))


@numba.njit(cache=True)
def _same(data: Bytes, one: int, other: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110 - compiled
        if data[one + k] != data[other + k]:
            return False
    return True


@numba.njit(cache=True)
def _place(slots: Int64, hashes: UInt64) -> None:
    """Fills empty slots."""
    mask = np.uint64(len(slots) - 1)
    for word in range(len(hashes)):
        slot = hashes[word] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = word


@numba.njit(cache=True, inline="always")
def _begins_run(data: Bytes, i: int, end: int) -> bool:
    """Whether two or more equal spaces or tabs begin at i."""
    return i + 1 < end and data[i + 1] == data[i] and (data[i] == _BLANK or data[i] == _TAB)


@numba.njit(cache=True)
def _run_end(data: Bytes, i: int, end: int) -> int:
    """Where the run that begins at i ends."""
    stop = i + 2
    while stop < end and data[stop] == data[i]:
        stop += 1
    return stop


@numba.njit(cache=True, inline="always")
def _word_end(data: Bytes, i: int, end: int, classes: Bytes, skip_runs: bool) -> int:
    """Where the word that begins at i ends, by GPT-2's pattern; at a digit that is a word, and at a run that is left out, a text ends."""
    if data[i] == _APOSTROPHE:
        stop = _contraction_end(data, i, end)
        if stop > i:
            return stop
    kind, stop = _class_at(data, i, classes)
    if data[i] == _BLANK and i + 1 < end:
        following, after = _class_at(data, i + 1, classes)
        if following != SPACE and following != _ALONE:
            kind, stop = following, after
    if kind == SPACE:
        return _space_end(data, i, end, classes, skip_runs)
    while kind != _ALONE and stop < end:
        following, after = _class_at(data, stop, classes)
        if following != kind:
            break
        stop = after
    return stop


@numba.njit(cache=True)
def _space_end(data: Bytes, i: int, end: int, classes: Bytes, skip_runs: bool) -> int:
    """Where the word of white space that begins at i ends: the last space before a word goes with what follows."""
    last = stop = i
    while stop < end and not (skip_runs and _begins_run(data, stop, end)):
        following, after = _class_at(data, stop, classes)
        if following != SPACE:
            return stop if following == _ALONE or last == i else last
        last, stop = stop, after
    return stop


@numba.njit(cache=True, inline="always")
def _class_at(data: Bytes, i: int, classes: Bytes) -> tuple[int, int]:
    """The class of the character at i, and where the next begins."""
    if data[i] < 0x80:  # nearly all
        return classes[data[i]], i + 1
    character, after = character_at(data, i)
    return classes[character], after


@numba.njit(cache=True)
def _contraction_end(data: Bytes, i: int, end: int) -> int:
    """The end of 's 't 'm 'd 're 've 'll at i, or i."""
    one = data[i + 1] if i + 1 < end else 0
    two = data[i + 2] if i + 2 < end else 0
    if one == 115 or one == 116 or one == 109 or one == 100:  # s t m d
        return i + 2
    if (one == 114 or one == 118) and two == 101:  # re ve
        return i + 3
    return i + 3 if one == 108 and two == 108 else i  # ll

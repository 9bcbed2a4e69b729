r"""The words of a text and how often each occurs: what BPE is trained on.

    text ─▶ pieces between whitespace runs or digits ─▶ words by GPT-2's pattern ─▶ table(word, count)

    GPT-2's pattern:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

A numba kernel that walks over the Arrow buffer and counts in a hash table. What is a letter, a number or a space it learns from
`tokenizers`, so that training and encoding agree on each character whatever Unicode version either knows.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Regex, pre_tokenizers

from tokenizer.digits import digits
from tokenizer.utf8 import character_at

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

LONGEST_WORD = 256
"""Bytes. Longer words (base64, minified data) are left out of training: no token would be won from them. Our choice."""

OTHER, LETTER, NUMBER, SPACE = range(4)

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

    One thread, about 100 MB/s; memory: 40 bytes a distinct word.
    """
    data, offsets = _buffers(text)
    digit = digits() if digits_alone else np.zeros(0x110000, np.bool_)
    starts, lengths, hashes, counts, blank, long_words = _count(data, offsets, character_classes(), digit, skip_runs)
    table = pa.table([_gather(data, starts, lengths), pa.array(hashes), pa.array(counts)], schema=SCHEMA)
    return Words(table, blank, long_words)


def merge_words(tables: list[pa.Table]) -> pa.Table:
    """One row a word, by descending count, then by the word's bytes; so the result depends on the counts alone."""
    counted = pa.concat_tables([each.select(COUNTED.names) for each in (SCHEMA.empty_table(), *tables)])
    summed = counted.group_by("word", use_threads=False).aggregate([("count", "sum")]).rename_columns(["word", "count"])
    return summed.sort_by([("count", "descending"), ("word", "ascending")])


@cache
def character_classes() -> Bytes:
    """uint8[0x110000]: OTHER, LETTER, NUMBER or SPACE of each character, as the regular expressions of `tokenizers` see it."""
    classes = np.full(0x110000, OTHER, np.uint8)
    for start in range(0, _LAST_LETTER, _AT_ONCE):
        known = [i for i in range(start, start + _AT_ONCE) if not 0xD800 <= i < 0xE000]
        text = "".join(map(chr, known))
        for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")) if known else ():
            inside = np.ones(len(known), np.bool_)
            for _, (begin, end) in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text):
                inside[begin:end] = False
            classes[np.array(known)[inside]] = kind
    return classes


_LAST_LETTER = 0x40000
"""Unicode has letters, numbers and spaces in its first four planes only."""

_AT_ONCE = 2048
"""Characters that are looked up at once: splitting takes time by the square of the pieces."""


def _buffers(text: pa.LargeStringArray) -> tuple[Bytes, Int64]:
    _, offsets_buffer, data_buffer = text.buffers()
    offsets = (
        np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1] if len(text) else np.zeros(1, np.int64)
    )
    return np.frombuffer(data_buffer or b"", np.uint8), offsets


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


@numba.njit(cache=True)
def _count(
    data: Bytes, offsets: Int64, classes: Bytes, digit: npt.NDArray[np.bool_], skip_runs: bool
) -> tuple[Int64, Int64, UInt64, Int64, int, int]:  # starts, lengths, hashes, counts, bytes in runs, long words
    slots = np.full(1 << 16, -1, np.int64)
    starts, lengths = np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    hashes, counts = np.empty(1 << 15, np.uint64), np.empty(1 << 15, np.int64)
    n = blank = long_words = 0
    for document in range(len(offsets) - 1):
        i, end = offsets[document], offsets[document + 1]
        while i < end:
            after = _run_end(data, i, end) if skip_runs else i
            if after > i:
                blank += after - i
                i = after
                continue
            piece_end = _piece_end(data, i, end, digit, skip_runs)
            while i < piece_end:
                stop = _word_end(data, i, piece_end, classes)
                if stop - i > LONGEST_WORD:
                    long_words += 1
                else:
                    if n == len(starts):  # the table is at most half full
                        slots = _wider(slots, hashes)
                        starts, lengths = _doubled(starts), _doubled(lengths)
                        hashes, counts = _doubled(hashes), _doubled(counts)
                    n += _add(data, i, stop, n, slots, starts, lengths, hashes, counts)
                i = stop
    return starts[:n], lengths[:n], hashes[:n], counts[:n], blank, long_words


@numba.njit(cache=True)
def _add(
    data: Bytes, start: int, stop: int, n: int, slots: Int64, starts: Int64, lengths: Int64, hashes: UInt64, counts: Int64
) -> int:  # 1 for a new word
    value = _hash(data, start, stop)
    mask = np.uint64(len(slots) - 1)
    at = value & mask
    while slots[at] >= 0:
        word = slots[at]
        if hashes[word] == value and lengths[word] == stop - start and _same(data, starts[word], start, stop - start):
            counts[word] += 1
            return 0
        at = (at + np.uint64(1)) & mask
    slots[at] = n
    starts[n], lengths[n], hashes[n], counts[n] = start, stop - start, value, 1
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
def _wider(slots: Int64, hashes: UInt64) -> Int64:
    wide = np.full(2 * len(slots), -1, np.int64)
    mask = np.uint64(len(wide) - 1)
    for word in range(len(hashes)):
        at = hashes[word] & mask
        while wide[at] >= 0:
            at = (at + np.uint64(1)) & mask
        wide[at] = word
    return wide


@numba.njit(cache=True)
def _doubled(array):  # type: ignore[no-untyped-def]
    wide = np.empty(2 * len(array), array.dtype)
    wide[: len(array)] = array
    return wide


@numba.njit(cache=True)
def _run_end(data: Bytes, i: int, end: int) -> int:
    """Where the run of two or more equal spaces or tabs that begins at i ends; i if there is none."""
    if i + 1 >= end or data[i + 1] != data[i] or (data[i] != _BLANK and data[i] != _TAB):
        return i
    stop = i + 2
    while stop < end and data[stop] == data[i]:
        stop += 1
    return stop


@numba.njit(cache=True)
def _piece_end(data: Bytes, i: int, end: int, digit: npt.NDArray[np.bool_], skip_runs: bool) -> int:
    """Where the piece that begins at i ends: a digit, or what comes before the next digit or run."""
    character, after = character_at(data, i)
    if digit[character]:
        return after
    while i < end and not (skip_runs and _run_end(data, i, end) > i):
        character, after = character_at(data, i)
        if digit[character]:
            break
        i = after
    return i


@numba.njit(cache=True)
def _word_end(data: Bytes, i: int, end: int, classes: Bytes) -> int:
    """Where the word that begins at i ends, by GPT-2's pattern."""
    if data[i] == _APOSTROPHE:
        stop = _contraction_end(data, i, end)
        if stop > i:
            return stop
    begin = i + 1 if data[i] == _BLANK and i + 1 < end else i
    character, after = character_at(data, begin)
    kind = classes[character]
    if kind != SPACE:
        return _class_end(data, after, end, classes, kind)[0]
    stop, last = _class_end(data, i, end, classes, SPACE)
    return stop if stop == end or last == i else last  # the last space before a word goes with what follows


@numba.njit(cache=True)
def _class_end(data: Bytes, i: int, end: int, classes: Bytes, kind: int) -> tuple[int, int]:
    """Where the run of characters of one class ends, and where its last character begins."""
    last = i
    while i < end:
        character, after = character_at(data, i)
        if classes[character] != kind:
            break
        last, i = i, after
    return i, last


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

"""From surveyed inputs to parts, so that neither file names nor the order of a listing decide anything.

Inputs are put in the order of their digests. Inputs with equal bytes are told apart by a copy number, given in the order of their
labels; among equal labels it does not matter which gets which, since their documents are equal.

    a.parquet  [9 9 9]   ─▶  Part(a, 0:2)  Part(a, 2:3)     pieces of one large input
    b.parquet  [5]       ─▶  Part(b, c)                     whole small inputs together
    c.parquet  [6]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import xxhash

from pipelines.sources.base import Input, Part


def split_by_digest(source: str, inputs: Sequence[Input], part_bytes: int, max_bytes: int | None) -> list[Part]:
    """Parts of about `part_bytes`, in the order of content digests; `max_bytes` as in SourceBase."""
    chosen = cap(inputs, max_bytes)
    copies: Counter[str] = Counter()
    numbered: list[tuple[int, Input]] = []
    for each in sorted(chosen, key=lambda i: (i.digest, i.label, i.path)):
        numbered.append((copies[each.digest], each))
        copies[each.digest] += 1
    parts: list[Part] = []
    for copy, group in groupby(numbered, key=lambda pair: pair[0]):
        parts += _group(source, [each for _, each in group], part_bytes, copy)
    return parts


def split_by_label(source: str, inputs: Sequence[Input], part_bytes: int, max_bytes: int | None) -> list[Part]:
    """Parts of about `part_bytes`, in the order of labels: for sources whose file names belong to the documents."""
    chosen = sorted(cap(inputs, max_bytes), key=lambda i: (i.label, i.digest))
    return list(_group(source, chosen, part_bytes, copy=0))


def cap(inputs: Sequence[Input], max_bytes: int | None) -> list[Input]:
    """Inputs, the last one shortened to its first pieces, whose bytes stay within `max_bytes`.

    They are taken in the order of a keyed hash of digest and label, which is random with respect to size, language and name.
    The first piece is always taken, so that a cap below every piece still gives something to work with.
    """
    if max_bytes is None:
        return list(inputs)
    chosen: list[Input] = []
    left = max_bytes
    for each in sorted(inputs, key=lambda i: (draw(i.digest, i.label), i.label, i.path)):
        pieces = _leading(each.units or (each.size,), left, at_least=0 if chosen else 1)
        if not pieces:
            break
        chosen.append(replace(each, units=pieces) if each.units else each)
        left -= sum(pieces)
        if len(pieces) < len(each.units):
            break
    return chosen


def draw(*words: str) -> int:
    """A number below 2^64 that the words decide: their place in a shuffled order."""
    key = b"".join(b"%d:%b" % (len(word.encode()), word.encode()) for word in words)
    return xxhash.xxh3_64_intdigest(key, seed=0x5370616E6D696C6C)


def _leading(units: tuple[int, ...], limit: int, at_least: int) -> tuple[int, ...]:
    """The longest run of leading pieces that fits in `limit` bytes, and at least so many."""
    total, n = 0, 0
    for size in units:
        total += size
        if total > limit and n >= at_least:
            break
        n += 1
    return units[:n]


def _group(source: str, inputs: Sequence[Input], part_bytes: int, copy: int) -> Iterator[Part]:
    """Large inputs in pieces, runs of small ones together; the order of `inputs` is kept."""
    waiting: list[Input] = []
    filled = 0
    for each in inputs:
        size = sum(each.units) or each.size
        if waiting and filled + size > part_bytes:
            yield Part(source, tuple(waiting), copy=copy)
            waiting, filled = [], 0
        if size > part_bytes and len(each.units) > 1:
            yield from _pieces(source, each, part_bytes, copy)
        else:
            waiting.append(each)
            filled += size
    if waiting:
        yield Part(source, tuple(waiting), copy=copy)


def _pieces(source: str, each: Input, part_bytes: int, copy: int) -> Iterator[Part]:
    """Runs [start, stop) of one input's pieces, each of about `part_bytes`."""
    start, filled = 0, 0
    for i, size in enumerate(each.units):
        if i > start and filled + size > part_bytes:
            yield Part(source, (each,), start, i, copy)
            start, filled = i, 0
        filled += size
    yield Part(source, (each,), start, len(each.units), copy)

"""Which tokens of a chunk are cut out: CodeGen2's dynamic ratio, and T5's noise mask.

Chunks are given as [start, stop) of one flat array; nothing here looks at a token. See span_corruption.py for the settings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sharding.randomness import below, uniform

FEW_PLACES = 16
"""Places that are kept in order by moving those behind a new one, which takes time by their square."""


class Spans(NamedTuple):
    """Where the spans of m chunks lie."""

    masked: npt.NDArray[np.int32]
    """int32[m]: tokens of each chunk that are cut out"""
    first: npt.NDArray[np.int64]
    """int64[m + 1]: spans of chunk i are first[i] … first[i + 1] - 1"""
    begin: npt.NDArray[np.int64]
    """int64[spans]: in the flat array"""
    length: npt.NDArray[np.int32]
    """int32[spans]"""


@njit(cache=True, nogil=True)
def codegen2_spans(
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    key: npt.NDArray[np.uint64],
    min_ratio: float,
    max_ratio: float,
    max_length: int,
    max_spans: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The fields of Spans, as the paper of CodeGen2 describes them."""
    m = len(start)
    masked = np.zeros(m, np.int32)
    first = np.zeros(m + 1, np.int64)
    for i in range(m):
        first[i + 1] = first[i] + min(max_spans, stop[i] - start[i])
    begin = np.empty(first[m], np.int64)
    length = np.empty(first[m], np.int32)
    spans = 0
    for i in range(m):
        n = stop[i] - start[i]
        first[i] = spans
        if n == 0:
            continue
        ratio = min_ratio + uniform(key[i], 0) * (max_ratio - min_ratio)
        total = min(n, max(1, int(np.rint(ratio * n))))
        most = min(max_spans, total, n - total + 1)
        count, counter = _draw_lengths(key[i], total, most, max_length, length[spans:])
        _draw_places(key[i], counter, n - total - (count - 1), count, begin[spans:])
        at = start[i]
        for k in range(count):  # places count only free tokens: add the spans, and one inner token, that lie before
            begin[spans + k] += at
            at += length[spans + k]
        masked[i] = total
        spans += count
    first[m] = spans
    return masked, first, begin[:spans].copy(), length[:spans].copy()


@njit(cache=True, nogil=True)
def _draw_lengths(key: np.uint64, total: int, most: int, max_length: int, length: npt.NDArray[np.int32]) -> tuple[int, int]:
    """Uniform lengths that add up to `total`, at most `most` of them; returns how many, and the next unused counter."""
    enough = most * (max_length + 1) >= 2 * total  # whether so many spans of mean length (max_length + 1) / 2 make up the total
    bound = max_length if enough else (2 * total + most - 1) // most
    count, counter, left = 0, 1, total
    while left > 0:
        drawn = left if count == most - 1 else min(left, 1 + below(key, counter, bound))
        length[count] = drawn
        left -= drawn
        count += 1
        counter += 1
    swap = below(key, counter, count)  # the one that was cut to fit must not always come last
    length[swap], length[count - 1] = length[count - 1], length[swap]
    return count, counter + 1


@njit(cache=True, nogil=True)
def _draw_places(key: np.uint64, counter: int, free: int, count: int, place: npt.NDArray[np.int64]) -> None:
    """A uniform choice of `count` of `free + count` places, ascending (Floyd's sampling): the bars between stars.

    Cost: about 13 ns a place. Few are kept in order as they come; of more, which of all places are taken is noted.
    """
    if count > FEW_PLACES:
        taken = np.zeros(free + count, np.bool_)
        for k in range(count):
            candidate = below(key, counter + k, free + k + 1)
            taken[free + k if taken[candidate] else candidate] = True
        n = 0
        for candidate in range(free + count):
            if taken[candidate]:
                place[n] = candidate
                n += 1
        return
    for k in range(count):
        candidate = below(key, counter + k, free + k + 1)
        for j in range(k):
            if place[j] == candidate:
                candidate = free + k
                break
        j = k
        while j > 0 and place[j - 1] > candidate:
            place[j] = place[j - 1]
            j -= 1
        place[j] = candidate


@njit(cache=True, nogil=True)
def t5_spans(
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    key: npt.NDArray[np.uint64],
    noise_density: float,
    mean_length: float,
    max_spans: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The fields of Spans: stretches that stay and spans take turns, the first stays, the last is a span.

    A chunk of one token is one span; a longer one keeps at least one token.
    """
    m = len(start)
    masked = np.zeros(m, np.int32)
    first = np.zeros(m + 1, np.int64)
    for i in range(m):
        n = stop[i] - start[i]
        masked[i] = min(n, max(1, min(n - 1, int(np.rint(n * noise_density)))))
        count = min(max_spans, max(1, int(np.rint(masked[i] / mean_length))))
        first[i + 1] = first[i] + min(count, masked[i], max(1, n - masked[i]))
    begin = np.empty(first[m], np.int64)
    length = np.empty(first[m], np.int32)
    kept = np.empty(max_spans, np.int32)
    place = np.empty(max_spans, np.int64)
    for i in range(m):
        count = first[i + 1] - first[i]
        if count == 0:
            continue
        _divide(key[i], 0, masked[i], count, place, length[first[i] :])
        kept[0] = 0  # of a chunk that is one token
        if stop[i] - start[i] > masked[i]:
            _divide(key[i], count, stop[i] - start[i] - masked[i], count, place, kept)
        at = start[i]
        for k in range(count):
            begin[first[i] + k] = at + kept[k]
            at += kept[k] + length[first[i] + k]
    return masked, first, begin, length


@njit(cache=True, nogil=True)
def _divide(
    key: np.uint64, counter: int, total: int, count: int, place: npt.NDArray[np.int64], length: npt.NDArray[np.int32]
) -> None:
    """`count` lengths of 1 or more that add up to `total`, uniform over all ways to do so: bars in the total - 1 gaps."""
    _draw_places(key, counter, total - count, count - 1, place)
    before = 0
    for k in range(count - 1):
        length[k] = place[k] + 1 - before
        before = place[k] + 1
    length[count - 1] = total - before

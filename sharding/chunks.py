"""Cutting documents into chunks that fit a row, and drawing an objective for each document.

A document longer than its objective's capacity is cut at the last line end in the second half of each chunk, or at the capacity where
there is none. Cuts below the capacity cost nothing: packing fills the rest of the row with other examples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sharding.randomness import uniforms


class Cuts(NamedTuple):
    """m chunks of n documents, in document order."""

    document: npt.NDArray[np.int64]
    """int64[m]"""
    number: npt.NDArray[np.int64]
    """int64[m]: 0 for a document's first chunk"""
    start: npt.NDArray[np.int64]
    """int64[m]: token of the flat ids"""
    stop: npt.NDArray[np.int64]
    """int64[m]"""
    last: npt.NDArray[np.bool_]
    """bool[m]"""


def cut(
    ids: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    capacity: npt.NDArray[np.int64],
    ends_line: npt.NDArray[np.bool_],
) -> Cuts:
    """Chunks of documents ids[offsets[i]:offsets[i + 1]], each at most capacity[i] tokens. An empty document is one empty chunk.

    `ends_line` bool[vocabulary]: whether a token's text ends with a newline. Cost: O(documents + chunks × capacity / 2).
    """
    return Cuts(*_cut(ids, offsets, capacity, ends_line))


def draw_objectives(keys: npt.NDArray[np.uint64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """int64[n]: for each document key the index of an objective, with probability proportional to its weight."""
    edges = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(edges, uniforms(keys, 0), side="right"), len(weights) - 1)


@njit(cache=True, nogil=True)
def _cut(
    ids: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    capacity: npt.NDArray[np.int64],
    ends_line: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    most = 0
    for i in range(len(capacity)):
        most += 2 + 2 * (offsets[i + 1] - offsets[i]) // capacity[i]  # a cut lies beyond half the capacity
    document, number = np.empty(most, np.int64), np.empty(most, np.int64)
    start, stop = np.empty(most, np.int64), np.empty(most, np.int64)
    last = np.empty(most, np.bool_)
    m = 0
    for i in range(len(capacity)):
        at, end, k = offsets[i], offsets[i + 1], 0
        while True:
            to = end
            if end - at > capacity[i]:
                to = at + capacity[i]
                for j in range(to, at + capacity[i] // 2, -1):
                    if ends_line[ids[j - 1]]:
                        to = j
                        break
            document[m], number[m], start[m], stop[m], last[m] = i, k, at, to, to == end
            m += 1
            k += 1
            at = to
            if to == end:
                break
    return document[:m].copy(), number[:m].copy(), start[:m].copy(), stop[:m].copy(), last[:m].copy()

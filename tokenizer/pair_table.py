"""A hash table of pairs of neighbours, and the chains of their places; kernels for tokenizer.learn.

pairs    keys uint64[m] (left id, right id), totals int64[m], heads int32[m] (first place, or -1), ranks int32[m] (-1: not merged yet)
chains   next int32[n], previous int32[n]: places of the same pair, doubly linked, so that one leaves without a search
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Pairs = tuple[UInt64, Int64, Int32, Int32]
Chains = tuple[Int32, Int32]

EMPTY = np.uint64(2**64 - 1)


@numba.njit(cache=True)
def no_pairs(slots: int) -> Pairs:
    """An empty table; `slots` is a power of two."""
    return np.full(slots, EMPTY, np.uint64), np.zeros(slots, np.int64), np.full(slots, -1, np.int32), np.full(slots, -1, np.int32)


@numba.njit(cache=True)
def key_of(left: np.int32, right: np.int32) -> np.uint64:
    """uint64: orders pairs by their ids."""
    return np.uint64(left) << np.uint64(32) | np.uint64(right)


@numba.njit(cache=True)
def find(key: np.uint64, keys: UInt64) -> np.int64:
    """The slot of a pair, or the empty one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    value = key * np.uint64(0x9E3779B97F4A7C15)
    at = (value ^ (value >> np.uint64(29))) & mask
    while keys[at] != key and keys[at] != EMPTY:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@numba.njit(cache=True)
def wider(pairs: Pairs) -> Pairs:
    """The same pairs in twice the slots."""
    keys, totals, heads, ranks = pairs
    wide = no_pairs(2 * len(keys))
    for slot in range(len(keys)):
        if keys[slot] != EMPTY:
            at = find(keys[slot], wide[0])
            wide[0][at], wide[1][at], wide[2][at], wide[3][at] = keys[slot], totals[slot], heads[slot], ranks[slot]
    return wide


@numba.njit(cache=True)
def enter(place: int, key: np.uint64, weight: int, pairs: Pairs, chains: Chains) -> int:
    """A place begins to be one of a pair's. Returns 1 for a pair that was never seen before."""
    keys, totals, heads, _ = pairs
    slot = find(key, keys)
    new = 1 if keys[slot] == EMPTY else 0
    keys[slot] = key
    totals[slot] += weight
    following, previous = chains
    following[place], previous[place] = heads[slot], -1
    if heads[slot] >= 0:
        previous[heads[slot]] = place
    heads[slot] = place
    return new


@numba.njit(cache=True)
def leave(place: int, key: np.uint64, weight: int, pairs: Pairs, chains: Chains) -> None:
    """A place ceases to be one of a pair's."""
    keys, totals, heads, _ = pairs
    slot = find(key, keys)
    totals[slot] -= weight
    following, previous = chains
    if previous[place] >= 0:
        following[previous[place]] = following[place]
    else:
        heads[slot] = following[place]
    if following[place] >= 0:
        previous[following[place]] = previous[place]


@numba.njit(cache=True)
def places_of(slot: np.int64, heads: Int32, following: Int32, ascending: bool) -> Int32:
    """int32[k]: places of a pair."""
    count, place = 0, heads[slot]
    while place >= 0:
        count, place = count + 1, following[place]
    places = np.empty(count, np.int32)
    place = heads[slot]
    for i in range(count):
        places[i], place = place, following[place]
    if ascending:
        places.sort()
    return places

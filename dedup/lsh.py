"""Locality-sensitive hashing: documents that agree in all rows of some band become candidate pairs.

    values   . . . │ . . . │ . . .        a signature of 3 bands of 3 rows
    key        k0      k1      k2         64 bits each, equal for equal bands with the same number
    bucket     all documents with one key; each is paired with the first `cap` of those before it

Nodes are numbers of documents in order of priority: the smaller number is the one to keep.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from contracts.errors import ConfigError
from dedup.arrays import Bool, Int64, Rows, UInt16, UInt32, UInt64
from dedup.banding import Banding
from dedup.hashing import fmix64

MATCH = np.dtype([("better", "<i8"), ("worse", "<i8"), ("band", "<i2")])
"""A candidate pair: its nodes, better < worse, and the first band that brought them together."""

CROWD: Final = 1024
"""Place in a bucket from which on a document gets a quarter of `cap` partners: with the default cap, 100,000 variants of one file then
give 40 million pairs over all bands instead of 160 million."""


def band_keys(values: UInt32, banding: Banding, band: int) -> UInt64:
    """uint64[n]: key of one band of each signature uint32[n, num_perm]. Leave documents without shingles out beforehand.

    Raises ConfigError for a band that the signatures do not have. Unequal bands share a key with a probability of about 2^-64.
    """
    if not 0 <= band < banding.bands:
        raise ConfigError(f"band {band} does not exist: there are {banding.bands}, numbered from 0.")
    _check_length(values, banding)
    return np.asarray(_band_keys(values, band, 1, banding.rows)[0])


def all_band_keys(values: UInt32, banding: Banding) -> UInt64:
    """uint64[bands, n]: `band_keys` of every band, each signature looked at once: 1 µs a document instead of 5, with 51 bands of 5."""
    _check_length(values, banding)
    return np.asarray(_band_keys(values, 0, banding.bands, banding.rows))


def _check_length(values: UInt32, banding: Banding) -> None:
    if banding.bands * banding.rows > values.shape[1]:
        raise ConfigError(
            f"{banding.bands} bands of {banding.rows} rows need {banding.bands * banding.rows} permutations, the signatures "
            f"have {values.shape[1]}: make both from the same settings."
        )


@njit(cache=True, nogil=True)
def _band_keys(values: UInt32, first: int, count: int, rows: int) -> UInt64:
    keys = np.empty((count, len(values)), np.uint64)
    for i in range(len(values)):
        for k in range(count):
            band = first + k
            key = fmix64(np.uint64(band + 1))
            for j in range(band * rows, (band + 1) * rows):
                key = fmix64(key ^ np.uint64(values[i, j]))
            keys[k, i] = key
    return keys


def agreeing_bands(values: UInt32, pairs: Int64, banding: Banding) -> Int64:
    """int64[p]: in how many bands the rows of uint32[n, num_perm] agree that `pairs` int64[p, 2] number. No cap plays a part in it."""
    return _agreeing_bands(values, np.ascontiguousarray(pairs), banding.bands, banding.rows)


@njit(cache=True, nogil=True)
def _agreeing_bands(values: UInt32, pairs: Int64, bands: int, rows: int) -> Int64:
    counts = np.zeros(len(pairs), np.int64)
    for i in range(len(pairs)):
        a, b = values[pairs[i, 0]], values[pairs[i, 1]]
        for band in range(bands):
            agree = True
            for j in range(band * rows, (band + 1) * rows):
                agree &= a[j] == b[j]
            counts[i] += int(agree)
    return counts


def matches(keys: UInt64, nodes: Int64, bands: UInt16, cap: int, references: int = 0) -> Rows:
    """MATCH[p]: distinct pairs of nodes that share a key, ordered by (worse, better).

    `keys` uint64[m], `nodes` int64[m] and `bands` uint16[m] belong together; a key belongs to one band. In each bucket a node is paired
    with the `cap` smallest of the nodes below it, or a quarter as many from place CROWD on; and besides with the `cap` smallest
    references. So a bucket of m nodes costs O(m log m) time and gives at most 2 × cap × m pairs, and up to cap + 1 nodes give all.
    The result does not depend on the order of the input. Memory: 60 bytes a pair before repetitions are joined.
    """
    if cap < 1:
        raise ConfigError(f"cap = {cap}: a bucket must give at least one pair; use 1 or more.")
    keys, nodes, bands = _sorted(*_shared(keys, nodes, bands))
    found = np.empty(_count(keys, nodes, cap, references), MATCH)
    _fill(keys, nodes, bands, cap, references, found["better"], found["worse"], found["band"])
    return joined(found)


def joined(*found: Rows) -> Rows:
    """MATCH[p]: distinct pairs of several MATCH[·], ordered by (worse, better), each with the first of its bands.

    Cost: about 0.2 µs a pair for nodes below 2^32, which are sorted as single 64-bit values, and 0.5 µs beyond.
    """
    rows = np.concatenate(found) if found else np.empty(0, MATCH)
    if not len(rows):
        return rows
    order = _pair_order(rows["worse"], rows["better"])
    worse, better = rows["worse"][order], rows["better"][order]
    starts = np.flatnonzero(_changes(worse) | _changes(better))
    out = np.empty(len(starts), MATCH)
    out["worse"], out["better"] = worse[starts], better[starts]
    out["band"] = np.minimum.reduceat(rows["band"][order], starts)
    return out


def unique_pairs(*pairs: Int64) -> Int64:
    """int64[p, 2]: the distinct rows of all given int64[·, 2], in ascending order. Nodes are 0 or more. Cost: as `joined`."""
    rows = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    rows = rows[_pair_order(rows[:, 0], rows[:, 1])]
    return rows[_changes(rows[:, 0]) | _changes(rows[:, 1])]


def _pair_order(first: Int64, second: Int64) -> Int64:
    if max(first.max(initial=0), second.max(initial=0)) < 2**32:
        return np.argsort(first.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64))
    return np.lexsort((second, first))


def _shared(keys: UInt64, nodes: Int64, bands: UInt16) -> tuple[UInt64, Int64, UInt16]:
    """Entries whose key occurs more than once, sorted by key. Most keys are alone, and the exact sort behind this is dear."""
    order = np.argsort(keys)
    ordered = keys[order]
    starts = _changes(ordered)
    alone = starts & np.append(starts[1:], True)[: len(starts)]
    order = order[~alone]
    return ordered[~alone], nodes[order], bands[order]


def _sorted(keys: UInt64, nodes: Int64, bands: UInt16) -> tuple[UInt64, Int64, UInt16]:
    """By (key, node), without repetition."""
    order = np.lexsort((nodes, keys))
    keys, nodes = keys[order], nodes[order]
    fresh = _changes(keys) | _changes(nodes)
    return keys[fresh], nodes[fresh], bands[order][fresh]


@njit(cache=True, nogil=True)
def _partners(place: int, cap: int) -> int:
    """With how many of those before it the node at a place of its bucket is paired."""
    return min(place, cap if place < CROWD else max(1, cap // 4))


@njit(cache=True, nogil=True)
def _count(keys: UInt64, nodes: Int64, cap: int, references: int) -> int:
    """Pairs that `_fill` writes."""
    total, start, own = 0, 0, 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            start = own = i
        if nodes[i] < references:
            own = i + 1
        else:
            total += min(own - start, cap) + _partners(i - own, cap)
    return total


@njit(cache=True, nogil=True)
def _fill(keys: UInt64, nodes: Int64, bands: UInt16, cap: int, references: int, better: Int64, worse: Int64, band: Int64) -> None:
    """Entries are sorted by (key, node), so in each bucket references come first."""
    at, start, own = 0, 0, 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            start = own = i
        if nodes[i] < references:
            own = i + 1
            continue
        for first, count in ((start, min(own - start, cap)), (own, _partners(i - own, cap))):
            for j in range(first, first + count):
                better[at], worse[at], band[at] = nodes[j], nodes[i], bands[i]
                at += 1


def _changes(values: UInt64 | Int64) -> Bool:
    """bool[m]: whether a value differs from the one before it. True for the first."""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed

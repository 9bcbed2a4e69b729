"""Locality-sensitive hashing: documents that agree in all rows of some band become candidate pairs.

    values   . . . │ . . . │ . . .        a signature of 3 bands of 3 rows
    key        k0      k1      k2         64 bits each, equal for equal bands with the same number
    bucket     all documents with one key; each is paired with the first `cap` of those before it

Nodes are numbers of documents in order of priority: the smaller number is the one to keep.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from contracts.errors import ConfigError
from dedup.arrays import Bool, Int64, UInt32, UInt64
from dedup.banding import Banding
from dedup.hashing import fmix64


def band_keys(values: UInt32, banding: Banding, band: int) -> UInt64:
    """uint64[n]: key of one band of each signature uint32[n, num_perm]. Leave documents without shingles out beforehand.

    Raises ConfigError for a band that the signatures do not have. Unequal bands share a key with a probability of about 2^-64.
    """
    if not 0 <= band < banding.bands:
        raise ConfigError(f"band {band} does not exist: there are {banding.bands}, numbered from 0.")
    if banding.bands * banding.rows > values.shape[1]:
        raise ConfigError(
            f"{banding.bands} bands of {banding.rows} rows need {banding.bands * banding.rows} permutations, the signatures "
            f"have {values.shape[1]}: make both from the same settings."
        )
    return _band_keys(values, band, banding.rows)


@njit(cache=True, nogil=True)
def _band_keys(values: UInt32, band: int, rows: int) -> UInt64:
    keys = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        key = fmix64(np.uint64(band + 1))
        for j in range(band * rows, (band + 1) * rows):
            key = fmix64(key ^ np.uint64(values[i, j]))
        keys[i] = key
    return keys


def candidate_pairs(keys: UInt64, nodes: Int64, cap: int) -> Int64:
    """int64[p, 2]: distinct pairs (smaller node, larger node) that share a key, in ascending order.

    `keys` uint64[m] and `nodes` int64[m] belong together; a node may come with several keys. In each bucket every node is paired
    with the `cap` smallest of the nodes below it: up to cap + 1 nodes give all their pairs, more give at most cap a node.
    The result does not depend on the order of the input. Cost: O(m log m); memory O(m + p), with p ≤ m × cap.
    """
    if cap < 1:
        raise ConfigError(f"cap = {cap}: a bucket must give at least one pair; use 1 or more.")
    members, first = _buckets(*_shared(keys, nodes))
    partners = np.minimum(np.arange(len(members)) - first, cap)
    later = np.repeat(np.arange(len(members)), partners)
    nth = np.arange(len(later)) - np.repeat(np.cumsum(partners) - partners, partners)
    return unique_pairs(np.stack([members[first[later] + nth], members[later]], axis=1))


def unique_pairs(*pairs: Int64) -> Int64:
    """int64[p, 2]: the distinct rows of all given int64[·, 2], in ascending order. Nodes are 0 or more.

    Cost: about 0.2 µs a pair for nodes below 2^32, which are sorted as single 64-bit values, and 0.5 µs beyond.
    """
    rows = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    if rows.max(initial=0) < 2**32:
        packed = rows[:, 0].astype(np.uint64) << np.uint64(32) | rows[:, 1].astype(np.uint64)
        packed.sort()
        packed = packed[_changes(packed)]
        return np.stack([packed >> np.uint64(32), packed & np.uint64(2**32 - 1)], axis=1).view(np.int64)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return rows[_changes(rows[:, 0]) | _changes(rows[:, 1])]


def _shared(keys: UInt64, nodes: Int64) -> tuple[UInt64, Int64]:
    """Entries whose key occurs more than once, sorted by key. Most keys are alone, and the exact sort behind this is dear."""
    order = np.argsort(keys)
    ordered = keys[order]
    starts = _changes(ordered)
    alone = starts & np.append(starts[1:], True)[: len(starts)]
    return ordered[~alone], nodes[order[~alone]]


def _buckets(keys: UInt64, nodes: Int64) -> tuple[Int64, Int64]:
    """Nodes by (key, node) without repetition, and for each the index where its bucket begins."""
    order = np.lexsort((nodes, keys))
    keys, nodes = keys[order], nodes[order]
    fresh = _changes(keys) | _changes(nodes)
    keys, nodes = keys[fresh], nodes[fresh]
    begins = np.where(_changes(keys), np.arange(len(keys)), 0)
    return nodes, np.maximum.accumulate(begins)


def _changes(values: UInt64 | Int64) -> Bool:
    """bool[m]: whether a value differs from the one before it. True for the first."""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed

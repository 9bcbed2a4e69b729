"""How similar two documents are: estimated from signatures, then measured on shingle sets.

J(A, B) = |A ∩ B| / |A ∪ B|          0 where both sets are empty: documents without shingles resemble nothing
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dedup.arrays import Bool, Float64, Int64, UInt32, UInt64
from dedup.config import DedupSettings


def estimate(values_a: UInt32, values_b: UInt32) -> Float64:
    """float64[p]: share of equal positions of the signatures uint32[p, num_perm], row by row."""
    return np.asarray(np.count_nonzero(values_a == values_b, axis=1) / values_a.shape[1], np.float64)


def estimate_pairs(values: UInt32, pairs: Int64) -> Float64:
    """float64[p]: `estimate` for rows of one uint32[n, num_perm] that `pairs` int64[p, 2] number, without copying them.

    Releases the GIL. Cost: about 50 ns a pair with 256 permutations, as far as signatures are in the cache.
    """
    return _estimate_pairs(values, np.ascontiguousarray(pairs))


def worth_measuring(estimates: Float64, settings: DedupSettings) -> Bool:
    """bool[p]: candidates whose estimate leaves a chance that they reach the threshold. Spares reading most false candidates."""
    return estimates >= settings.estimate_floor


def jaccard(values: UInt64, offsets: Int64, pairs: Int64) -> Float64:
    """float64[p]: exact Jaccard similarity of the sets that `pairs` int64[p, 2] number.

    `values` uint64[m], `offsets` int64[n + 1]: as from `shingle_sets`. Releases the GIL.
    Cost: about 2 ns for each shingle of a pair.
    """
    return _jaccard(values, offsets, np.ascontiguousarray(pairs))


@njit(cache=True, nogil=True)
def _estimate_pairs(values: UInt32, pairs: Int64) -> Float64:
    out = np.empty(len(pairs), np.float64)
    for k in range(len(pairs)):
        a, b, equal = values[pairs[k, 0]], values[pairs[k, 1]], 0
        for j in range(len(a)):
            equal += int(a[j] == b[j])
        out[k] = equal / len(a)
    return out


@njit(cache=True, nogil=True)
def _jaccard(values: UInt64, offsets: Int64, pairs: Int64) -> Float64:
    out = np.empty(len(pairs), np.float64)
    for k in range(len(pairs)):
        i, i_stop = offsets[pairs[k, 0]], offsets[pairs[k, 0] + 1]
        j, j_stop = offsets[pairs[k, 1]], offsets[pairs[k, 1] + 1]
        total, common = int((i_stop - i) + (j_stop - j)), 0
        while i < i_stop and j < j_stop:
            x, y = values[i], values[j]
            common += int(x == y)
            i += np.int64(x <= y)
            j += np.int64(y <= x)
        out[k] = common / max(total - common, 1)
    return out

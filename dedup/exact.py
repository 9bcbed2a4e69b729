"""Exact duplicates: documents whose text is the same byte for byte."""

from __future__ import annotations

import numpy as np

from dedup.arrays import Int64, UInt8


def exact_keepers(content_hash: UInt8, rank: Int64) -> Int64:
    """int64[n]: for each duplicate the row of its group's member with the smallest rank, -1 for that member and for unique rows.

    `content_hash` uint8[n, 16]: rows with equal hashes are one group; `rank` int64[n]: priority, distinct, 0 is the highest.
    Cost: one sort, O(n log n).
    """
    high, low = np.ascontiguousarray(content_hash).view(np.uint64).reshape(len(content_hash), 2).T
    order = np.lexsort((rank, low, high))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (high[order[1:]] != high[order[:-1]]) | (low[order[1:]] != low[order[:-1]])
    first = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    keeper = np.empty(len(order), np.int64)
    keeper[order] = np.where(begins, -1, first)
    return keeper

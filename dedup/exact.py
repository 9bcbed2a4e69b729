"""Exact duplicates: documents whose text is the same byte for byte."""

from __future__ import annotations

import numpy as np

from dedup.arrays import Int64, UInt64


def first_of_equals(high: UInt64, low: UInt64, node: Int64) -> Int64:
    """int64[n]: for each row the smallest node of those with the same content hash; its own where there is no smaller.

    `high`, `low` uint64[n]: halves of the content hash; `node` int64[n], distinct. Cost: one sort, O(n log n).
    """
    order = np.lexsort((node, low, high))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (high[order[1:]] != high[order[:-1]]) | (low[order[1:]] != low[order[:-1]])
    first = np.empty(len(order), np.int64)
    first[order] = node[order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]]
    return first

"""Which documents stay. Nodes are numbered by priority: 0 is the document to keep above all others.

    A ── 0.8 ── B ── 0.8 ── C        A stays; B goes, its keeper is A; C resembles no document that stays, so C stays too

Removing whole connected components, as is common, would remove C for resembling B, which is no longer there: on real corpora chains
of that kind join hundreds of thousands of unrelated documents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dedup.arrays import Float64, Int64


class Keepers(NamedTuple):
    """Of n documents."""

    keeper: Int64
    """int64[n]: the document that makes this one a duplicate, -1 for those that stay"""
    similarity: Float64
    """float64[n]: Jaccard similarity with the keeper, 0 for those that stay"""


def components(pairs: Int64, n: int) -> Int64:
    """int64[n]: for each node the smallest node of its connected component, over edges int64[p, 2]. n < 2^31 (scipy's limit)."""
    from scipy.sparse import coo_array  # here: a quarter of a second that only the grouping step needs
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    _, smallest = np.unique(labels, return_index=True)
    components: Int64 = smallest.astype(np.int64)[labels]
    return components


def greedy(pairs: Int64, jaccard: Float64, n: int, threshold: float) -> Keepers:
    """Visits nodes by priority and removes one if it is similar enough to some node that has stayed.

    `pairs` int64[p, 2], distinct, with the smaller node first; `jaccard` float64[p]. The keeper is the most similar such node, and
    the one of higher priority where two are as similar. The order of pairs has no effect. Components need no separate treatment:
    each gives the same result alone. Cost: O(n + p log p).
    """
    verified = jaccard >= threshold
    pairs, jaccard = pairs[verified], jaccard[verified]
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    return Keepers(*_greedy(np.ascontiguousarray(pairs[order]), jaccard[order], n))


@njit(cache=True, nogil=True)
def _greedy(pairs: Int64, jaccard: Float64, n: int) -> tuple[Int64, Float64]:
    """`pairs` sorted by their second node: when a node's turn comes, the fate of all its neighbours before it is known."""
    keeper, similarity = np.full(n, -1, np.int64), np.zeros(n, np.float64)
    for k in range(len(pairs)):
        better, worse = pairs[k, 0], pairs[k, 1]
        if keeper[better] < 0 and jaccard[k] > similarity[worse]:
            keeper[worse], similarity[worse] = better, jaccard[k]
    return keeper, similarity

r"""Which source the k-th sample comes from, and how many of that source came before: computed, not stored.

Sources are the leaves of a Huffman tree over their integer shares. A node that is met m times sends round(m · a / (a + b)) of them
to its left child (share a), the rest to its right one (share b), so the (m + 1)-th visit goes left exactly where that number steps:

              4                 m      0 1 2 3   4 5 6 7   …
            /   \               goes   r l r r   r l r r   …
      prose 1   code 3

**How far off a prefix can be.** A node's count misses its share of the parent's count by at most ½, and inherits the parent's miss
scaled by its share of the parent. A leaf of share w under nodes v of share w_v (root left out) is therefore off by at most
½ · Σ w / w_v. In a Huffman tree shares up a path grow at least like Fibonacci numbers (1, 1, 2, 3, 5 …), whose reciprocals sum to
3.36: no source is ever off by 1.68 samples or more, whatever their number; two sources are off by at most ½, three by less than 1.
`Mixture.bound` is the exact value of the sum for a given mixture. (Rounding each source by itself reaches 1 but repeats and skips
samples; drawing at random is off by √k.)
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from contracts.errors import ConfigError
from sharding.segments import Int32, Int64

MAX_TOTAL = 1 << 30
"""Largest sum of shares: 2 · share · m then fits int64 for m below one period."""

RESOLUTION = 1 << 24
"""Sum of the shares that float weights are rounded to: a weight is off by at most 2^-25 of the whole, 0.03 parts per million."""


class Mixture:
    """The order of sources for positive integer shares. Memory O(sources), time O(depth of the tree) a sample."""

    def __init__(self, shares: Mapping[str, int]) -> None:
        """Raises ValueError for no shares, or for shares that are not positive or sum to more than MAX_TOTAL."""
        total = sum(shares.values())
        if not shares or min(shares.values()) < 1 or total > MAX_TOTAL:
            raise ValueError(f"shares must be 1 or more and sum to at most {MAX_TOTAL}; given {dict(shares)}")
        self.sources = list(shares)
        self.shares = dict(shares)
        self.total = total
        self._children, self._share = _huffman(list(shares.values()))
        self._root = len(self._share) - 1

    @property
    def bound(self) -> Fraction:
        """No prefix count of any source is further than this from `k · share / total`."""
        above = [Fraction(0)] * len(self._share)
        for node in range(self._root, len(self.sources) - 1, -1):
            for child in self._children[node].tolist():
                above[child] = above[node] + Fraction(1, int(self._share[child]))
        return max(int(self._share[leaf]) * above[leaf] for leaf in range(len(self.sources))) / 2

    def locate(self, k: Int64) -> tuple[Int32, Int64]:
        """Samples int64[n] ≥ 0 to their index into `sources` int32[n] and the number of earlier samples of that source int64[n]."""
        node = np.full(len(k), self._root, np.int64)
        rank = k.astype(np.int64)
        while (inner := node >= len(self.sources)).any():
            at, visit = node[inner], rank[inner]
            left, right = self._children[at, 0], self._children[at, 1]
            before, after = self._left_count(at, visit), self._left_count(at, visit + 1)
            goes_left = after > before
            node[inner] = np.where(goes_left, left, right)
            rank[inner] = np.where(goes_left, before, visit - before)
        return node.astype(np.int32), rank

    def counts(self, k: int) -> dict[str, int]:
        """Samples of each source among the first k; they sum to k."""
        visits = np.zeros(len(self._share), np.int64)
        visits[self._root] = k
        for node in range(self._root, len(self.sources) - 1, -1):
            left, right = self._children[node]
            visits[left] = self._left_count(np.array([node]), visits[[node]])[0]
            visits[right] = visits[node] - visits[left]
        return dict(zip(self.sources, visits.tolist(), strict=False))

    def _left_count(self, node: Int64, visits: Int64) -> Int64:
        """round(visits · left share / share), in whole periods and a rest so that no product leaves int64."""
        share, left = self._share[node], self._share[self._children[node, 0]]
        periods, rest = np.divmod(visits, share)
        count: Int64 = periods * left + (2 * rest * left + share) // (2 * share)
        return count


def _huffman(shares: list[int]) -> tuple[Int64, Int64]:
    """Children int64[2n - 1, 2] and shares int64[2n - 1] of the nodes: leaves first, the root last. Ties go to the older node."""
    heap = [(share, leaf) for leaf, share in enumerate(shares)]
    heapq.heapify(heap)
    children = np.full((2 * len(shares) - 1, 2), -1, np.int64)
    node_shares = np.zeros(2 * len(shares) - 1, np.int64)
    node_shares[: len(shares)] = shares
    for node in range(len(shares), len(node_shares)):
        (light, first), (heavy, second) = heapq.heappop(heap), heapq.heappop(heap)
        children[node], node_shares[node] = (first, second), light + heavy
        heapq.heappush(heap, (light + heavy, node))
    return children, node_shares


def shares_of_rows(rows: Mapping[str, int]) -> dict[str, int]:
    """Shares proportional to rows: every source then ends each epoch together. Sources without rows are left out.

    Exact up to MAX_TOTAL rows in all (2.2T tokens at 2,048 a row); beyond that rounded to that resolution, at least 1.
    """
    present = {source: count for source, count in rows.items() if count}
    total = sum(present.values())
    if total <= MAX_TOTAL:
        return present
    room = MAX_TOTAL - len(present)
    return {source: max(1, count * room // total) for source, count in present.items()}


def shares_of_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Shares for float weights, rounded to RESOLUTION. Weight 0 leaves a source out.

    Raises ConfigError for weights that are negative, not finite, all zero, or too small to be told from zero.
    """
    total = sum(weights.values())
    if not all(0 <= weight < float("inf") for weight in weights.values()) or not 0 < total < float("inf"):
        raise ConfigError(
            f"weights are {dict(weights)}; each must be finite, 0 or more, and one must be above 0. Set train.weights."
        )
    shares = {source: round(weight / total * RESOLUTION) for source, weight in weights.items() if weight}
    for source, share in shares.items():
        if not share:
            raise ConfigError(
                f"weight {weights[source]} of {source!r} is below 1 part in {2 * RESOLUTION}. Raise it, or set it to 0."
            )
    return shares

"""Connected components without holding the graph: alternating large-star and small-star rounds.

Source: Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected Components in MapReduce and Beyond", 2014. Edges are
int64[p, 2], (smaller node, larger node). Each operation looks at one node and its neighbours at a time, so nodes can be dealt to any
number of workers:

    large-star  of node u: its larger neighbours are tied to the smallest of u and its neighbours      1─2─3─4  ▶  1─2 1─3 2─4
    small-star  of node u: its smaller neighbours and u are tied to the smallest of these              1─2 1─3 2─4  ▶  1─2 1─3 1─4

Both keep components as they are. When a round of both changes no edge, every component is a star around its smallest node.
"""

from __future__ import annotations

import numpy as np

from dedup.arrays import Int64
from dedup.hashing import fmix64_array
from dedup.lsh import unique_pairs


def towards_all(edges: Int64) -> Int64:
    """int64[2p, 2]: (node, neighbour), each edge seen from both ends: what `large_star` looks at."""
    return np.concatenate([edges, edges[:, ::-1]])


def towards_smaller(edges: Int64) -> Int64:
    """int64[p, 2]: (node, smaller neighbour): what `small_star` looks at."""
    return edges[:, ::-1]


def large_star(seen: Int64) -> Int64:
    """Edges after the operation on every node in `seen` int64[p, 2], (node, neighbour), which holds all neighbours of these nodes."""
    node, neighbour = unique_pairs(seen).T
    smallest = np.minimum(node, _first_of_each(node, neighbour))
    larger = neighbour > node
    return unique_pairs(np.stack([smallest[larger], neighbour[larger]], axis=1))


def small_star(seen: Int64) -> Int64:
    """Edges after the operation on every node in `seen` int64[p, 2], (node, smaller neighbour), which holds all of these."""
    node, neighbour = unique_pairs(seen).T
    smallest = _first_of_each(node, neighbour)
    apart = neighbour != smallest
    pairs = [np.stack([smallest, node], axis=1), np.stack([smallest[apart], neighbour[apart]], axis=1)]
    return unique_pairs(*pairs)


def fingerprint(edges: Int64) -> tuple[int, int]:
    """Number of edges and sum of their 64-bit hashes: equal for equal sets of edges, whatever the order and the dealing."""
    mixed = fmix64_array(fmix64_array(edges[:, 0].astype(np.uint64)) ^ edges[:, 1].astype(np.uint64))
    return len(edges), int(mixed.sum(dtype=np.uint64))


def star_components(pairs: Int64, n: int) -> Int64:
    """int64[n]: for each node the smallest node of its component; as `dedup.keepers.components`, in one process."""
    edges = unique_pairs(np.sort(pairs, axis=1))
    while True:
        after = small_star(towards_smaller(large_star(towards_all(edges))))
        if fingerprint(after) == fingerprint(edges):
            break
        edges = after
    labels = np.arange(n)
    labels[edges[:, 1]] = edges[:, 0]
    return labels


def _first_of_each(node: Int64, neighbour: Int64) -> Int64:
    """For each row the first neighbour of its node; rows are sorted."""
    begins = np.ones(len(node), np.bool_)
    begins[1:] = node[1:] != node[:-1]
    return neighbour[np.maximum.accumulate(np.where(begins, np.arange(len(node)), 0))]

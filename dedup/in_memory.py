"""The whole room in one function, for documents that fit in memory. The pipeline gives the same removals at any scale."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup.arrays import Int64, UInt32
from dedup.banding import Banding, banding
from dedup.config import DedupSettings
from dedup.keepers import Keepers, greedy
from dedup.lsh import band_keys, joined, matches
from dedup.minhash import signatures
from dedup.shingles import shingle_sets
from dedup.verify import estimate_pairs, jaccard, worth_measuring


def near_duplicates(text: pa.LargeStringArray, settings: DedupSettings) -> Keepers:
    """Keepers of documents that stand in order of priority, the highest first (see dedup/priority.py).

    Raises InputError if `text` has another type or nulls. Memory: about twice the text, and 4 × num_perm bytes a document.
    """
    values, shingles = signatures(text, settings)
    nodes = np.flatnonzero(shingles)
    pairs = candidates(values[nodes], nodes, banding(settings), settings.bucket_cap)
    estimates = estimate_pairs(values, pairs)
    promising = worth_measuring(estimates, settings)
    pairs, estimates = pairs[promising], estimates[promising]
    similar = jaccard(*shingle_sets(text, settings), pairs) if settings.verify == "exact" else estimates
    return greedy(pairs, similar, len(text), settings.threshold)


def candidates(values: UInt32, nodes: Int64, bands: Banding, cap: int) -> Int64:
    """int64[p, 2]: candidate pairs of all bands. `values` uint32[m, num_perm] are the signatures of `nodes` int64[m]."""
    found = joined()
    for band in range(bands.bands):
        number = np.full(len(nodes), band, np.uint16)
        found = joined(found, matches(band_keys(values, bands, band), nodes, number, cap))
    return np.stack([found["better"], found["worse"]], axis=1)

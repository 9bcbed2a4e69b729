"""How many pairs the bands have missed: expected from the S-curve, and measured from the pairs themselves.

Expected: a found pair of similarity s stands for 1 / P(s) pairs, of which P(s) were found (Horvitz and Thompson, 1952).

Measured: bands are occasions on which a pair may be met, as animals are in traps. From the number of pairs met once and twice, f1 and f2,
Chao's estimator for m occasions tells the number that was never met, at least (m - 1) / m · f1² / (2 f2) (A. Chao, 1987). It assumes
nothing about the S-curve. Neither says what the cap on crowded buckets costs: the pairs that it leaves out were met.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dedup.arrays import Float64
from dedup.banding import Banding

BINS = 1000
"""Of the histogram of similarities that the expectation is computed from, and one more for a similarity of exactly 1. Counts add up the
same whatever the order, sums do not."""

LEAST_BANDS = 3
"""Bands from which on being met once says something: of one or two, nearly every pair is."""


def expected_recall(bands: Banding, histogram: Sequence[int]) -> float | None:
    """From int[BINS + 1], verified pairs by similarity: bin i begins at i / BINS. None where there are none."""
    counts = np.asarray(histogram, np.float64)
    found = bands.recall_at(np.minimum((np.arange(BINS + 1) + 0.5) / BINS, 1.0))
    whole = float(np.sum(counts[counts > 0] / found[counts > 0]))
    return float(counts.sum()) / whole if whole else None


def measured_recall(hits: Sequence[int]) -> float | None:
    """From int[bands], verified pairs by the number of bands that they met in, 1 first. None where there are too few bands to tell.

    Where no pair was met exactly twice, Chao's form for that case, f1 (f1 - 1) / 2.
    """
    if len(hits) < LEAST_BANDS:
        return None
    found, once, twice = sum(hits), hits[0], hits[1]
    missed = once * once / (2 * twice) if twice else once * (once - 1) / 2
    missed *= (len(hits) - 1) / len(hits)
    return found / (found + missed) if found else None


def similarity_histogram(similarity: Float64) -> list[int]:
    """int[BINS + 1] for `expected_recall`. `similarity` float64[p]."""
    counts = np.bincount((similarity * BINS).astype(np.int64), minlength=BINS + 1)
    return [int(count) for count in counts]

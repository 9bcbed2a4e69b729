"""How a signature is cut into LSH bands.

A signature of `num_perm` values is cut into `bands` of `rows` values each. Two documents become a candidate pair if all rows of at
least one band agree. With similarity s a row agrees with probability s, so a pair is found with probability

    P(s) = 1 - (1 - s^rows)^bands                   (the S-curve; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4.2)

More bands find more, more rows find fewer. Every candidate is verified afterwards, so a false candidate costs time and never a
document, while a missed one is lost for good. Hence the rule here: as many rows as the wanted recall allows. With 256 permutations:

    threshold   wanted     bands × rows   P(threshold)   mean above   P = 1/2 at s =
    0.70        0.999         51 ×  5       0.9999         1.0000         0.42
    0.70        0.99          42 ×  6       0.9948         0.9997         0.50
    0.80        0.999         36 ×  7       0.9998         1.0000         0.57
    0.85        0.999         28 ×  9       0.9994         1.0000         0.66
    0.70        balanced      25 × 10       0.5115         0.9133         0.70      datasketch's choice, and BigCode's
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from contracts.errors import ConfigError
from dedup.arrays import Float64

if TYPE_CHECKING:
    from dedup.config import DedupSettings


class Banding(NamedTuple):
    """Band k is the columns [k × rows, (k + 1) × rows) of a signature; columns behind the last band are not used for LSH."""

    bands: int
    rows: int

    def recall_at(self, similarity: float | Float64) -> Float64:
        """Probability, float64, that a pair of exactly this Jaccard similarity (or similarities) becomes a candidate."""
        return np.asarray(1.0 - (1.0 - np.asarray(similarity, np.float64) ** self.rows) ** self.bands)

    def mean_recall(self, threshold: float) -> float:
        """Recall averaged over similarities spread evenly over [threshold, 1], by the midpoint rule on 1,000 intervals."""
        middles = threshold + (1.0 - threshold) * (np.arange(1000) + 0.5) / 1000
        return float(np.mean(self.recall_at(middles)))

    def words(self, threshold: float) -> str:
        """One line: the S-curve at a few similarities."""
        shown = sorted({round(threshold - 0.2, 2), round(threshold - 0.1, 2), threshold, min(1.0, round(threshold + 0.1, 2))})
        curve = ", ".join(f"{s:g}: {float(self.recall_at(s)):.2%}" for s in shown if s > 0)
        return f"{self.bands} bands of {self.rows} rows; pairs found by similarity: {curve}"


def banding(settings: DedupSettings) -> Banding:
    """The banding that the settings name outright, or the one that their `banding` rule chooses.

    Raises ConfigError where no banding of `num_perm` values does what is asked.
    """
    if settings.bands is not None and settings.rows is not None:
        return Banding(settings.bands, settings.rows)
    try:
        if settings.banding == "balanced":
            return balanced(settings.threshold, settings.num_perm)
        return strictest(settings.threshold, settings.num_perm, settings.recall)
    except ValueError as error:
        raise ConfigError(f"dedup: {error}") from None


def strictest(threshold: float, num_perm: int, recall: float) -> Banding:
    """Most rows, and with them as many bands as fit, for which P(threshold) ≥ recall. Raises ValueError if there are none."""
    fitting = [Banding(num_perm // rows, rows) for rows in range(1, num_perm + 1)]
    good = [choice for choice in fitting if choice.recall_at(threshold) >= recall]
    if not good:
        best = max(fitting, key=lambda choice: float(choice.recall_at(threshold)))
        raise ValueError(
            f"recall = {recall} cannot be had at threshold = {threshold} with num_perm = {num_perm}: the best is "
            f"{float(best.recall_at(threshold)):.6f}, with {best.bands} bands of {best.rows}; raise num_perm or lower recall"
        )
    return max(good, key=lambda choice: choice.rows)


@lru_cache
def balanced(threshold: float, num_perm: int) -> Banding:
    """The optimum of datasketch: least sum of the areas of false positives and false negatives, both weighing the same.

    Raises ValueError where datasketch finds none. Cost: about 0.2 s for 256 permutations, two integrals for each possible banding.
    """
    from datasketch import MinHashLSH  # here: it imports scipy.integrate, half a second that only this choice needs

    index = MinHashLSH(threshold=threshold, num_perm=num_perm)
    return Banding(index.b, index.r)

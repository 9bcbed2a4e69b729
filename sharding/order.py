"""The order in which rows of one source are visited, and which of its rows are held out.

    j ─▶ (epoch, i) = divmod(j, n - h) ─▶ shuffle of this epoch ─▶ h + i' ─▶ split shuffle ─▶ row

One fixed shuffle of the n rows, the split, is cut at h: its first h places are held out for evaluation, the others are for
training and shuffled anew in every epoch. Both shuffles are keyed, so nothing is stored and any j is found at once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from sharding.permutation import Permutation
from sharding.segments import Int64

MAX_HELD_OUT_SHARE = 0.1
"""Of a source's rows: a source with fewer than ten is all training data."""


class RowOrder:
    """Training and held-out rows of a source with `rows` rows, for a seed."""

    def __init__(self, source: str, rows: int, held_out: int, seed: int) -> None:
        """Raises ValueError unless 0 ≤ held_out < rows."""
        if not 0 <= held_out < rows:
            raise ValueError(f"cannot hold out {held_out} of the {rows} rows of {source!r}")
        self.held_out = held_out
        self.training = rows - held_out
        self._split = Permutation(rows, "split", source, seed)
        self._epoch = functools.lru_cache(maxsize=2)(lambda epoch: Permutation(self.training, "epoch", source, seed, epoch))

    def training_rows(self, rank: Int64) -> Int64:
        """Row of the j-th training sample, int64[k] to int64[k]; each run of `training` samples holds every training row once."""
        epochs, index = np.divmod(rank, self.training)
        place = np.empty_like(index)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            place[here] = self._epoch(epoch)(index[here])
        return self._split(place + self.held_out)

    def held_out_rows(self) -> Int64:
        """The rows that training never sees, int64[held_out]."""
        return self._split(np.arange(self.held_out, dtype=np.int64))


def hold_out(rows: Mapping[str, int], total: int) -> dict[str, int]:
    """About `total` rows in proportion to the sources' sizes; at most MAX_HELD_OUT_SHARE of each source."""
    everything = max(1, sum(rows.values()))
    return {source: min(-(-total * count // everything), int(count * MAX_HELD_OUT_SHARE)) for source, count in rows.items()}

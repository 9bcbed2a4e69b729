"""The order in which rows of one source are visited, and which of its rows are held out.

    j ─▶ (epoch, i) = divmod(j, n - h) ─▶ shuffle of this epoch ─▶ h + i' ─▶ split shuffle ─▶ row

One fixed shuffle of the n rows, the split, is cut at h: its first h places are held out for evaluation, the others are for
training and shuffled anew in every epoch. Both shuffles are keyed, so nothing is stored and any j is found at once.

Where the shards hold several passes over the documents, each differently corrupted, an epoch is one pass: all rows of the first, then all
of the second, …, then the first again in another order. No row is held out then, since its documents come again in the next pass.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from sharding.permutation import Permutation
from sharding.segments import Int64

MAX_HELD_OUT_SHARE = 0.1
"""Of a source's rows: a source with fewer than ten is all training data."""


class RowOrder:
    """Training and held-out rows of a source, for a seed."""

    def __init__(self, source: str, passes: Sequence[int], held_out: int, seed: int) -> None:
        """`passes`: rows of each pass, which follow one another. Raises ValueError unless 0 ≤ held_out < rows, and 0 for several."""
        if not 0 <= held_out < min(passes):
            raise ValueError(f"cannot hold out {held_out} of the {min(passes)} rows of {source!r}")
        if held_out and len(passes) > 1:
            raise ValueError(f"cannot hold out rows of {source!r}: their documents come again in its {len(passes)} passes")
        self.held_out = held_out
        self.training = sum(passes) - held_out
        self._sizes = [rows - held_out for rows in passes]
        self._firsts = np.cumsum([0, *passes[:-1]], dtype=np.int64)
        self._split = Permutation(passes[0], "split", source, seed)
        self._epoch = functools.lru_cache(maxsize=2)(
            lambda epoch: Permutation(self._sizes[epoch % len(passes)], "epoch", source, seed, epoch)
        )

    def training_rows(self, rank: Int64) -> Int64:
        """Row of the j-th training sample, int64[k] to int64[k]; each run of `training` samples holds every training row once."""
        cycle, index = np.divmod(rank, self.training)
        pass_ = np.searchsorted(self._firsts, index, side="right") - 1
        index -= self._firsts[pass_]
        epochs = cycle * len(self._sizes) + pass_
        place = np.empty_like(index)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            place[here] = self._epoch(epoch)(index[here])
        return self._split(place + self.held_out) if len(self._sizes) == 1 else place + self._firsts[pass_]

    def epochs(self, samples: int) -> float:
        """How often the first `samples` training samples go through the documents: whole passes, and the part of the one they end in."""
        cycle, index = divmod(samples, self.training)
        pass_ = int(np.searchsorted(self._firsts, index, side="right")) - 1
        size = self._sizes[pass_]
        return ((cycle * len(self._sizes) + pass_) * size + index - int(self._firsts[pass_])) / size

    def held_out_rows(self) -> Int64:
        """The rows that training never sees, int64[held_out]."""
        return self._split(np.arange(self.held_out, dtype=np.int64))


def hold_out(rows: Mapping[str, int], total: int) -> dict[str, int]:
    """About `total` rows in proportion to the strata's sizes; at most MAX_HELD_OUT_SHARE of each."""
    everything = max(1, sum(rows.values()))
    return {source: min(-(-total * count // everything), int(count * MAX_HELD_OUT_SHARE)) for source, count in rows.items()}

"""From a step number to a batch, by arithmetic alone.

    (step, rank) ─▶ k ─▶ (source, j) ─▶ (epoch, i) ─▶ shuffled i ─▶ shard, row
                  mixture            order                    searchsorted

Nothing is drawn, buffered or remembered. The state of a run is one integer, the samples consumed by all ranks together; with the
fingerprint it says exactly which rows come next, for any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from contracts.errors import ConfigError, ShardError, unknown_name
from contracts.manifest import digest_of
from sharding.batch import Batch
from sharding.mixture import Mixture, shares_of_rows, shares_of_weights
from sharding.order import RowOrder
from sharding.permutation import Permutation
from sharding.segments import Int32, Int64, SegmentTable
from sharding.shards import ShardSet

ORDER_VERSION = 1
"""Version of mixture, order and permutation together: raise it when any of them gives another sequence."""


@dataclass(frozen=True)
class LoaderState:
    """Where a run is in its sequence of samples, and which sequence that is."""

    consumed_samples: int
    fingerprint: dict[str, str]


@dataclass(frozen=True)
class SourcePlan:
    """What a run of some steps takes from one source."""

    source: str
    share: float
    rows: int
    tokens: int
    """Context tokens, padding included: rows × context_length."""
    epochs: float
    """Passes over the source's documents; several of them where the shards hold several."""


class Loader:
    """Batches for one rank of `world_size`. Holds no position, so any thread may ask for any step in any order."""

    def __init__(
        self,
        shard_set: ShardSet,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        held_out: Mapping[str, int] | None = None,
    ) -> None:
        """Raises ConfigError for settings that do not fit the shards.

        `weights` by stratum, proportional to rows if None or empty; `batch_size` in rows a step, over all ranks; `held_out` rows for
        evaluation of each stratum: of the documents that were held out of it, or else of its own, which are then never given out.
        """
        _check_ranks(batch_size, rank, world_size)
        self.shard_set, self.seed = shard_set, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.held_out = _held_out_rows(held_out or {}, shard_set)
        inside = {source: 0 if shard_set.held_out(source) else count for source, count in self.held_out.items()}
        self.mixture = Mixture(_shares(shard_set, weights, inside))
        self.sources = self.mixture.sources
        self._orders = [RowOrder(name, shard_set.passes(name), inside[name], seed) for name in self.sources]

    @property
    def fingerprint(self) -> dict[str, str]:
        """Everything the sequence of samples depends on; batch size and world size do not belong to it."""
        return {
            "shards": self.shard_set.manifest.digest,
            "tokenizer": self.shard_set.metadata.tokenizer_sha256,
            "mixture": digest_of(list(self.mixture.shares.items())),
            "held-out rows": digest_of(self.held_out),
            "seed": str(self.seed),
            "order version": str(ORDER_VERSION),
        }

    def batch(self, step: int) -> Batch:
        """Rank's part of the step's batch: batch_size / world_size rows."""
        return self.batch_from(step * self.batch_size)

    def batch_from(self, consumed_samples: int) -> Batch:
        """Rank's part of the batch that comes after `consumed_samples` samples."""
        share = self.batch_size // self.world_size
        first = consumed_samples + self.rank * share
        return self.samples(np.arange(first, first + share, dtype=np.int64))

    def iterate(self, consumed_samples: int = 0) -> Iterator[Batch]:
        """Batches without end, from any point of the sequence."""
        while True:
            yield self.batch_from(consumed_samples)
            consumed_samples += self.batch_size

    def locate(self, k: Int64) -> tuple[Int32, Int64]:
        """Source and row of each sample: int64[n] to (index into `sources` int32[n], row of the source int64[n])."""
        source, rank = self.mixture.locate(k)
        rows = np.empty(len(k), np.int64)
        for number in np.unique(source).tolist():
            mine = source == number
            rows[mine] = self._orders[number].training_rows(rank[mine])
        return source, rows

    def samples(self, k: Int64) -> Batch:
        """The k-th samples of the sequence, in the order asked for."""
        source, rows = self.locate(k)
        return self._read(source, rows)

    def held_out_batch(self, source: str) -> Batch:
        """All held-out rows of one source."""
        number, stratum = self.sources.index(source), self.shard_set.held_out(source)
        if not stratum:
            rows = self._orders[number].held_out_rows()
            return self._read(np.full(len(rows), number, np.int32), rows)
        there = self.shard_set.rows(stratum)
        rows = np.sort(Permutation(there, "held out", source, self.seed)(np.arange(min(self.held_out[source], there))))
        return self._read(np.full(len(rows), number, np.int32), rows, stratum)

    def _read(self, source: Int32, rows: Int64, stratum: str = "") -> Batch:
        """Rows of their sources, or all of one stratum."""
        places = zip(source.tolist(), rows.tolist(), strict=True)
        parts = [self.shard_set.row(stratum or self.sources[number], row) for number, row in places]
        input_ids = np.empty((len(parts), self.shard_set.metadata.context_length + 1), self.shard_set.dtype)
        for slot, (ids, _) in enumerate(parts):
            input_ids[slot] = ids
        segments = SegmentTable.concatenate([segments for _, segments in parts])
        return Batch.build(input_ids, segments, source, self.shard_set.metadata.special_ids)

    def state(self, consumed_samples: int) -> LoaderState:
        """What to store in a checkpoint."""
        return LoaderState(consumed_samples, self.fingerprint)

    def resume(self, state: LoaderState) -> int:
        """Samples consumed, for `iterate`. Raises ShardError if the state belongs to another sequence, and names what differs."""
        here = self.fingerprint
        changed = [name for name in here if state.fingerprint.get(name) != here[name]]
        if changed:
            raise ShardError(
                f"The checkpoint was made with other {', '.join(changed)}, so its position means other rows here. "
                "Restore them, or train in a new output folder."
            )
        return state.consumed_samples

    def plan(self, steps: int) -> list[SourcePlan]:
        """What `steps` steps take from each source, all ranks together."""
        rows = self.mixture.counts(steps * self.batch_size)
        length = self.shard_set.metadata.context_length
        return [
            SourcePlan(
                source=name,
                share=self.mixture.shares[name] / self.mixture.total,
                rows=rows[name],
                tokens=rows[name] * length,
                epochs=order.epochs(rows[name]),
            )
            for name, order in zip(self.sources, self._orders, strict=True)
        ]


def _check_ranks(batch_size: int, rank: int, world_size: int) -> None:
    if batch_size < 1 or world_size < 1 or batch_size % world_size:
        raise ConfigError(
            f"batch_size {batch_size} does not divide over {world_size} ranks. Choose a multiple of {max(1, world_size)}."
        )
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size}; 0 to {world_size - 1} is allowed.")


def _held_out_rows(held_out: Mapping[str, int], shard_set: ShardSet) -> dict[str, int]:
    """Rows to hold out of every stratum. Raises ConfigError for those that cannot be."""
    for source, count in held_out.items():
        if source not in shard_set.sources:
            raise ConfigError(unknown_name("source in held_out", source, shard_set.sources))
        rows, passes = shard_set.rows(source), len(shard_set.passes(source))
        if count and passes > 1 and not shard_set.held_out(source):
            raise ConfigError(
                f"held_out asks for {count} rows of {source!r}, whose documents come again in its {passes} passes: only 0 is allowed. "
                "Set shard.held_out and make the shard stage again, to evaluate on documents that are in no pass."
            )
        if count < 0 or (count > max(0, rows - 1) and not shard_set.held_out(source)):
            raise ConfigError(
                f"held_out asks for {count} rows of {source!r}, which has {rows}; 0 to {max(0, rows - 1)} is allowed, so that one is left "
                "to train on."
            )
    return {source: held_out.get(source, 0) for source in shard_set.sources}


def _by_stratum(weights: Mapping[str, float], training: Mapping[str, int]) -> dict[str, float]:
    """Weights of strata; that of a source whose strata are its languages is dealt by rows to those that have none of their own.

    Raises ConfigError for unknown names, and for a source's weight that is left with no language.
    """
    found: dict[str, float] = {}
    for name, weight in weights.items():
        languages = [each for each in training if each.startswith(f"{name}/")]
        strata = {name: 1} if name in training else {each: training[each] for each in languages if each not in weights}
        if languages and not strata and weight:
            raise ConfigError(
                f"weight {weight} of source {name!r} has no language left to go to: {', '.join(languages)} have weights of their own. "
                f"Leave {name!r} out, or the weights of those languages that should share it."
            )
        if not languages and not strata:
            raise ConfigError(unknown_name("source", name, training))
        found.update({each: weight * rows / max(1, sum(strata.values())) for each, rows in strata.items()})
    return found


def _need_rows(shard_set: ShardSet, training: Mapping[str, int]) -> None:
    if not any(training.values()):
        raise ShardError(
            f"{shard_set.stage_dir} has no rows to train on: all {sum(shard_set.rows(name) for name in shard_set.strata)} are held out. "
            "Lower shard.held_out (or train.eval_rows) and make the stage again."
        )


def _shares(shard_set: ShardSet, weights: Mapping[str, float] | None, held_out: Mapping[str, int]) -> dict[str, int]:
    training = {source: shard_set.rows(source) - held_out[source] for source in shard_set.sources}
    _need_rows(shard_set, training)
    if not weights:
        return shares_of_rows(training)
    weights = _by_stratum(weights, training)
    for source in weights:
        if weights[source] and training[source] < 1:
            raise ConfigError(
                f"source {source!r} has weight {weights[source]} but no training rows. Set its weight to 0 or leave it out."
            )
    return shares_of_weights({source: weights[source] for source in shard_set.sources if source in weights})

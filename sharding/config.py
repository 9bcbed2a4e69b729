"""Settings of the shard stage."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.schemas import OBJECTIVES
from contracts.settings import Settings
from sharding.chunks import CutAt
from sharding.headers import MetadataSettings
from sharding.objectives.fim import FimSettings
from sharding.objectives.span_corruption import SpanCorruptionSettings
from sharding.rows import Pack


class ShardSettings(Settings):
    """How documents become rows."""

    context_length: int = Field(default=2048, ge=16, le=2**20)
    """Tokens a model sees at once (CodeGen2.5: 2,048). A row holds one more, so that every position has a target."""

    objectives: dict[str, float] = Field(default_factory=lambda: {"causal": 0.5, "span_corruption": 0.5})
    """Relative weight of each objective; one is drawn for each document (CodeGen2: causal and span corruption, p = 0.5 each)."""

    objectives_of: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Other weights for a source, or for one of its languages: `[shard.objectives_of."code/python"]`. The language's count, then the
    source's, then `objectives`."""

    span_corruption: SpanCorruptionSettings = SpanCorruptionSettings()
    """Distributions of span corruption."""

    fim: FimSettings = FimSettings()
    """How often, where and in which order the middle is filled in."""

    metadata: MetadataSettings = MetadataSettings()
    """Headers of repository, path and stars in front of code."""

    pack: Pack = "best-fit"
    """"best-fit": every example whole in one row. "concat": documents of the objective `causal` are poured one behind the other into what
    is left, and cut where a row ends; examples of other objectives stay whole."""

    cut_at: CutAt = "tokens"
    """Where documents are cut that do not fit a row: "tokens", so that every chunk but the last fills its row; or "lines", at the last
    line end of a row, which leaves 0.1 to 6 % of padding (docs/decisions/0014)."""

    window_bytes: int = Field(default=48 * 2**20, ge=1)
    """Text that is packed together, in bytes. 48 MiB are about 15 million tokens, enough for padding under 0.02 % at 2,048 and under
    0.04 % at 8,192; a worker needs about 10 times as much memory, and 300 MB."""

    shard_bytes: int | None = Field(default=None, ge=1)
    """Text of one shard file, in bytes; by default that of one window. Tokens of it take about two thirds as much, in 16 bits."""

    compression: Literal["none", "zstd"] = "none"
    """Of the shards' bodies. "zstd" saves about a third, and costs the loader a decompressed batch of 64 rows for each row that it reads in
    random order; uncompressed rows are read where they lie."""

    strata: Literal["source", "language"] = "source"
    """What a shard's rows have in common, and what mixture weights and the loader name: `SOURCE`, or `SOURCE/LANGUAGE`."""

    held_out: float = Field(default=0.0, ge=0, lt=1)
    """Share of documents that go to strata of their own, `held_out/SOURCE`, in every epoch: nothing is trained on them, and evaluation is
    done on them instead of on rows of documents that other rows hold too."""

    epochs: int = Field(default=1, ge=1, le=1000)
    """Passes that are written: the same documents, corrupted and packed differently in each (CodeGen2.5's five epochs: corruption as
    augmentation). A trainer that goes on beyond the last begins again with the first."""

    epoch: int = Field(default=0, ge=0, le=2**62)
    """Number of the first pass."""

    @property
    def mixtures(self) -> dict[str, dict[str, float]]:
        """All tables of weights, by their names in a recipe."""
        return {"objectives": self.objectives, **{f'objectives_of."{name}"': each for name, each in self.objectives_of.items()}}

    def mixture_of(self, source: str, language: str) -> int:
        """Which of `mixtures` the documents of a source and language draw from, by its place."""
        names = list(self.objectives_of)
        return next((names.index(name) + 1 for name in (f"{source}/{language}", source) if name in names), 0)

    @property
    def wanted(self) -> list[str]:
        """Objectives that have a weight anywhere, in the order of their codes."""
        return [name for name in OBJECTIVES if any(weights.get(name, 0) > 0 for weights in self.mixtures.values())]

    @model_validator(mode="after")
    def _weights_make_sense(self) -> Self:
        for where, weights in self.mixtures.items():
            _check_weights(where, weights)
        _check_room(self)
        return self


def _check_weights(where: str, weights: dict[str, float]) -> None:
    allowed = OBJECTIVES[1:]
    for name, weight in weights.items():
        if name not in allowed:
            raise ValueError(f"{where}.{name}: unknown objective; known: {', '.join(allowed)}")
        if not 0 <= weight < math.inf:
            raise ValueError(f"{where}.{name} = {weight}: must be a number of 0 or more")
    if not 0 < sum(weights.values()) < math.inf:
        raise ValueError(
            f"{where}: the weights sum to {sum(weights.values())}; at least one must be above 0, and their sum a number"
        )


def _check_room(settings: ShardSettings) -> None:
    """Sentinels may take a quarter of a row."""
    overhead = {"span_corruption": settings.span_corruption.overhead, "fim": settings.fim.overhead}
    remedy = {"span_corruption": "lower span_corruption.max_spans or raise context_length", "fim": "raise context_length"}
    for name in overhead:
        needed = 4 * overhead[name]
        if settings.context_length < needed and name in settings.wanted:
            raise ValueError(
                f"context_length = {settings.context_length} is too short for the objective {name}, whose sentinels take up to "
                f"{overhead[name]} tokens: at least {needed} are needed; {remedy[name]}"
            )

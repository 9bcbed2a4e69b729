"""Settings of the shard stage."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from contracts.schemas import OBJECTIVES
from contracts.settings import Settings
from sharding.objectives.span_corruption import SpanCorruptionSettings


class ShardSettings(Settings):
    """How documents become rows."""

    context_length: int = Field(default=2048, ge=16, le=2**20)
    """Tokens a model sees at once (CodeGen2.5: 2,048). A row holds one more, so that every position has a target."""

    objectives: dict[str, float] = Field(default_factory=lambda: {"causal": 0.5, "span_corruption": 0.5})
    """Relative weight of each objective; one is drawn for each document (CodeGen2: causal and span corruption, p = 0.5 each)."""

    span_corruption: SpanCorruptionSettings = SpanCorruptionSettings()
    """Distributions of span corruption."""

    window_bytes: int = Field(default=64 * 2**20, ge=1)
    """Text that is packed together, in bytes; each window becomes one shard. 64 MiB are about 20 million tokens, 10,000 chunks at
    2,048, enough for padding under 0.02 %; a worker needs about 12 times as much memory."""

    epoch: int = Field(default=0, ge=0)
    """Number of this pass: the same documents are corrupted differently in another epoch."""

    @model_validator(mode="after")
    def _weights_make_sense(self) -> Self:
        allowed = OBJECTIVES[1:]
        for name, weight in self.objectives.items():
            if name not in allowed:
                raise ValueError(f"objectives.{name}: unknown objective; known: {', '.join(allowed)}")
            if not 0 <= weight < math.inf:
                raise ValueError(f"objectives.{name} = {weight}: must be a number of 0 or more")
        if not sum(self.objectives.values()) > 0:
            raise ValueError("objectives: at least one needs a weight above 0")
        needed = 4 * self.span_corruption.overhead
        if self.context_length < needed and self.objectives.get("span_corruption", 0) > 0:
            raise ValueError(
                f"context_length = {self.context_length} is too short for span_corruption.max_spans = "
                f"{self.span_corruption.max_spans}, whose sentinels take up to {self.span_corruption.overhead} tokens: "
                f"at least {needed} are needed; lower max_spans or raise context_length"
            )
        return self

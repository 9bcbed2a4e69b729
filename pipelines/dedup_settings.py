"""The recipe's section `[dedup]`: what the room `dedup` knows of, and what only the stage does."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.settings import Settings
from dedup.config import DedupSettings
from pipelines.references import ReferenceSettings


class ExchangeSettings(Settings):
    """`[dedup.exchange]`: how the work is cut. None of it changes a byte of what is committed."""

    bytes: int = Field(default=256 * 2**20, ge=2**20)
    """Bytes that one exchange may hold. The local engine needs 3 to 4 times as much memory; clusters spill to their disks, and do best with
    as much as they have memory in all. Decides how many bands go together, and with that the passes."""

    bands: int | None = Field(default=None, ge=1)
    """Bands of one pass, instead of as many as `bytes` allows."""

    components: Literal["auto", "scipy", "stars"] = "auto"
    """How connected components are found: "scipy" in one worker, "stars" by rounds of large-star and small-star on all, "auto" by one
    worker where the edges take no more memory than an exchange does, four times `bytes`, and 2 GB at most."""

    star_rounds: int = Field(default=24, ge=2, le=100)
    """Rounds that "stars" has for it; a chain of n documents needs about log2(n) + 2. What is left unfinished is noticed, and an error."""


class DedupStageSettings(DedupSettings):
    """The whole section."""

    reference: list[ReferenceSettings] = Field(default_factory=list)
    """Earlier corpora: one `[[dedup.reference]]` table each. Where two have the same document, the first is named."""

    exchange: ExchangeSettings = Field(default_factory=ExchangeSettings)
    """How the work is cut."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.reference]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"reference: two are named {name!r}; each needs a name of its own")
        return self

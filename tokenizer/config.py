"""Settings of the tokenizer stage."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.settings import Settings
from contracts.special_tokens import PUBLISHED_MASKS, added_tokens

PUBLISHED_VOCAB_SIZE = 51_200
"""CodeGen2.5's config.json: 50,257 GPT-2 ids and 943 added tokens."""

MIN_ORDINARY = 256
"""A byte-level vocabulary holds at least every byte."""


class TokenizerSettings(Settings):
    """How the vocabulary is made."""

    vocab_size: int = Field(default=PUBLISHED_VOCAB_SIZE, ge=512, le=2**24)
    """Ids in all, special tokens included. CodeGen2.5 has 51,200. A corpus too small to give so many merges yields fewer."""

    masks: int | None = Field(default=None, ge=1, le=100_000)
    """Number of `<mask_i>` sentinels. By default CodeGen2.5's share of the vocabulary, 881 of 51,200, and at least 32."""

    sample_bytes: int = Field(default=200_000_000, ge=1_000)
    """Text to train on, in bytes. Training takes about 0.4 s of CPU time a MB, and memory that grows with the distinct words of the
    sample. Our choice."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Relative share of the sample by source name. By default each source's share of the kept text."""

    path: str = ""
    """An existing tokenizer.json to use instead of training one. Control tokens that it lacks are appended behind its last id."""

    engine: Literal["gigatoken", "tokenizers"] = "gigatoken"
    """Encoder. Both give the same ids (tested); `tokenizers` is the reference, about 50 times slower."""

    @property
    def mask_count(self) -> int:
        """Number of `<mask_i>` sentinels after defaults."""
        return self.masks or max(32, self.vocab_size * PUBLISHED_MASKS // PUBLISHED_VOCAB_SIZE)

    @property
    def ordinary(self) -> int:
        """Ids left for ordinary BPE tokens: all but `<|endoftext|>` and the added tokens."""
        return self.vocab_size - 1 - len(added_tokens(self.mask_count))

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if not self.path and self.ordinary < MIN_ORDINARY:
            raise ValueError(
                f"vocab_size = {self.vocab_size} leaves {self.ordinary} ordinary tokens beside {self.mask_count} masks; "
                f"at least {MIN_ORDINARY} are needed: raise vocab_size or lower masks"
            )
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights.{name} = {weight}: must be a number of 0 or more")
        return self

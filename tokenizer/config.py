"""Settings of the tokenizer stage."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from contracts.settings import Settings
from contracts.special_tokens import PUBLISHED_MASKS, STARCODER, Layout, added_tokens, infill_tokens

PUBLISHED_VOCAB_SIZE = 51_200
"""CodeGen2.5's config.json: 50,257 GPT-2 ids and 943 added tokens."""

STARCODER_VOCAB_SIZE = 49_152
"""StarCoder's config.json."""

MIN_ORDINARY = 256
"""A byte-level vocabulary holds at least every byte."""


class TokenizerSettings(Settings):
    """How the vocabulary is made."""

    layout: Layout = "codegen25"
    """Where special tokens stand. "codegen25": behind the ordinary ones, as published; "starcoder": ids 0 to 18, without whitespace runs,
    and without `<sep>`, `<eom>` and `<mask_i>` unless `masks` asks for some, which are then appended."""

    vocab_size: int = Field(default=PUBLISHED_VOCAB_SIZE, ge=512, le=2**24)
    """Ids in all, special tokens included. By default what was published: 51,200 of CodeGen2.5, 49,152 of StarCoder. A corpus too small to
    give so many merges yields fewer. With `ranks` or `path` it only decides how many masks there are by default."""

    masks: int | None = Field(default=None, ge=1, le=100_000)
    """Number of `<mask_i>` sentinels. By default CodeGen2.5's share of the vocabulary, 881 of 51,200, and at least 32; none with
    StarCoder's layout."""

    sample_bytes: int = Field(default=200_000_000, ge=1_000, le=100_000_000_000)
    """Text to train on, in bytes. Workers count its words at about 80 MB/s each; one of them then trains on the counts, which takes about
    1 GB of memory at most, whatever the size. Our choice."""

    document_bytes: int = Field(default=1_000_000, ge=1_000)
    """Most bytes that one document gives to the sample: a stretch at a keyed place, from a line's beginning on. Our choice."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Relative share of the sample by "source" or "source/language". What has a row of its own is not part of its source's. By default
    each source's and language's share of the kept text; with weights, what is not named gets none. What is smaller than its share gives all
    it has."""

    path: str = ""
    """An existing tokenizer.json to use instead of training one. Control tokens that it lacks are appended behind its last id."""

    ranks: str = ""
    """An existing byte-level BPE to lay out instead of training one: a .tiktoken file or GPT-2's vocab.bpe. With GPT-2's the ids are
    CodeGen2.5's."""

    engine: Literal["gigatoken", "tokenizers"] = "gigatoken"
    """Encoder. Both give the same ids (tested); `tokenizers` is the reference, some 80 times slower."""

    @property
    def given(self) -> str:
        """The file that holds a vocabulary to take over, or "" if one is trained."""
        return self.path or self.ranks

    @property
    def mask_count(self) -> int:
        """Number of `<mask_i>` sentinels after defaults."""
        if self.layout == "starcoder":
            return self.masks or 0
        return self.masks or max(32, self.vocab_size * PUBLISHED_MASKS // PUBLISHED_VOCAB_SIZE)

    @property
    def ordinary(self) -> int:
        """Ids left for ordinary BPE tokens: all but `<|endoftext|>` and the layout's other tokens."""
        if self.layout == "starcoder":
            return self.vocab_size - 1 - len(STARCODER) - (len(infill_tokens(self.masks)) if self.masks else 0)
        return self.vocab_size - 1 - len(added_tokens(self.mask_count))

    @model_validator(mode="before")
    @classmethod
    def _published_size(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("layout") == "starcoder":
            return {"vocab_size": STARCODER_VOCAB_SIZE, **values}
        return values

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.path and self.ranks:
            raise ValueError(
                f"path = {self.path!r} and ranks = {self.ranks!r}: only one vocabulary can be taken over; leave one out"
            )
        if not self.given and self.ordinary < MIN_ORDINARY:
            raise ValueError(
                f"vocab_size = {self.vocab_size} leaves {self.ordinary} ordinary tokens beside {self.mask_count} masks; "
                f"at least {MIN_ORDINARY} are needed: raise vocab_size or lower masks"
            )
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights.{name} = {weight}: must be a number of 0 or more")
        return self

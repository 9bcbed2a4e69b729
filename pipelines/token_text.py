"""Ids as people read them: text as text, control tokens by name, and never one for the other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.storage import read_bytes
from sharding.metadata import ShardMetadata
from sharding.objectives import TextTable
from tokenizer.token_bytes import token_bytes

Piece = dict[str, str]
"""{"text": …}, or {"control": name}."""


@dataclass(frozen=True)
class TokenText:
    """The vocabulary of a shard."""

    table: TextTable
    names: dict[int, str]
    """Control tokens by id."""

    @staticmethod
    def load(path: str, metadata: ShardMetadata) -> TokenText | None:
        """From a tokenizer.json; None if it is another than the shard was made with."""
        content = read_bytes(path)
        if hashlib.sha256(content).hexdigest() != metadata.tokenizer_sha256:
            return None
        table = TextTable(*token_bytes(content.decode(), metadata.vocab_size))
        return TokenText(table, {index: name for name, index in metadata.special_ids.items()})

    def pieces(self, ids: npt.NDArray[Any]) -> list[Piece]:
        """Runs of text, and single control tokens. Where a character is cut off at an end, its bytes are shown as U+FFFD."""
        pieces: list[Piece] = []
        for is_control, run in groupby(ids.tolist(), key=self.names.__contains__):
            same = list(run)
            pieces += (
                [{"control": self.names[each]} for each in same]
                if is_control
                else [{"text": self.table.spell(np.array(same)).decode(errors="replace")}]
            )
        return pieces

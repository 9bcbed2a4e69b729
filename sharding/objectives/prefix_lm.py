"""Prefix language modelling (arXiv 1910.10683, 2305.02309): a prefix that is read in both directions, then text that is predicted.

    example   a b c d e f g h [<|endoftext|> if the document ends here]
              ╰prefix╯╰ targets, from loss_start on

The ids are those of causal modelling. What is different lies in `loss_start`, the length of the prefix, which is uniform from the chunk's
head to its end, or to its last token where the document goes on: the loss leaves out the prefix, and within it the trainer lets every
token see every other (Batch.prefix).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.schemas import OBJECTIVES
from sharding.objectives import causal
from sharding.objectives.base import Chunks, Examples
from sharding.randomness import uniforms

CODE = OBJECTIVES.index("prefix_lm")


@dataclass(frozen=True)
class PrefixLm(causal.Causal):
    """The objective; it has no settings."""

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: one copy."""
        # A chunk that no <|endoftext|> follows keeps a token to be predicted.
        free = np.maximum(0, chunks.stop - chunks.start - chunks.head - ~chunks.last)
        prefix = chunks.head + (uniforms(chunks.key, 0) * (free + 1)).astype(np.int64)
        return super().examples(chunks)._replace(kind=np.full(len(prefix), CODE, np.uint8), loss_start=prefix.astype(np.int32))


restore = causal.restore

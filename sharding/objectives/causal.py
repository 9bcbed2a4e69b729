"""Causal language modelling: the chunk as it is.

x0 x1 x2 … xn [<|endoftext|> if the document ends here]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from contracts.schemas import OBJECTIVES
from sharding.objectives.base import Chunks, Controls, Examples, Restored, offsets_of, plain_examples
from sharding.token_ids import TokenIds, copy_tokens, put_token

CODE = OBJECTIVES.index("causal")


@dataclass(frozen=True)
class Causal:
    """The objective; it has no settings."""

    controls: Controls

    @property
    def overhead(self) -> int:
        """<|endoftext|>."""
        return 1

    def lengths(self, chunks: Chunks) -> npt.NDArray[np.int64]:
        """The chunk, and <|endoftext|> if its document ends with it."""
        return chunks.stop - chunks.start + chunks.last

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: one copy."""
        offsets = offsets_of(self.lengths(chunks))
        ids = _write(chunks.ids, chunks.start, chunks.stop, chunks.last, offsets, self.controls.end_of_text)
        return plain_examples(CODE, ids, offsets)


def restore(ids: npt.NDArray[np.uint32], controls: Controls) -> Restored:
    """The chunk of an example."""
    last = len(ids) > 0 and int(ids[-1]) == controls.end_of_text
    return Restored(ids[:-1] if last else ids, last)


@njit(cache=True, nogil=True)
def _write(
    ids: TokenIds,
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    last: npt.NDArray[np.bool_],
    offsets: npt.NDArray[np.int64],
    end_of_text: int,
) -> TokenIds:
    out = np.empty(offsets[-1], ids.dtype)
    for i in range(len(start)):
        at = copy_tokens(out, offsets[i], ids, start[i], stop[i])
        if last[i]:
            put_token(out, at, end_of_text)
    return out

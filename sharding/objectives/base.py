"""What goes into an objective and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask


@dataclass(frozen=True)
class Controls:
    """Ids of the control tokens that objectives write."""

    end_of_text: int
    sep: int
    end_of_mask: int
    masks: tuple[int, ...]
    """Ids of <mask_1>, <mask_2>, …"""

    @staticmethod
    def of(ids: dict[str, int]) -> Controls:
        """From a vocabulary's control ids by name."""
        count = sum(name.startswith("<mask_") for name in ids)
        masks = tuple(ids[mask(i)] for i in range(1, count + 1))
        return Controls(ids[END_OF_TEXT], ids[SEP], ids[END_OF_MASK], masks)


class Chunks(NamedTuple):
    """m stretches of documents, each no longer than fits a row with its objective's control tokens."""

    ids: npt.NDArray[np.uint32]
    """uint32[tokens]: the documents' ids; chunk i is ids[start[i]:stop[i]]"""
    start: npt.NDArray[np.int64]
    """int64[m]"""
    stop: npt.NDArray[np.int64]
    """int64[m]"""
    last: npt.NDArray[np.bool_]
    """bool[m]: whether its document ends here"""
    key: npt.NDArray[np.uint64]
    """uint64[m]: see randomness.py"""
    begin: npt.NDArray[np.int64]
    """int64[m]: where its document begins in `ids`; equals `start` for a document's first chunk"""
    head: npt.NDArray[np.int64]
    """int64[m]: tokens at its start that stay together and in front, such as <reponame>…; 0 for most"""


class Examples(NamedTuple):
    """m examples, one behind the other."""

    ids: npt.NDArray[np.uint32]
    """uint32[tokens], control tokens included"""
    offsets: npt.NDArray[np.int64]
    """int64[m + 1]"""
    masked: npt.NDArray[np.int32]
    """int32[m]: tokens that were cut out and must be filled in; 0 for causal"""
    span_lengths: npt.NDArray[np.int32]
    """int32[spans]: length of each span, in the order of the examples"""
    kind: npt.NDArray[np.uint8]
    """uint8[m]: index into contracts.schemas.OBJECTIVES; an objective may leave some chunks causal"""
    loss_start: npt.NDArray[np.int32]
    """int32[m]: first token of the example that is a target"""
    grown: npt.NDArray[np.int32]
    """int32[m]: tokens of text more than the chunk has, where a cut between two characters split a token; 0 for most"""


def plain_examples(code: int, ids: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]) -> Examples:
    """Examples of one kind whose every token is a target, with nothing masked and nothing grown."""
    m = len(offsets) - 1
    none = np.zeros(m, np.int32)
    return Examples(ids, offsets, none, np.zeros(0, np.int32), np.full(m, code, np.uint8), none, none)


class Objective(Protocol):
    """An objective with its settings."""

    @property
    def overhead(self) -> int:
        """Most tokens that an example has more than its chunk."""
        ...

    def lengths(self, chunks: Chunks) -> npt.NDArray[np.int64]:
        """int64[m]: tokens of each example, exactly as `examples` would make it; for packing, which asks again and again."""
        ...

    def examples(self, chunks: Chunks) -> Examples:
        """One example a chunk, in order."""
        ...


class Restored(NamedTuple):
    """What an example was made of."""

    ids: npt.NDArray[np.uint32]
    """The chunk's token ids."""
    last: bool
    """Whether the document ended with it."""

"""What goes into an objective and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from contracts.errors import ShardError
from contracts.special_tokens import END_OF_TEXT, mask
from sharding.token_ids import TokenIds


@dataclass(frozen=True)
class Controls:
    """Ids of a vocabulary's control tokens by name. Not every vocabulary has all of them."""

    ids: Mapping[str, int]

    @staticmethod
    def of(ids: Mapping[str, int]) -> Controls:
        """From a vocabulary's control ids by name."""
        return Controls(dict(ids))

    @property
    def end_of_text(self) -> int:
        """Id of <|endoftext|>, which every objective needs."""
        return self.need(END_OF_TEXT, "every objective")

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """Ids of <mask_1>, <mask_2>, … as far as they go without a gap."""
        found: list[int] = []
        while (name := mask(len(found) + 1)) in self.ids:
            found.append(self.ids[name])
        return tuple(found)

    def need(self, name: str, objective: str) -> int:
        """The id of a control token. Raises ShardError if the vocabulary lacks what the objective cannot do without."""
        if name not in self.ids:
            raise ShardError(
                f"{objective} needs the control token {name}, which is not in the vocabulary; it has {len(self.ids)}: "
                f"{_shown(self.ids)}. Set the weight of {objective} to 0, or make a tokenizer whose layout has {name}."
            )
        return self.ids[name]


def _shown(names: Mapping[str, int], most: int = 24) -> str:
    """The first names in id order."""
    ordered = sorted(names, key=lambda name: names[name])
    return ", ".join(ordered[:most]) + (", …" if len(ordered) > most else "")


class Chunks(NamedTuple):
    """m stretches of documents, each no longer than fits a row with its objective's control tokens."""

    ids: TokenIds
    """uint16|uint32[tokens]: the documents' ids; chunk i is ids[start[i]:stop[i]]"""
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
    drawn: npt.NDArray[np.int64] | None = None
    """int64[m]: where the stretch ends from which places are drawn; None for `stop`. Where a chunk is to fill a row, that is a row's
    length from its start: what is drawn then does not change while its end is looked for."""


class Examples(NamedTuple):
    """m examples, one behind the other."""

    ids: TokenIds
    """[tokens], of the chunks' type, control tokens included"""
    offsets: npt.NDArray[np.int64]
    """int64[m + 1]"""
    masked: npt.NDArray[np.int32]
    """int32[m]: tokens that were cut out and must be filled in; 0 for causal"""
    span_lengths: npt.NDArray[np.int32]
    """int32[spans]: length of each span in tokens, in the order of the examples; the middle of an infill example is one span"""
    span_starts: npt.NDArray[np.int32]
    """int32[spans]: tokens of the example's text before the span, head included"""
    kind: npt.NDArray[np.uint8]
    """uint8[m]: index into contracts.schemas.OBJECTIVES; an objective may leave some chunks causal"""
    layout: npt.NDArray[np.uint8]
    """uint8[m]: 1 for prefix-suffix-middle, 2 for suffix-prefix-middle (see fim.py); 0 for all others"""
    loss_start: npt.NDArray[np.int32]
    """int32[m]: first token of the example that is a target"""
    grown: npt.NDArray[np.int32]
    """int32[m]: tokens of text more (or, seldom, less) than the chunk has, where text was encoded anew around a cut; 0 for most"""


def plain_examples(code: int, ids: TokenIds, offsets: npt.NDArray[np.int64]) -> Examples:
    """Examples of one kind whose every token is a target, with nothing masked and nothing grown."""
    m = len(offsets) - 1
    none, no_spans = np.zeros(m, np.int32), np.zeros(0, np.int32)
    return Examples(
        ids=ids,
        offsets=offsets,
        masked=none,
        span_lengths=no_spans,
        span_starts=no_spans,
        kind=np.full(m, code, np.uint8),
        layout=np.zeros(m, np.uint8),
        loss_start=none,
        grown=none,
    )


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64[m + 1]: where each of m stretches begins when they lie one behind the other, and where the last ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


class Objective(Protocol):
    """An objective with its settings."""

    @property
    def overhead(self) -> int:
        """Most tokens that an example has more than its chunk."""
        ...

    def lengths(self, chunks: Chunks) -> npt.NDArray[np.int64]:
        """int64[m]: tokens of each example, exactly as `examples` would make it; for cutting, which asks a few times a chunk."""
        ...

    def examples(self, chunks: Chunks) -> Examples:
        """One example a chunk, in order."""
        ...


class Restored(NamedTuple):
    """What an example was made of."""

    ids: npt.NDArray[np.uint32]
    """The chunk's token ids; around the cuts of infill examples, ids of the same text that may be split otherwise."""
    last: bool
    """Whether the document ended with it."""

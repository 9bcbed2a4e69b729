"""CodeGen2's span corruption within one document (arXiv 2305.02309; layout of the model card of Salesforce/codegen2).

    chunk      a b c d e f g h i j           spans  [c d] and [g h i]

    example    a b <mask_1> e f <mask_2> j [<|endoftext|>] <sep> <mask_1> c d <eom> <mask_2> g h i <eom>
               ╰──── what is left of it ────╯    │              ╰────────── what is to be filled in ──────────╯
                                                 ╰ only if the document ends with this chunk

A prompt for filling one hole is the same layout cut off after the second <mask_1>: `prefix <mask_1> suffix <|endoftext|> <sep> <mask_1>`.

For each chunk of n tokens, as the paper says ("dynamic ratio", "uniform distributions over … span lengths"):

 1. a mask ratio is drawn uniformly from [min_mask_ratio, max_mask_ratio]; m = the nearest number of tokens, at least 1;
 2. span lengths are drawn uniformly from 1 … max_span_length until they make up m; the last one is cut to fit;
 3. the n - m tokens that stay are dealt to the gaps between spans uniformly over all ways to do so, inner gaps at least 1 long, so
    that spans neither overlap nor touch.

The paper's numeric bounds were never published; those below are Spanmill's choice.

With variant = "t5" the same layout holds T5's spans instead (arXiv 1910.10683, section 3.1.4): round(noise_density × n) tokens in
round(tokens / mean_span_length) spans; both the spans and the stretches between them are lengths of 1 or more, uniform over all ways
to add up. The chunk begins with a stretch that stays and ends with a span.

A chunk's head is never cut out: n counts the tokens behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field, model_validator

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES
from contracts.settings import Settings
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask
from sharding.objectives.base import Chunks, Controls, Examples, Restored, offsets_of, plain_examples
from sharding.objectives.spans import Spans, codegen2_spans, t5_spans
from sharding.token_ids import TokenIds, copy_tokens, put_token

CODE = OBJECTIVES.index("span_corruption")


class SpanCorruptionSettings(Settings):
    """Distributions to draw from."""

    variant: Literal["codegen2", "t5"] = "codegen2"
    """What is drawn: CodeGen2's dynamic ratio, or T5's noise mask. `max_spans` holds for both, `noise_density` and `mean_span_length`
    for T5's, the others for CodeGen2's."""

    min_mask_ratio: float = Field(default=0.05, ge=0, lt=1)
    """Smallest share of a chunk that is cut out. Our choice."""

    max_mask_ratio: float = Field(default=0.5, gt=0, lt=1)
    """Largest share of a chunk that is cut out. Our choice: above it there is too little left to fill in from."""

    max_span_length: int = Field(default=256, ge=1)
    """Longest span, in tokens, while `max_spans` allows it. Our choice: about 30 lines of code."""

    max_spans: int = Field(default=16, ge=1)
    """Most spans in an example; each costs three control tokens of the row. Where spans of `max_span_length` are too short to make up
    the ratio in so many, longer ones are drawn. Our choice. T5's density makes 102 spans of 2,048 tokens: set 128 to have them all."""

    noise_density: float = Field(default=0.15, gt=0, lt=1)
    """Share of a chunk that T5 cuts out (arXiv 1910.10683: 15 %)."""

    mean_span_length: float = Field(default=3.0, ge=1)
    """Mean length of T5's spans, in tokens (arXiv 1910.10683: 3)."""

    @property
    def overhead(self) -> int:
        """Most control tokens of an example: <|endoftext|>, <sep> and three a span."""
        return 2 + 3 * self.max_spans

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_mask_ratio > self.max_mask_ratio:
            raise ValueError(f"min_mask_ratio = {self.min_mask_ratio} is above max_mask_ratio = {self.max_mask_ratio}")
        return self


@dataclass(frozen=True)
class SpanCorruption:
    """The objective with its settings."""

    settings: SpanCorruptionSettings
    controls: Controls

    def __post_init__(self) -> None:
        for name in (END_OF_TEXT, SEP, END_OF_MASK, mask(1)):
            self.controls.need(name, "span_corruption")
        if self.settings.max_spans > len(self.controls.masks):
            raise ShardError(
                f"span_corruption.max_spans = {self.settings.max_spans}, but the tokenizer has only "
                f"{len(self.controls.masks)} <mask_i> tokens: lower max_spans or make a tokenizer with more masks."
            )

    @property
    def overhead(self) -> int:
        """See SpanCorruptionSettings.overhead."""
        return self.settings.overhead

    def lengths(self, chunks: Chunks) -> npt.NDArray[np.int64]:
        """Cost: that of drawing the spans, 10 ns a span."""
        return _lengths(chunks, self._spans(chunks))

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: about 5 ns a token."""
        spans = self._spans(chunks)
        offsets = offsets_of(_lengths(chunks, spans))
        sep, end_of_mask = (self.controls.need(name, "span_corruption") for name in (SEP, END_OF_MASK))
        ids = _write(
            chunks.ids, chunks.start, chunks.stop, chunks.last, spans.first, spans.begin, spans.length, offsets,
            np.array(self.controls.masks, np.uint32), self.controls.end_of_text, sep, end_of_mask,
        )  # fmt: skip
        starts = (spans.begin - np.repeat(chunks.start, np.diff(spans.first))).astype(np.int32)
        made = plain_examples(CODE, ids, offsets)
        return made._replace(masked=spans.masked, span_lengths=spans.length, span_starts=starts)

    def _spans(self, chunks: Chunks) -> Spans:
        s, begin = self.settings, chunks.start + chunks.head
        if s.variant == "t5":
            return Spans(*t5_spans(begin, chunks.stop, chunks.key, s.noise_density, s.mean_span_length, s.max_spans))
        ratios = (s.min_mask_ratio, s.max_mask_ratio)
        return Spans(*codegen2_spans(begin, chunks.stop, chunks.key, *ratios, s.max_span_length, s.max_spans))


def _lengths(chunks: Chunks, spans: Spans) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = chunks.stop - chunks.start + chunks.last + 1 + 3 * np.diff(spans.first)
    return lengths


def restore(ids: npt.NDArray[np.uint32], controls: Controls) -> Restored:
    """The chunk of an example, by putting each span back where its mask stands.

    Raises ShardError if the example is not whole: a mask without its span, a span without its <eom>, an order other than 1, 2, ….
    """
    sep, end_of_mask = controls.need(SEP, "span_corruption"), controls.need(END_OF_MASK, "span_corruption")
    seps = np.flatnonzero(ids == sep)
    if len(seps) != 1:
        raise ShardError(f"a span-corrupted example holds {len(seps)} <sep> tokens instead of 1: it was cut, or it is not one.")
    body, tail = ids[: seps[0]], ids[seps[0] + 1 :]
    last = len(body) > 0 and int(body[-1]) == controls.end_of_text
    body = body[:-1] if last else body
    holes = np.flatnonzero(np.isin(body, controls.masks))
    ends = np.flatnonzero(tail == end_of_mask)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if len(ends) else np.zeros(0, np.int64)
    wanted = np.array(controls.masks[: len(holes)], np.uint32)
    whole = (
        len(holes) == len(ends)
        and (len(tail) == 0 if len(ends) == 0 else int(ends[-1]) == len(tail) - 1)
        and np.array_equal(body[holes], wanted)
        and np.array_equal(tail[starts], wanted)
    )
    if not whole:
        raise ShardError(f"a span-corrupted example has {len(holes)} holes and {len(ends)} spans that do not belong together.")
    pieces, done = [], 0
    for hole, start, end in zip(holes.tolist(), starts.tolist(), ends.tolist(), strict=True):
        pieces += [body[done:hole], tail[start + 1 : end]]
        done = hole + 1
    return Restored(np.concatenate([*pieces, body[done:]]), last)


@njit(cache=True, nogil=True)
def _write(
    ids: TokenIds,
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    last: npt.NDArray[np.bool_],
    first: npt.NDArray[np.int64],
    begin: npt.NDArray[np.int64],
    length: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    masks: npt.NDArray[np.uint32],
    end_of_text: int,
    sep: int,
    end_of_mask: int,
) -> TokenIds:
    out = np.empty(offsets[-1], ids.dtype)
    for i in range(len(start)):
        at, done = offsets[i], start[i]
        for k in range(first[i], first[i + 1]):
            at = copy_tokens(out, at, ids, done, begin[k])
            at = put_token(out, at, masks[k - first[i]])
            done = begin[k] + length[k]
        at = copy_tokens(out, at, ids, done, stop[i])
        if last[i]:
            at = put_token(out, at, end_of_text)
        at = put_token(out, at, sep)
        for k in range(first[i], first[i + 1]):
            at = put_token(out, at, masks[k - first[i]])
            at = copy_tokens(out, at, ids, begin[k], begin[k] + length[k])
            at = put_token(out, at, end_of_mask)
    return out

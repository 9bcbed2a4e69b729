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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field, model_validator

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES
from contracts.settings import Settings
from sharding.objectives.base import Chunks, Controls, Examples, Restored, plain_examples
from sharding.randomness import below, uniform

CODE = OBJECTIVES.index("span_corruption")


class SpanCorruptionSettings(Settings):
    """Distributions to draw from."""

    min_mask_ratio: float = Field(default=0.05, ge=0, lt=1)
    """Smallest share of a chunk that is cut out. Our choice."""

    max_mask_ratio: float = Field(default=0.5, gt=0, lt=1)
    """Largest share of a chunk that is cut out. Our choice: above it there is too little left to fill in from."""

    max_span_length: int = Field(default=256, ge=1)
    """Longest span, in tokens, while `max_spans` allows it. Our choice: about 30 lines of code."""

    max_spans: int = Field(default=16, ge=1)
    """Most spans in an example; each costs three control tokens of the row. Where spans of `max_span_length` are too short to make up
    the ratio in so many, longer ones are drawn. Our choice."""

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
        """Cost: that of the plan, 10 ns a span."""
        return self._lengths(chunks, self._plan(chunks).first)

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: about 5 ns a token."""
        c, plan = self.controls, self._plan(chunks)
        offsets = np.zeros(len(plan.masked) + 1, np.int64)
        np.cumsum(self._lengths(chunks, plan.first), out=offsets[1:])
        ids = _write(
            chunks.ids, chunks.start, chunks.stop, chunks.last, plan.first, plan.begin, plan.length, offsets,
            np.array(c.masks, np.uint32), c.end_of_text, c.sep, c.end_of_mask,
        )  # fmt: skip
        return plain_examples(CODE, ids, offsets)._replace(masked=plan.masked, span_lengths=plan.length)

    def _plan(self, chunks: Chunks) -> _Plan:
        s = self.settings
        ratios = (s.min_mask_ratio, s.max_mask_ratio)
        return _Plan(*_plan(chunks.start, chunks.stop, chunks.key, *ratios, s.max_span_length, s.max_spans))

    def _lengths(self, chunks: Chunks, first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        lengths: npt.NDArray[np.int64] = chunks.stop - chunks.start + chunks.last + 1 + 3 * np.diff(first)
        return lengths


class _Plan(NamedTuple):
    """Where the spans lie."""

    masked: npt.NDArray[np.int32]
    """int32[m]: tokens of each chunk that are cut out"""
    first: npt.NDArray[np.int64]
    """int64[m + 1]: spans of chunk i are first[i] … first[i + 1] - 1"""
    begin: npt.NDArray[np.int64]
    """int64[spans]"""
    length: npt.NDArray[np.int32]
    """int32[spans]"""


def restore(ids: npt.NDArray[np.uint32], controls: Controls) -> Restored:
    """The chunk of an example, by putting each span back where its mask stands.

    Raises ShardError if the example is not whole: a mask without its span, a span without its <eom>, an order other than 1, 2, ….
    """
    seps = np.flatnonzero(ids == controls.sep)
    if len(seps) != 1:
        raise ShardError(f"a span-corrupted example holds {len(seps)} <sep> tokens instead of 1: it was cut, or it is not one.")
    body, tail = ids[: seps[0]], ids[seps[0] + 1 :]
    last = len(body) > 0 and int(body[-1]) == controls.end_of_text
    body = body[:-1] if last else body
    holes = np.flatnonzero(np.isin(body, controls.masks))
    ends = np.flatnonzero(tail == controls.end_of_mask)
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
def _plan(
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    key: npt.NDArray[np.uint64],
    min_ratio: float,
    max_ratio: float,
    max_length: int,
    max_spans: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The fields of _Plan."""
    m = len(start)
    masked = np.zeros(m, np.int32)
    first = np.zeros(m + 1, np.int64)
    for i in range(m):
        first[i + 1] = first[i] + min(max_spans, stop[i] - start[i])
    begin = np.empty(first[m], np.int64)
    length = np.empty(first[m], np.int32)
    spans = 0
    for i in range(m):
        n = stop[i] - start[i]
        first[i] = spans
        if n == 0:
            continue
        ratio = min_ratio + uniform(key[i], 0) * (max_ratio - min_ratio)
        total = min(n, max(1, int(np.rint(ratio * n))))
        most = min(max_spans, total, n - total + 1)
        count, counter = _draw_lengths(key[i], total, most, max_length, length[spans:])
        _draw_places(key[i], counter, n - total - (count - 1), count, begin[spans:])
        at = start[i]
        for k in range(count):  # places count only free tokens: add the spans, and one inner token, that lie before
            begin[spans + k] += at
            at += length[spans + k]
        masked[i] = total
        spans += count
    first[m] = spans
    return masked, first, begin[:spans].copy(), length[:spans].copy()


@njit(cache=True, nogil=True)
def _draw_lengths(key: np.uint64, total: int, most: int, max_length: int, length: npt.NDArray[np.int32]) -> tuple[int, int]:
    """Uniform lengths that add up to `total`, at most `most` of them; returns how many, and the next unused counter."""
    enough = most * (max_length + 1) >= 2 * total  # whether so many spans of mean length (max_length + 1) / 2 make up the total
    bound = max_length if enough else (2 * total + most - 1) // most
    count, counter, left = 0, 1, total
    while left > 0:
        drawn = left if count == most - 1 else min(left, 1 + below(key, counter, bound))
        length[count] = drawn
        left -= drawn
        count += 1
        counter += 1
    swap = below(key, counter, count)  # the one that was cut to fit must not always come last
    length[swap], length[count - 1] = length[count - 1], length[swap]
    return count, counter + 1


@njit(cache=True, nogil=True)
def _draw_places(key: np.uint64, counter: int, free: int, count: int, place: npt.NDArray[np.int64]) -> None:
    """A uniform choice of `count` of `free + count` places, ascending (Floyd's sampling): the bars between stars."""
    for k in range(count):
        candidate = below(key, counter + k, free + k + 1)
        for j in range(k):
            if place[j] == candidate:
                candidate = free + k
                break
        j = k
        while j > 0 and place[j - 1] > candidate:
            place[j] = place[j - 1]
            j -= 1
        place[j] = candidate


@njit(cache=True, nogil=True)
def _write(
    ids: npt.NDArray[np.uint32],
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
) -> npt.NDArray[np.uint32]:
    out = np.empty(offsets[-1], np.uint32)
    for i in range(len(start)):
        at, done = offsets[i], start[i]
        for k in range(first[i], first[i + 1]):
            at = _append(out, at, ids, done, begin[k])
            out[at] = masks[k - first[i]]
            at += 1
            done = begin[k] + length[k]
        at = _append(out, at, ids, done, stop[i])
        if last[i]:
            out[at] = end_of_text
            at += 1
        out[at] = sep
        at += 1
        for k in range(first[i], first[i + 1]):
            out[at] = masks[k - first[i]]
            at = _append(out, at + 1, ids, begin[k], begin[k] + length[k])
            out[at] = end_of_mask
            at += 1
    return out


@njit(cache=True, nogil=True, inline="always")
def _append(out: npt.NDArray[np.uint32], at: int, ids: npt.NDArray[np.uint32], begin: int, end: int) -> int:
    for j in range(begin, end):
        out[at] = ids[j]
        at += 1
    return at

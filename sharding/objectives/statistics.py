"""What is counted of examples. Every value adds up over windows, so that `stats` can sum them and compare with what was asked for.

Histograms of shares have 20 bins of 5 %; a share of 1 counts in the last. Shares are of an example's text behind the chunk's head, in
tokens.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sharding.objectives import chat, fim, prefix_lm, span_corruption
from sharding.objectives.base import Chunks, Examples

BINS = 20
"""Bins of a histogram of shares."""

LENGTH_BINS = 16
"""Bins of a histogram of lengths: bin b counts lengths from 2^b up to 2^(b + 1), the last all longer ones; 0 counts with 1."""

Counts = dict[str, int | list[int]]
"""Value by name."""


def count(objective: str, examples: Examples, chunks: Chunks) -> Counts:
    """What is to be known of one objective's examples: numbers and histograms by name; nothing for causal ones."""
    counters = {"span_corruption": of_spans, "fim": of_cuts, "prefix_lm": of_prefixes, "chat": of_answers}
    return counters[objective](examples, chunks) if objective in counters else {}


def of_spans(examples: Examples, chunks: Chunks) -> Counts:
    """Of span corruption: share that is masked, spans and their lengths, and where their middles lie."""
    mine = examples.kind == span_corruption.CODE
    text = _text(examples, chunks)
    owner = _owners(examples)
    middles = examples.span_starts - chunks.head[owner] + examples.span_lengths / 2
    return {
        "examples": int(mine.sum()),
        "masked_tokens": int(examples.masked[mine].sum()),
        "spans": len(owner),
        "mask_ratio_histogram": _shares(examples.masked[mine], text[mine]),
        "span_length_log2_histogram": _lengths(examples.span_lengths),
        "span_position_histogram": _shares(middles, text[owner]),
    }


def of_cuts(examples: Examples, chunks: Chunks) -> Counts:
    """Of infill examples: how many of each order, how many stayed causal, where both cuts lie, and how long the middles are."""
    mine = examples.kind == fim.CODE
    text = _text(examples, chunks)[mine]
    first = examples.span_starts - chunks.head[mine]
    cuts = np.concatenate([first, first + examples.span_lengths])
    return {
        "psm": int((examples.layout == fim.PSM).sum()),
        "spm": int((examples.layout == fim.SPM).sum()),
        "untransformed": int((~mine).sum()),
        "masked_tokens": int(examples.masked[mine].sum()),
        "grown_tokens": int(examples.grown.sum()),
        "cut_position_histogram": _shares(cuts, np.concatenate([text, text])),
        "middle_length_log2_histogram": _lengths(examples.span_lengths),
    }


def of_prefixes(examples: Examples, chunks: Chunks) -> Counts:
    """Of prefix language modelling: the share of the prefix."""
    mine = examples.kind == prefix_lm.CODE
    prefix = examples.loss_start - chunks.head
    return {
        "examples": int(mine.sum()),
        "prefix_tokens": int(examples.loss_start[mine].sum()),
        "prefix_share_histogram": _shares(prefix[mine], _text(examples, chunks)[mine]),
    }


def of_answers(examples: Examples, chunks: Chunks) -> Counts:
    """Of conversations: chunks in which nothing is learned, as in documents without answers."""
    mine = examples.kind == chat.CODE
    nothing = examples.loss_start >= np.diff(examples.offsets)
    return {"examples": int(mine.sum()), "examples_without_targets": int((mine & nothing).sum())}


def _text(examples: Examples, chunks: Chunks) -> npt.NDArray[np.int64]:
    """int64[m]: tokens of each example's text behind its head."""
    return chunks.stop - chunks.start - chunks.head + examples.grown


def _owners(examples: Examples) -> npt.NDArray[np.int64]:
    """int64[spans]: the example of each span. Spans are 1 long or more, and those of an example add up to what is masked in it."""
    ends = np.cumsum(examples.masked, dtype=np.int64)
    return np.searchsorted(ends, np.cumsum(examples.span_lengths, dtype=np.int64), side="left")


def _shares(part: npt.NDArray[np.floating | np.integer], whole: npt.NDArray[np.int64]) -> list[int]:
    """Histogram of part / whole where there is a whole."""
    there = whole > 0
    bins = (part[there] * BINS // whole[there]).astype(np.int64)
    counts: list[int] = np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS).tolist()
    return counts


def _lengths(lengths: npt.NDArray[np.int32]) -> list[int]:
    """Histogram of the logarithm of base 2."""
    bins = np.frexp(np.maximum(1, lengths))[1] - 1  # exact, unlike a rounded logarithm
    counts: list[int] = np.bincount(np.minimum(bins, LENGTH_BINS - 1), minlength=LENGTH_BINS).tolist()
    return counts

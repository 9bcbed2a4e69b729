"""From a window of encoded documents to packed rows: draw objectives, cut, corrupt, pack, permute.

    documents ─▶ objective of each ─▶ chunks ─▶ examples ─▶ rows of context_length + 1 tokens, in keyed order, with their segments

No token is lost on the way, and that is checked for each window: tokens of rows = tokens of documents + control tokens + padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from contracts.schemas import OBJECTIVES as OBJECTIVE_NAMES
from sharding.chunks import Cuts, cut, draw_objectives
from sharding.objectives import Chunks, Examples, Objective
from sharding.packing import best_fit
from sharding.randomness import GOLDEN, chunk_keys, document_keys, uniforms
from sharding.segments import SegmentTable
from sharding.shard_file import token_dtype


class Documents(NamedTuple):
    """n encoded documents."""

    ids: npt.NDArray[np.uint32]
    """uint32[tokens]"""
    offsets: npt.NDArray[np.int64]
    """int64[n + 1]"""
    doc_id: npt.NDArray[np.uint8]
    """uint8[n, 16]"""


class Rows(NamedTuple):
    """A window's rows."""

    input_ids: npt.NDArray[Any]
    """uint16 or uint32 [rows, context_length + 1]"""
    segments: SegmentTable
    statistics: dict[str, Any]
    """Counts that add up over windows; see `_statistics`."""


@dataclass(frozen=True)
class RowBuilder:
    """Everything that turns documents into rows, but the documents."""

    objectives: Mapping[str, Objective]
    weights: Mapping[str, float]
    """Relative share of documents by objective."""
    ends_line: npt.NDArray[np.bool_]
    """bool[vocabulary]: see tokenizer.encode.line_ends"""
    context_length: int
    vocab_size: int
    padding_id: int
    seed: int
    epoch: int

    @property
    def row_length(self) -> int:
        """Tokens of a row: one more than the context, so that every position has a target."""
        return self.context_length + 1

    def build(self, documents: Documents) -> Rows:
        """Rows of one window. Cost: about 12 ns a token; memory about 24 bytes a token."""
        keys = document_keys(documents.doc_id, self.seed, self.epoch)
        names = list(self.objectives)
        drawn = draw_objectives(keys, np.array([self.weights.get(name, 0.0) for name in names]))
        capacity = np.array([self.row_length - self.objectives[name].overhead for name in names], np.int64)[drawn]
        cuts = cut(documents.ids, documents.offsets, capacity, self.ends_line)
        made = self._examples(documents, cuts, drawn[cuts.document], chunk_keys(keys[cuts.document], cuts.number))
        packed = best_fit(made.length, self.row_length)
        # Best-fit decreasing leaves rows sorted by the length of their longest example: put them in a keyed order.
        window = np.uint64(np.sum(keys, dtype=np.uint64))
        place = np.empty(packed.rows, np.int64)
        place[np.argsort(uniforms(window + np.arange(packed.rows, dtype=np.uint64) * GOLDEN, 1), kind="stable")] = np.arange(
            packed.rows
        )
        row = place[packed.row]
        dtype = token_dtype(self.vocab_size)
        input_ids = np.full((packed.rows, self.row_length), self.padding_id, dtype)
        _fill(input_ids, made.ids, made.begin, made.length, row, packed.start)
        segments = _segments(documents, cuts, made, row, packed.start, packed.rows, self.row_length)
        statistics = _statistics(documents, made, segments, packed.rows * self.row_length)
        return Rows(input_ids, segments, statistics)

    def _examples(self, documents: Documents, cuts: Cuts, objective: npt.NDArray[np.int64], key: npt.NDArray[np.uint64]) -> _Made:
        m = len(objective)
        begin, length = np.zeros(m, np.int64), np.zeros(m, np.int64)
        kind, masked = np.zeros(m, np.uint8), np.zeros(m, np.int64)
        ids, spans, done = [], [], 0
        for number, makes in enumerate(self.objectives.values()):
            mine = np.flatnonzero(objective == number)
            begin_of = documents.offsets[cuts.document[mine]]
            no_head = np.zeros(len(mine), np.int64)
            chunks = Chunks(documents.ids, cuts.start[mine], cuts.stop[mine], cuts.last[mine], key[mine], begin_of, no_head)
            examples: Examples = makes.examples(chunks)
            begin[mine] = examples.offsets[:-1] + done
            length[mine] = np.diff(examples.offsets)
            kind[mine] = examples.kind
            masked[mine] = examples.masked
            ids.append(examples.ids)
            spans.append(examples.span_lengths)
            done += len(examples.ids)
        return _Made(np.concatenate(ids), begin, length, kind, masked, cuts.stop - cuts.start, np.concatenate(spans))


class _Made(NamedTuple):
    """Examples of all chunks, in chunk order; example i is ids[begin[i]:begin[i] + length[i]]."""

    ids: npt.NDArray[np.uint32]
    begin: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    masked: npt.NDArray[np.int64]
    text: npt.NDArray[np.int64]
    """Tokens of the chunk, without control tokens."""
    spans: npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def _fill(
    out: npt.NDArray[Any],
    ids: npt.NDArray[np.uint32],
    begin: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
) -> None:
    for i in range(len(begin)):
        for j in range(length[i]):
            out[row[i], start[i] + j] = ids[begin[i] + j]


def _segments(
    documents: Documents,
    cuts: Cuts,
    made: _Made,
    row: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    rows: int,
    row_length: int,
) -> SegmentTable:
    """Segments in row order, those of one row from left to right; what no example fills is a padding segment."""
    filled = np.bincount(row, weights=made.length, minlength=rows).astype(np.int64)
    open_rows = np.flatnonzero(filled < row_length)
    n, pads = len(row), len(open_rows)
    all_rows = np.concatenate([row, open_rows])
    all_starts = np.concatenate([start, filled[open_rows]])
    order = np.lexsort((all_starts, all_rows))
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(all_rows, minlength=rows), out=offsets[1:])
    doc_start = cuts.start - documents.offsets[cuts.document]
    doc_id = np.zeros((n + pads, 16), np.uint8)
    doc_id[:n] = documents.doc_id[cuts.document]
    return SegmentTable(
        row_offsets=offsets,
        doc_id=doc_id[order],
        doc_start=np.concatenate([doc_start, np.zeros(pads, np.int64)])[order],
        start=all_starts[order].astype(np.int32),
        length=np.concatenate([made.length, row_length - filled[open_rows]])[order].astype(np.int32),
        kind=np.concatenate([made.kind, np.zeros(pads, np.uint8)])[order],
        loss_start=np.zeros(n + pads, np.int32),
    )


def _statistics(documents: Documents, made: _Made, segments: SegmentTable, tokens: int) -> dict[str, Any]:
    """Counts that add up: tokens by what they are, examples by objective, histograms of mask ratio (5 % wide) and span length (log2)."""
    text, padding = len(documents.ids), int(segments.length[segments.kind == 0].sum())
    control = int(made.length.sum()) - text
    if text != int(made.text.sum()) or text + control + padding != tokens:
        raise AssertionError(f"tokens lost: {text} text + {control} control + {padding} padding != {tokens} in rows")
    by_objective = {
        name: {
            "examples": int(np.sum(made.kind == code)),
            "tokens": int(made.length[made.kind == code].sum()),
            "text_tokens": int(made.text[made.kind == code].sum()),
        }
        for code, name in enumerate(OBJECTIVE_NAMES)
        if code > 0
    }
    corrupted = made.masked > 0
    ratios = made.masked[corrupted] / np.maximum(1, made.text[corrupted])
    ratio_bins = np.bincount(np.minimum(19, (ratios * 20).astype(np.int64)), minlength=20)
    length_bins = np.bincount(np.minimum(15, np.log2(np.maximum(1, made.spans)).astype(np.int64)), minlength=16)
    return {
        "documents": len(documents.offsets) - 1,
        "text_tokens": text,
        "control_tokens": control,
        "padding_tokens": padding,
        "objectives": by_objective,
        "masked_tokens": int(made.masked.sum()),
        "spans": len(made.spans),
        "mask_ratio_histogram": ratio_bins.tolist(),
        "span_length_log2_histogram": length_bins.tolist(),
    }

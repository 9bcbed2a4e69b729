"""From a window of encoded documents to packed rows: draw objectives, cut, corrupt, pack, permute.

    documents ─▶ objective of each ─▶ chunks ─▶ examples ─▶ rows of context_length + 1 tokens, in keyed order, with their segments

No token is lost on the way, and that is checked for each window: tokens of rows = tokens of documents + control tokens + padding, and
what cuts between characters added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sharding.chunks import CutAt, Cuts, Cutter, Documents, chunks_of, draw_objectives
from sharding.made import Made, filled_rows, segments_of
from sharding.objectives.base import Objective
from sharding.packing import Packed, best_fit, pour
from sharding.randomness import GOLDEN, chunk_keys, document_keys, uniforms
from sharding.segments import SegmentTable
from sharding.token_ids import TokenIds, copy_tokens, token_dtype
from sharding.window_statistics import window_statistics

Pack = Literal["best-fit", "concat"]

POURED = "causal"
"""The objective whose documents may be cut anywhere; `pack = "concat"` pours them into what other examples leave of their rows."""


class Rows(NamedTuple):
    """A window's rows."""

    input_ids: TokenIds
    """uint16 or uint32 [rows, context_length + 1]"""
    segments: SegmentTable
    statistics: dict[str, Any]
    """Counts that add up over windows; see window_statistics."""


@dataclass(frozen=True)
class RowBuilder:
    """Everything that turns documents into rows, but the documents."""

    objectives: Mapping[str, Objective]
    mixtures: list[Mapping[str, float]]
    """Relative share of documents by objective, for each mixture that documents name."""
    ends_line: npt.NDArray[np.bool_]
    """bool[vocabulary]: whether a token's text ends with a newline"""
    starts_character: npt.NDArray[np.bool_]
    """bool[vocabulary]: whether a token does not begin inside a character"""
    context_length: int
    vocab_size: int
    padding_id: int
    seed: int
    epoch: int = 0
    pack: Pack = "best-fit"
    cut_at: CutAt = "tokens"

    @property
    def row_length(self) -> int:
        """Tokens of a row: one more than the context, so that every position has a target."""
        return self.context_length + 1

    def build(self, documents: Documents) -> Rows:
        """Rows of one window.

        Cost: about 3 ns a token with causal and span corruption at their defaults, 20 to 40 with fim at characters. Memory: beside the
        documents the rows, and the examples of one objective at a time.
        """
        keys = document_keys(documents.doc_id, self.seed, self.epoch)
        weights = np.array([[mixture.get(name, 0.0) for name in self.objectives] for mixture in self.mixtures])
        drawn = draw_objectives(keys, weights, documents.mixture)
        cuts, packed = self._placed(documents, keys, drawn)
        order = np.argsort(packed.row * np.int64(self.row_length) + packed.start, kind="stable")
        cuts = cuts.some(order)
        row, start = self._permuted(documents, keys, packed)[packed.row[order]], packed.start[order]
        input_ids = np.empty((packed.rows, self.row_length), token_dtype(self.vocab_size))
        made = Made(drawn[cuts.document], list(self.objectives), [], [])
        for number, objective in enumerate(self.objectives.values()):
            mine = np.flatnonzero(made.objective == number)
            chunks = chunks_of(documents, keys, cuts.some(mine))
            examples = objective.examples(chunks)
            _fill(input_ids, examples.ids, examples.offsets, row[mine], start[mine])
            made.chunks.append(chunks)
            made.examples.append(examples._replace(ids=examples.ids[:0].copy()))  # they are in their rows: nothing is held twice
        filled = filled_rows(row, made.column("length"), packed.rows)
        _pad(input_ids, filled, self.padding_id)
        segments = segments_of(documents, cuts, made, row, start, filled, self.row_length)
        statistics = window_statistics(documents, cuts, made, segments, self.ends_line)
        return Rows(input_ids, segments, statistics)

    def _placed(self, documents: Documents, keys: npt.NDArray[np.uint64], drawn: npt.NDArray[np.int64]) -> tuple[Cuts, Packed]:
        """Chunks, and the rows their examples go to."""
        names = list(self.objectives)
        poured = drawn == (names.index(POURED) if self.pack == "concat" and POURED in names else -1)
        cutter = Cutter(self.row_length, self.cut_at, self.ends_line, self.starts_character)
        cuts = cutter.cut(documents, keys, list(self.objectives.values()), np.where(poured, -1, drawn))
        length = self._lengths(documents, keys, cuts, drawn[cuts.document])
        packed = best_fit(length, self.row_length)
        return self._pour(documents, keys, np.flatnonzero(poured), cuts, length, packed) if poured.any() else (cuts, packed)

    def _pour(
        self,
        documents: Documents,
        keys: npt.NDArray[np.uint64],
        poured: npt.NDArray[np.int64],
        cuts: Cuts,
        length: npt.NDArray[np.int64],
        packed: Packed,
    ) -> tuple[Cuts, Packed]:
        """The chunks that are there, and those that documents are cut into by pouring them into what is left."""
        poured = poured[np.argsort(uniforms(keys[poured], 2), kind="stable")]
        tokens = np.diff(documents.offsets)[poured]
        filled = filled_rows(packed.row, length, packed.rows)
        pieces = pour(tokens + documents.ends[poured], packed, filled, self.row_length)
        document = poured[pieces.document]
        start = documents.offsets[document] + pieces.start
        stop = np.minimum(start + pieces.length, documents.offsets[document + 1])
        more = Cuts(document, start, stop, stop - start < pieces.length, stop, pieces.length)  # what is missing is <|endoftext|>
        places = Packed(np.concatenate([packed.row, pieces.row]), np.concatenate([packed.start, pieces.row_start]), pieces.rows)
        return Cuts.joined([cuts, more]), places

    def _lengths(
        self, documents: Documents, keys: npt.NDArray[np.uint64], cuts: Cuts, objective: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """int64[m]: tokens of each chunk's example; asked for where cutting did not have to know it."""
        length = cuts.length.copy()
        for number, makes in enumerate(self.objectives.values()):
            mine = np.flatnonzero((objective == number) & (length < 0))
            length[mine] = makes.lengths(chunks_of(documents, keys, cuts.some(mine)))
        return length

    def _permuted(self, documents: Documents, keys: npt.NDArray[np.uint64], packed: Packed) -> npt.NDArray[np.int64]:
        """int64[rows]: where each row goes. Packing leaves rows sorted by the length of their longest example: a keyed order mixes them."""
        window = np.uint64(np.sum(chunk_keys(keys, documents.first), dtype=np.uint64))
        drawn = uniforms(window + np.arange(packed.rows, dtype=np.uint64) * GOLDEN, 1)
        place = np.empty(packed.rows, np.int64)
        place[np.argsort(drawn, kind="stable")] = np.arange(packed.rows)
        return place


@njit(cache=True, nogil=True)
def _fill(
    out: TokenIds,
    ids: TokenIds,
    offsets: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
) -> None:
    for i in range(len(row)):
        copy_tokens(out[row[i]], start[i], ids, offsets[i], offsets[i + 1])


@njit(cache=True, nogil=True)
def _pad(out: TokenIds, filled: npt.NDArray[np.int64], padding_id: int) -> None:
    for i in range(len(out)):
        for j in range(filled[i], out.shape[1]):
            out[i, j] = padding_id

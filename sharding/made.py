"""The examples of a window, whatever objectives made them, and the segments that say where they lie."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sharding.chunks import Cuts, Documents
from sharding.objectives.base import Chunks, Examples
from sharding.segments import SegmentTable


class Made(NamedTuple):
    """Examples of m chunks."""

    objective: npt.NDArray[np.int64]
    """int64[m]: which objective made it"""
    names: list[str]
    """Of the objectives."""
    chunks: list[Chunks]
    """Of each objective, in order."""
    examples: list[Examples]
    """Of each objective, in the order of its chunks; without their ids, which are in their rows."""

    def column(self, name: str) -> npt.NDArray[Any]:
        """A field of Examples, or "length", for all m chunks."""
        out: npt.NDArray[Any] | None = None
        for number, examples in enumerate(self.examples):
            values = np.diff(examples.offsets) if name == "length" else getattr(examples, name)
            if out is None:
                out = np.zeros(len(self.objective), values.dtype)
            out[self.objective == number] = values
        assert out is not None, "there is an objective"
        return out


def filled_rows(row: npt.NDArray[np.int64], length: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """int64[rows]: tokens of the examples that lie in each row."""
    filled: npt.NDArray[np.int64] = np.bincount(row, weights=length, minlength=rows).astype(np.int64)
    return filled


def segments_of(
    documents: Documents,
    cuts: Cuts,
    made: Made,
    row: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    filled: npt.NDArray[np.int64],
    row_length: int,
) -> SegmentTable:
    """Segments in row order, those of one row from left to right; what no example fills is a padding segment.

    `row`, `start` int64[m]: where each example lies; `filled` int64[rows]: tokens of the examples of each row.
    """
    length, rows = made.column("length"), len(filled)
    open_rows = np.flatnonzero(filled < row_length)
    n, pads = len(row), len(open_rows)
    all_rows = np.concatenate([row, open_rows])
    all_starts = np.concatenate([start, filled[open_rows]])
    order = np.lexsort((all_starts, all_rows))
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(all_rows, minlength=rows), out=offsets[1:])
    doc_start = documents.first[cuts.document] + cuts.start - documents.offsets[cuts.document]
    doc_id = np.zeros((n + pads, 16), np.uint8)
    doc_id[:n] = documents.doc_id[cuts.document]

    def with_pads(column: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
        padded: npt.NDArray[Any] = np.concatenate([column, np.zeros(pads, column.dtype)])[order].astype(dtype)
        return padded

    return SegmentTable(
        row_offsets=offsets,
        doc_id=doc_id[order],
        doc_start=with_pads(doc_start, np.int64),
        start=all_starts[order].astype(np.int32),
        length=np.concatenate([length, row_length - filled[open_rows]])[order].astype(np.int32),
        kind=with_pads(made.column("kind"), np.uint8),
        loss_start=with_pads(made.column("loss_start"), np.int32),
    )

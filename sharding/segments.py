"""Which example fills which stretch of which row: the `segments` column, as columns.

    row 0   |---- doc A, causal ----|-- doc B, causal --|pad|       row_offsets[0:2] = [0, 3]
    row 1   |---------------- doc C, span corruption ------|       row_offsets[1:3] = [3, 4]

The segments of a row tile it: the first starts at 0, each starts where the one before ends, the last ends at the row's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.schemas import OBJECTIVES, SEGMENT

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
UInt8 = npt.NDArray[np.uint8]


def ids_to_arrow(doc_id: UInt8) -> pa.FixedSizeBinaryArray:
    """uint8[k, 16] as Arrow has it."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(doc_id), [None, pa.py_buffer(np.ascontiguousarray(doc_id))])


@dataclass
class SegmentTable:
    """Segments of consecutive rows; those of row r are [row_offsets[r], row_offsets[r + 1])."""

    row_offsets: Int64
    """int64[rows + 1], starts at 0."""
    doc_id: UInt8
    """uint8[n, 16]"""
    doc_start: Int64
    """int64[n], tokens of the plain document before the segment."""
    start: Int32
    """int32[n], tokens from the start of the row."""
    length: Int32
    """int32[n], tokens."""
    kind: UInt8
    """uint8[n], index into contracts.schemas.OBJECTIVES."""
    loss_start: Int32
    """int32[n], first token of the segment, counted within it, that is a target."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_offsets) - 1

    def slice(self, first: int, last: int) -> SegmentTable:
        """Rows [first, last) as a table of their own; every column but `row_offsets` is a view."""
        begin, end = int(self.row_offsets[first]), int(self.row_offsets[last])
        return SegmentTable(
            row_offsets=self.row_offsets[first : last + 1] - begin,
            doc_id=self.doc_id[begin:end],
            doc_start=self.doc_start[begin:end],
            start=self.start[begin:end],
            length=self.length[begin:end],
            kind=self.kind[begin:end],
            loss_start=self.loss_start[begin:end],
        )

    @staticmethod
    def concatenate(tables: Sequence[SegmentTable]) -> SegmentTable:
        """The rows of all tables, in order. Copies."""
        sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(table.row_offsets) for table in tables)])
        return SegmentTable(
            row_offsets=np.cumsum(sizes, dtype=np.int64),
            doc_id=np.concatenate([np.empty((0, 16), np.uint8), *(table.doc_id for table in tables)]),
            doc_start=np.concatenate([np.empty(0, np.int64), *(table.doc_start for table in tables)]),
            start=np.concatenate([np.empty(0, np.int32), *(table.start for table in tables)]),
            length=np.concatenate([np.empty(0, np.int32), *(table.length for table in tables)]),
            kind=np.concatenate([np.empty(0, np.uint8), *(table.kind for table in tables)]),
            loss_start=np.concatenate([np.empty(0, np.int32), *(table.loss_start for table in tables)]),
        )

    def check(self, rows: int, row_length: int) -> None:
        """Raises ValueError unless the segments tile `rows` rows of `row_length` tokens with known kinds and sound targets."""
        sizes = np.diff(self.row_offsets)
        if self.rows != rows or self.row_offsets[0] != 0 or self.row_offsets[-1] != len(self.length):
            raise ValueError(
                f"row_offsets cover {self.rows} rows and {self.row_offsets[-1]} segments; given: {rows}, {len(self.length)}"
            )
        if rows and sizes.min() < 1:
            raise ValueError(f"row {int(sizes.argmin())} has no segment; an unused stretch is a segment of kind 0 (padding)")
        ends = self.start.astype(np.int64) + self.length
        expected = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
        expected[self.row_offsets[:-1]] = 0
        if (self.start != expected).any() or (self.length < 1).any() or (ends[self.row_offsets[1:] - 1] != row_length).any():
            raise ValueError(f"segments do not tile their rows of {row_length} tokens")
        if (self.kind >= len(OBJECTIVES)).any():
            raise ValueError(f"segment kind {int(self.kind.max())} is unknown; known: 0 to {len(OBJECTIVES) - 1}")
        if ((self.loss_start < 0) | (self.loss_start > self.length)).any():
            raise ValueError("loss_start must lie in 0 … length of its segment")

    def to_arrow(self) -> pa.ListArray:
        """The `segments` column of a batch."""
        fields = [self.doc_start, self.start, self.length, self.kind, self.loss_start]
        structs = pa.StructArray.from_arrays(
            [ids_to_arrow(self.doc_id), *(pa.array(field) for field in fields)], fields=list(SEGMENT)
        )
        list_type = pa.list_(pa.field("item", SEGMENT, nullable=False))
        return pa.ListArray.from_arrays(pa.array(self.row_offsets.astype(np.int32)), structs, type=list_type)

    @staticmethod
    def from_arrow(column: pa.ListArray) -> SegmentTable:
        """Views of a `segments` column that starts at its buffers' start, as every column read from a file does."""
        structs = column.values
        doc_id = np.frombuffer(structs.field("doc_id").buffers()[1] or b"", np.uint8, count=16 * len(structs))
        columns = {name: structs.field(name).to_numpy() for name in ("doc_start", "start", "length", "kind", "loss_start")}
        offsets = column.offsets.to_numpy().astype(np.int64)
        return SegmentTable(row_offsets=offsets, doc_id=doc_id.reshape(-1, 16), **columns)

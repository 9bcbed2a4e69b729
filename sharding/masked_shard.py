"""A shard as it is read after documents were forgotten: every reader of rows gets padding in place of their segments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contracts.special_tokens import PAD
from sharding.forgotten import Places
from sharding.segments import Int32, Int64, SegmentTable
from sharding.shard_file import Shard
from sharding.token_ids import TokenIds


@dataclass
class MaskedShard(Shard):
    """A shard some of whose segments read as padding. Rows that hold none of them are views, as ever; the others are copied."""

    hidden: Places

    @staticmethod
    def of(shard: Shard, hidden: Places) -> MaskedShard:
        """The shard behind a mask. Cost of a row: about 2 µs to look it up."""
        return MaskedShard(**vars(shard), hidden=hidden)

    def row(self, index: int) -> TokenIds:
        """Ids of one row, uint16|uint32[context_length + 1], read-only; those of hidden segments are <fim_pad>."""
        ids, numbers = super().row(index), self.hidden.in_row(index)
        return _blank_ids(ids, super().segments(index), numbers, self.metadata.special_ids[PAD]) if len(numbers) else ids

    def segments(self, index: int) -> SegmentTable:
        """Segments of one row; hidden ones are padding and name no document."""
        segments, numbers = super().segments(index), self.hidden.in_row(index)
        return _blank_segments(segments, numbers.astype(np.int64)) if len(numbers) else segments

    def segment_table(self) -> SegmentTable:
        """Segments of all rows, copied; hidden ones are padding and name no document."""
        table = super().segment_table()
        return _blank_segments(table, table.row_offsets[self.hidden.row] + self.hidden.number)


def _blank_ids(ids: TokenIds, segments: SegmentTable, numbers: Int32, padding_id: int) -> TokenIds:
    blanked = ids.copy()
    for start, length in zip(segments.start[numbers].tolist(), segments.length[numbers].tolist(), strict=True):
        blanked[start : start + length] = padding_id
    blanked.flags.writeable = False
    return blanked


def _blank_segments(table: SegmentTable, indices: Int64) -> SegmentTable:
    """The table with some segments turned into padding: zero in every column that says what they hold."""
    columns = {name: vars(table)[name].copy() for name in ("doc_id", "doc_start", "kind", "loss_start")}
    for column in columns.values():
        column[indices] = 0
    return replace(table, **columns)

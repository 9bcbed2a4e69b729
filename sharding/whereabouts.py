"""Where documents lie in shards. Only the segments are read: on a disk, about 3 % of a file's bytes at 2,048 tokens a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import ShardError
from sharding.forgotten import Places
from sharding.segments import Int32, Int64, SegmentTable, UInt8


class Found(NamedTuple):
    """k segments of one shard, ordered by row and number."""

    row: Int64
    """int64[k]"""
    number: Int32
    """int32[k]: of the segment in its row"""
    segments: SegmentTable
    """The segments; their `row_offsets` mean nothing here."""

    @property
    def places(self) -> Places:
        """As a mask names them."""
        return Places(self.row, self.number, self.segments.length, self.segments.doc_id)


def find(path: str, doc_ids: UInt8) -> Found:
    """Every segment of a shard that holds a token of one of the documents, uint8[n, 16]. Raises ShardError for what is no shard.

    Cost: one pass over the segments, about 20 ns each; a table of the ids. From a store only the segments are fetched.
    """
    wanted = pa.array([each.tobytes() for each in doc_ids], pa.binary(16))
    batches = [_found_in(table, first_row, wanted) for first_row, table in _segments(path)]
    rows = [each.row for each in batches]
    numbers = [each.number for each in batches]
    empty = np.empty(0, np.int64)
    return Found(
        np.concatenate([empty, *rows]),
        np.concatenate([empty.astype(np.int32), *numbers]),
        SegmentTable.concatenate([each.segments for each in batches]),
    )


def _found_in(column: pa.ListArray, first_row: int, wanted: pa.Array) -> Found:
    held = pc.and_(pc.is_in(column.values.field("doc_id"), value_set=wanted), pc.greater(column.values.field("kind"), 0))
    index = np.flatnonzero(held.to_numpy(zero_copy_only=False))
    table = SegmentTable.from_arrow(column)
    row = np.searchsorted(table.row_offsets, index, side="right") - 1
    chosen = {name: values[index] for name, values in vars(table).items() if name != "row_offsets"}
    segments = SegmentTable(row_offsets=np.array([0, len(index)], np.int64), **chosen)
    return Found(row + first_row, (index - table.row_offsets[row]).astype(np.int32), segments)


def _segments(path: str) -> Iterator[tuple[int, pa.ListArray]]:
    """(first row, segments) of each batch."""
    filesystem, name = fsspec.core.url_to_fs(path)
    try:
        with pa.memory_map(name) if isinstance(filesystem, LocalFileSystem) else filesystem.open(name, "rb") as file:
            reader = _only_segments(file)
            first_row = 0
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield first_row, batch.column("segments")
                first_row += batch.num_rows
    except FileNotFoundError:
        raise ShardError(f"{path}: no such shard. Copy the whole shard folder again, or make the shard stage again.") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError, OSError) as error:
        raise ShardError(f"{path}: not a complete shard ({error}). Copy it again, or make the shard stage again.") from None


def _only_segments(file: Any) -> Any:
    whole = pa.ipc.open_file(file)
    place = whole.schema.get_field_index("segments")
    if place < 0:
        raise KeyError("it has no column 'segments'")
    return pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=[place]))

"""Reading Parquet files row group by row group, keeping what can be read of damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import unknown_name
from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.columns import Problem
from pipelines.sources.documents import BATCH_BYTES, Rows, lost_input, origin_of, to_reading
from pipelines.sources.inputs import TRANSIENT, open_input, reason_of

SUFFIXES = (".parquet",)


class Column(NamedTuple):
    """A column that a source reads."""

    setting: str
    """Setting of the source that names it, for the message when it is not there."""
    name: str
    required: bool = True
    """A file without it is quarantined; otherwise `Block.has` tells."""


class Block(NamedTuple):
    """n neighbouring rows of one file."""

    numbers: npt.NDArray[np.int64]
    """int64[n]: rows of the file, counted from 0."""
    batch: pa.RecordBatch

    def origins(self, each: Input) -> list[str]:
        """An origin for each row."""
        return [origin_of(each, row) for row in self.numbers.tolist()]

    def has(self, name: str) -> bool:
        """Whether the column is there."""
        return name in self.batch.schema.names

    def column(self, name: str) -> pa.Array:
        """A column's values, dictionaries decoded."""
        column = self.batch.column(name)
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


ToRows = Callable[[Input, Block], Rows]
ColumnsOf = Callable[[Input], Sequence[Column]]


def row_group_bytes(file: BinaryIO) -> list[int]:
    """Uncompressed bytes of each row group: the `units` of an Input."""
    metadata = pq.ParquetFile(file).metadata
    return [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]


def read_parquet(part: Part, columns: ColumnsOf, text: str, to_rows: ToRows) -> Iterator[Reading]:
    """Readings of a part: `columns` says what to read of an input, `to_rows` what it means; `text` is the column of the text.

    A file, or the rest of one, that cannot be read becomes one quarantined row in the place where it breaks.
    """
    for each in part.inputs:
        for found in _blocks_or_problem(part, each, columns(each), text):
            if isinstance(found, Block):
                yield to_reading(part, to_rows(each, found))
            else:
                row, problem = found
                yield lost_input(part, origin_of(each, row), each.label, problem)


class _MissingColumnError(Exception):
    """A file has not got a column that its source needs."""


def _blocks_or_problem(part: Part, each: Input, columns: Sequence[Column], text: str) -> Iterator[Block | tuple[int, Problem]]:
    """The blocks of one input and, if it cannot be read to its end, the row where it breaks and why."""
    done = 0
    try:
        with open_input(each.path) as file:
            for block in _blocks(pq.ParquetFile(file), part, each, columns, text):
                yield block
                done = int(block.numbers[-1]) + 1
    except _MissingColumnError as error:
        yield 0, Problem("column", str(error))
    except TRANSIENT:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError) as error:
        yield done, Problem("parquet", f"the Parquet file cannot be read from row {done} on: {reason_of(error)}")


def _blocks(file: pq.ParquetFile, part: Part, each: Input, columns: Sequence[Column], text: str) -> Iterator[Block]:
    metadata = file.metadata
    names = _present(columns, file.schema_arrow.names)
    stop = min(part.stop or len(each.units) or metadata.num_row_groups, metadata.num_row_groups)
    first = sum(metadata.row_group(i).num_rows for i in range(part.start))
    for group in range(part.start, stop):
        rows = _rows_per_batch(metadata.row_group(group), text)
        for batch in file.iter_batches(rows, [group], names, use_threads=False):
            if batch.num_rows:
                yield Block(np.arange(first, first + batch.num_rows), batch)
            first += batch.num_rows


def _present(columns: Sequence[Column], seen: Sequence[str]) -> list[str]:
    """Names of the columns that the file has. Raises _MissingColumnError if a required one is not there."""
    for setting, name, required in columns:
        if required and name not in seen:
            raise _MissingColumnError(f"{unknown_name('column', name, seen)} Set {setting!r} of the source to the column meant.")
    return sorted({column.name for column in columns} & set(seen))


def _rows_per_batch(group: pq.RowGroupMetaData, text: str) -> int:
    """As many rows as hold about BATCH_BYTES of text, going by the group's mean."""
    columns = [group.column(i) for i in range(group.num_columns)]
    size: int = sum(column.total_uncompressed_size for column in columns if column.path_in_schema == text)
    rows: int = group.num_rows
    return max(1, min(rows, BATCH_BYTES * rows // max(1, size)))

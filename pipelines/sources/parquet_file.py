"""Reading Parquet files row group by row group, keeping every group that can be read of damaged ones."""

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
from pipelines.sources.inputs import TRANSIENT
from pipelines.sources.surveyed import SurveyedFile
from pipelines.storage.errors import reason_of

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


def read_parquet(part: Part, columns: ColumnsOf, texts: Sequence[str], to_rows: ToRows) -> Iterator[Reading]:
    """Readings of a part: `columns` says what to read of an input, `to_rows` what it means.

    `texts` are the columns that documents' texts are made of. A row group that cannot be read becomes one quarantined row, and so does
    a whole file without a usable footer or column.
    """
    for each in part.inputs:
        if each.unreadable:
            yield lost_input(part, origin_of(each, 0), each.label, Problem("open", each.unreadable))
            continue
        for found in _blocks_or_problems(part, each, columns(each), texts):
            if isinstance(found, Block):
                yield to_reading(part, to_rows(each, found))
            else:
                yield lost_input(part, origin_of(each, found.row), each.label, found.problem)


class _Lost(NamedTuple):
    """A file or row group that cannot be read to its end."""

    row: int
    """Row of the file where it breaks."""
    problem: Problem


class _MissingColumnError(Exception):
    """A file has not got a column that its source needs."""


_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, EOFError)
"""What Arrow raises for bytes that are no Parquet. SurveyedFile lets no OSError of the storage through to here."""


def _blocks_or_problems(part: Part, each: Input, columns: Sequence[Column], texts: Sequence[str]) -> Iterator[Block | _Lost]:
    """The blocks of one input, and what of it is lost. Bytes are called damaged only after they proved to be those surveyed."""
    with SurveyedFile(each) as file:
        try:
            parquet = pq.ParquetFile(file, pre_buffer=True)  # whole row groups: of a store, one request instead of one a column
            names = _present(columns, parquet.schema_arrow.names)
        except _MissingColumnError as error:
            yield _Lost(0, Problem("column", str(error)))
            return
        except TRANSIENT:
            raise
        except _DAMAGE as error:
            file.check()
            yield _Lost(0, Problem("parquet", f"the Parquet file cannot be read: {reason_of(error)}"))
            return
        for found in _groups(parquet, part, each, names, texts):
            if isinstance(found, _Lost):
                file.check()
            yield found


def _groups(file: pq.ParquetFile, part: Part, each: Input, names: list[str], texts: Sequence[str]) -> Iterator[Block | _Lost]:
    """The part's row groups, one after the other; their rows are counted by the footer, so that a lost one moves no other."""
    metadata = file.metadata
    stop = min(part.stop or len(each.units) or metadata.num_row_groups, metadata.num_row_groups)
    first = sum(metadata.row_group(i).num_rows for i in range(part.start))
    for group in range(part.start, stop):
        yield from _group(file, group, first, names, texts)
        first += metadata.row_group(group).num_rows


def _group(file: pq.ParquetFile, group: int, first: int, names: list[str], texts: Sequence[str]) -> Iterator[Block | _Lost]:
    """The blocks of one row group, which starts at row `first`, and the rows that cannot be read after them, if any."""
    metadata = file.metadata.row_group(group)
    done = first
    try:
        for batch in file.iter_batches(_rows_per_batch(metadata, texts), [group], names, use_threads=False):
            if batch.num_rows:
                yield Block(np.arange(done, done + batch.num_rows), batch)
            done += batch.num_rows
    except TRANSIENT:
        raise
    except _DAMAGE as error:
        held = metadata.num_rows
        lost = f"{first + held - done} of the {held} rows that row group {group} held by the footer are lost, from row {done} on"
        yield _Lost(done, Problem("parquet", f"{lost}: {reason_of(error)}"))


def _present(columns: Sequence[Column], seen: Sequence[str]) -> list[str]:
    """Names of the columns that the file has. Raises _MissingColumnError if a required one is not there."""
    for setting, name, required in columns:
        if required and name not in seen:
            raise _MissingColumnError(f"{unknown_name('column', name, seen)} Set {setting!r} of the source to the column meant.")
    return sorted({column.name for column in columns} & set(seen))


def _rows_per_batch(group: pq.RowGroupMetaData, texts: Sequence[str]) -> int:
    """As many rows as hold about BATCH_BYTES of text, going by the group's mean."""
    columns = [group.column(i) for i in range(group.num_columns)]
    size: int = sum(column.total_uncompressed_size for column in columns if _is_below(column.path_in_schema, texts))
    rows: int = group.num_rows
    return max(1, min(rows, BATCH_BYTES * rows // max(1, size)))


def _is_below(path: str, names: Sequence[str]) -> bool:
    """Whether a leaf of the schema is one of the columns, or lies in one that is nested."""
    return any(path == name or path.startswith(f"{name}.") for name in names)

"""One shard: a plain Arrow IPC file whose rows are read where they lie in the page cache.

    schema + metadata | batch 0: rows_per_batch rows | batch 1 | … | last batch (may be shorter) | footer

All batches but the last are of equal size, so row → (batch, offset) is a division. The footer comes last, so a torn file cannot
be taken for a short one. Any Arrow reader opens these files: `pyarrow.ipc.open_file`, polars, DuckDB, `datasets`.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import xxhash
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import ShardError
from contracts.schemas import SHARD_METADATA_KEY, shard_schema
from sharding.metadata import REMEDY, ShardMetadata
from sharding.segments import Int64, SegmentTable
from sharding.token_ids import TokenIds, checked_ids, token_dtype

Compression = Literal["none", "zstd"]


ROWS_PER_BATCH = {"none": 1024, "zstd": 64}
"""1,024 rows are 4 MiB at 2,048 tokens of two bytes: large enough that the 256 bytes of framing do not count, small enough to read one
from an object store. A compressed batch is decompressed for any of its rows."""

MOST_BATCH_BYTES = 32 * 2**20
"""Of the ids of a batch: with very long contexts it has fewer rows."""

AGAIN = "Copy it again, or make the shard stage again."
"""What to do about a file that is damaged."""

BATCHES_KEPT = 32
"""Batches of one shard whose views are kept; of compressed ones these hold their rows, 256 KiB each at 2,048 tokens."""


METADATA_KEPT = 1024
"""Different metadata that are kept parsed, 17 KB each: shards of a stratum and pass have the same. Parsing costs 0.2 ms."""


def write_shard(
    file: BinaryIO,
    metadata: ShardMetadata,
    windows: Iterable[tuple[TokenIds, SegmentTable]],
    rows_per_batch: int | None = None,
    compression: Compression = "none",
) -> int:
    """Writes windows of rows as one Arrow IPC file; returns the number of rows.

    A window is uint16|uint32[rows, context_length + 1] and the rows' segments. The bytes depend on the arguments alone. Memory: that of
    one window and one batch. Raises ValueError for arrays that do not fit the metadata.
    """
    schema = shard_schema(metadata.context_length, metadata.vocab_size, metadata.to_json())
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    rows = 0
    with pa.ipc.new_file(file, schema, options=options) as writer:
        for ids, segments in _batches(metadata, windows, rows_per_batch or _rows_per_batch(metadata, compression)):
            writer.write_batch(_to_batch(schema, ids, segments))
            rows += len(ids)
    return rows


def _rows_per_batch(metadata: ShardMetadata, compression: Compression) -> int:
    row_bytes = (metadata.context_length + 1) * token_dtype(metadata.vocab_size).itemsize
    return max(1, min(ROWS_PER_BATCH[compression], MOST_BATCH_BYTES // row_bytes))


def _batches(
    metadata: ShardMetadata, windows: Iterable[tuple[TokenIds, SegmentTable]], size: int
) -> Iterator[tuple[TokenIds, SegmentTable]]:
    """Batches of `size` rows, the last one shorter: what is left of a window goes before the next one."""
    left: list[tuple[TokenIds, SegmentTable]] = []
    rows = 0
    for ids, segments in windows:
        _check_ids(metadata, ids)
        segments.check(len(ids), metadata.context_length + 1)
        first = 0
        while rows + len(ids) - first >= size:
            stop = first + size - rows
            yield _joined([*left, (ids[first:stop], segments.slice(first, stop))])
            left, rows, first = [], 0, stop
        if first < len(ids):
            left.append((ids[first:].copy(), segments.slice(first, len(ids))))
            rows += len(ids) - first
    if left:
        yield _joined(left)


def _joined(parts: list[tuple[TokenIds, SegmentTable]]) -> tuple[TokenIds, SegmentTable]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([ids for ids, _ in parts]), SegmentTable.concatenate([segments for _, segments in parts])


def _check_ids(metadata: ShardMetadata, input_ids: TokenIds) -> None:
    width, dtype = metadata.context_length + 1, token_dtype(metadata.vocab_size)
    if input_ids.ndim != 2 or input_ids.shape[1] != width or input_ids.dtype != dtype:
        raise ValueError(f"input_ids is {input_ids.dtype}{list(input_ids.shape)}; {dtype}[rows, {width}] is needed")
    checked_ids(input_ids, metadata.vocab_size)


def _to_batch(schema: pa.Schema, input_ids: TokenIds, segments: SegmentTable) -> pa.RecordBatch:
    flat = pa.array(np.ascontiguousarray(input_ids).reshape(-1))
    ids = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("input_ids").type)
    return pa.record_batch([ids, segments.to_arrow()], schema=schema)


class _View(NamedTuple):
    """Views of one batch of a shard."""

    input_ids: TokenIds
    """uint16|uint32[rows, context_length + 1], read-only."""
    segments: SegmentTable


@dataclass
class Shard:
    """An opened shard. Opening reads the footer, in 0.1 ms on a disk; rows are paged in when they are touched."""

    path: str
    metadata: ShardMetadata
    rows: int
    rows_per_batch: int
    _content: pa.Buffer
    _reader: Any
    _batches: OrderedDict[int, _View]

    @staticmethod
    def open(path: str) -> Shard:
        """Map a local file, or read one from any other fsspec URL into memory. Raises ShardError, with a remedy."""
        content, reader = _opened(path)
        metadata = _metadata(_metadata_bytes(reader.schema, path), path)
        expected = shard_schema(metadata.context_length, metadata.vocab_size, b"")
        if not reader.schema.equals(expected):
            raise ShardError(f"{path}: columns are {_words(reader.schema)}; {_words(expected)} is allowed. {REMEDY}")
        count = reader.num_record_batches
        first = read_batch(reader, 0, path).num_rows if count else 0
        last = read_batch(reader, count - 1, path).num_rows if count else 0
        return Shard(path, metadata, max(count - 1, 0) * first + last, max(first, 1), content, reader, OrderedDict())

    def checksum(self) -> str:
        """xxh3-64 of the whole file, as its manifest lists it. On a disk all of it is read, and then is in the page cache for the rows."""
        return f"{xxhash.xxh3_64_intdigest(self._content):016x}"

    def row(self, index: int) -> TokenIds:
        """Ids of one row, uint16|uint32[context_length + 1]: a read-only view, nothing is copied."""
        number, offset = divmod(self._checked(index), self.rows_per_batch)
        view: TokenIds = self._batch(number).input_ids[offset]
        return view

    def gather(self, rows: Int64) -> TokenIds:
        """Ids of the given rows, uint16|uint32[k, context_length + 1], copied."""
        width = self.metadata.context_length + 1
        gathered = np.empty((len(rows), width), token_dtype(self.metadata.vocab_size))
        for slot, index in enumerate(rows.tolist()):
            gathered[slot] = self.row(index)
        return gathered

    def segments(self, index: int) -> SegmentTable:
        """Segments of one row, as views."""
        number, offset = divmod(self._checked(index), self.rows_per_batch)
        return self._batch(number).segments.slice(offset, offset + 1)

    def segment_table(self) -> SegmentTable:
        """Segments of all rows, copied: about 38 bytes a segment."""
        return SegmentTable.concatenate([self._batch(i).segments for i in range(self._reader.num_record_batches)])

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.rows:
            raise IndexError(f"row {index} of {self.path}; it has {self.rows} rows")
        return index

    def _batch(self, number: int) -> _View:
        view = self._batches.get(number)
        if view is None:
            view = self._batches[number] = self._view(read_batch(self._reader, number, self.path))
            if len(self._batches) > BATCHES_KEPT:
                self._batches.popitem(last=False)
        return view

    def _view(self, batch: pa.RecordBatch) -> _View:
        ids = batch.column("input_ids").values.to_numpy(zero_copy_only=True)
        return _View(ids.reshape(batch.num_rows, -1), SegmentTable.from_arrow(batch.column("segments")))


def is_local(path: str) -> bool:
    """Whether a file or folder is on this machine's disk, and not in a store."""
    return isinstance(fsspec.core.url_to_fs(path)[0], LocalFileSystem)


def open_arrow(path: str) -> Any:
    """Maps a local Arrow file, or reads one from any other fsspec URL into memory. Raises what the file system and pyarrow do.

    The mapping outlives the file, so that however many are open, no file descriptor is. Of a file that is not in memory, as much is read
    ahead as the kernel does for any file (`read_ahead_kb`).
    """
    return pa.ipc.open_file(pa.BufferReader(_content(path)))


def read_batch(reader: Any, number: int, path: str, remedy: str = AGAIN) -> pa.RecordBatch:
    """A batch of an opened file. Raises ShardError, which names the file, where its bytes are no batch."""
    try:
        return reader.get_batch(number)
    except (pa.ArrowException, OSError) as error:
        raise ShardError(f"{path}: batch {number} cannot be read ({error}): the file was changed or damaged. {remedy}") from None


def _content(path: str) -> pa.Buffer:
    filesystem, local_path = fsspec.core.url_to_fs(path)
    if not isinstance(filesystem, LocalFileSystem):
        return pa.py_buffer(filesystem.cat_file(local_path))
    with pa.memory_map(local_path) as file:
        return file.read_buffer()


def _opened(path: str) -> tuple[pa.Buffer, Any]:
    """The bytes of a file, and their reader."""
    try:
        content = _content(path)
        return content, pa.ipc.open_file(pa.BufferReader(content))
    except FileNotFoundError:
        raise ShardError(f"{path}: no such shard. Copy the whole shard folder again, or make the shard stage again.") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise ShardError(f"{path}: not a complete Arrow file ({error}). {AGAIN}") from None


def _metadata_bytes(schema: pa.Schema, path: str) -> bytes:
    metadata: dict[bytes, bytes] = schema.metadata or {}
    if SHARD_METADATA_KEY not in metadata:
        raise ShardError(f"{path}: an Arrow file, but not a Spanmill shard (no {SHARD_METADATA_KEY.decode()!r} metadata). {REMEDY}")
    return metadata[SHARD_METADATA_KEY]


def _metadata(text: bytes, path: str) -> ShardMetadata:
    try:
        return _parsed(text)
    except ShardError:
        return ShardMetadata.from_json(text, path)  # raises it again, and names the shard


@functools.lru_cache(maxsize=METADATA_KEPT)
def _parsed(text: bytes) -> ShardMetadata:
    metadata = ShardMetadata.from_json(text)
    return replace(metadata, special_ids=_shared(tuple(metadata.special_ids.items())))


@functools.lru_cache(maxsize=4)
def _shared(special_ids: tuple[tuple[str, int], ...]) -> dict[str, int]:
    """The same dictionary for equal ids, of which there are 900 in every shard."""
    return dict(special_ids)


def _words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)

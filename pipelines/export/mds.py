"""MosaicML Streaming's data set: a folder a source, with shard.00000.mds … and index.json, one sample a row.

    .mds   uint32 samples | uint32 offset[samples + 1], bytes from the file's start | JSON of the columns | samples
    sample   uint32 size of each column of variable size | columns, in the order of their names

    input_ids  ndarray:uint16:T+1 or uint32   loss_mask  ndarray:uint8:T+1, 1 where the token is a target
    length  int32[segments]                   doc_id  uint8[segments, 16]       doc_start  int64[segments]
    kind  uint8[segments], see contracts.schemas.OBJECTIVES   loss_start  int32[segments]: tokens that a prefix-LM reads both ways
    source  str, shard  str, row  int: what `spanmill trace RUN/shard/SHARD ROW TOKEN` is asked for

The bytes are those of the library's own MDSWriter(columns, hashes=["xxh3_64"]), which the tests compare.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from contracts.manifest import FileEntry
from pipelines.export.job import Format, Job
from pipelines.export.rows import RowBatch

SIZE_LIMIT = 2**26
"""Bytes of a shard, as the library's default: what a worker downloads before it has the first sample. Offsets are 32-bit."""

HASH = "xxh3_64"
"""What StreamingDataset(validate_hash="xxh3_64") checks."""

SHAPE_TYPES = ("<u1", "<u2", "<u4")
"""Types of an array's axes, by the code in its header: the smallest that holds the longest axis."""


class Column(NamedTuple):
    """One column, as the format names it."""

    encoding: str
    size: int | None
    """Bytes; None where they vary."""


class Shard(NamedTuple):
    """Samples of one file, encoded."""

    samples: list[bytes]

    def content(self, config: bytes) -> bytes:
        """The file."""
        sizes = np.fromiter((len(sample) for sample in self.samples), np.int64, len(self.samples))
        header = 4 + 4 * (len(self.samples) + 1) + len(config)
        offsets = header + np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        return b"".join([np.uint32(len(self.samples)).tobytes(), offsets.astype("<u4").tobytes(), config, *self.samples])


def columns(row_length: int, dtype: np.dtype[Any]) -> dict[str, Column]:
    """All columns, sorted by name as the format wants them."""
    return {
        "doc_id": Column("ndarray:uint8", None),
        "doc_start": Column("ndarray:int64", None),
        "input_ids": Column(f"ndarray:{dtype.name}:{row_length}", row_length * dtype.itemsize),
        "kind": Column("ndarray:uint8", None),
        "length": Column("ndarray:int32", None),
        "loss_mask": Column(f"ndarray:uint8:{row_length}", row_length),
        "loss_start": Column("ndarray:int32", None),
        "row": Column("int", 8),
        "shard": Column("str", None),
        "source": Column("str", None),
    }


def write(job: Job) -> list[FileEntry]:
    """Files of all sources."""
    return [entry for source in job.sources for entry in _write_source(job, source)]


def _write_source(job: Job, source: str) -> list[FileEntry]:
    """Shards, then their index. Memory: one shard."""
    config = _config(columns(job.row_length, job.shards.dtype))
    text = json.dumps(config, sort_keys=True).encode()
    samples = itertools.chain.from_iterable(encoded(batch, source) for batch in job.rows(source))
    entries, listed = [], []
    for number, shard in enumerate(shards(samples, len(text))):
        name, content = f"shard.{number:05d}.mds", shard.content(text)
        count = len(shard.samples)
        entries.append(job.write(f"{job.folders[source]}/{name}", _writer(content), source, count))
        info = {"basename": name, "bytes": len(content), "hashes": {HASH: xxhash.xxh3_64_hexdigest(content)}}
        listed.append({"samples": count, "raw_data": info, "zip_data": None, **config})
    index = json.dumps({"version": 2, "shards": listed}, sort_keys=True).encode()
    return [*entries, job.write(f"{job.folders[source]}/index.json", _writer(index), source, job.shards.rows(source))]


def _writer(content: bytes) -> Callable[[Any], object]:
    return lambda file: file.write(content)


def _config(held: dict[str, Column]) -> dict[str, Any]:
    """What every shard says of itself, in the file and in the index."""
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [HASH],
        "size_limit": SIZE_LIMIT,
        "column_names": list(held),
        "column_encodings": [column.encoding for column in held.values()],
        "column_sizes": [column.size for column in held.values()],
    }


def shards(samples: Iterator[bytes], config_size: int) -> Iterator[Shard]:
    """Samples by shards of at most SIZE_LIMIT bytes; one that is larger alone is a shard of its own."""
    held: list[bytes] = []
    empty = size = 8 + config_size
    for sample in samples:
        if held and size + len(sample) + 4 > SIZE_LIMIT:
            yield Shard(held)
            held, size = [], empty
        held.append(sample)
        size += len(sample) + 4
    if held:
        yield Shard(held)


def encoded(rows: RowBatch, source: str) -> Iterator[bytes]:
    """Each row as a sample. Cost: about 15 µs a row."""
    shard, name, table = rows.shard.encode(), source.encode(), rows.segments
    mask = np.pad(rows.batch.loss_mask, ((0, 0), (1, 0))).astype(np.uint8)
    for slot, (begin, end) in enumerate(itertools.pairwise(table.row_offsets.tolist())):
        varying = [
            _array(column[begin:end]) for column in (table.doc_id, table.doc_start, table.kind, table.length, table.loss_start)
        ]
        doc_id, doc_start, kind, length, loss_start = varying
        sizes = np.array([*map(len, varying), len(shard), len(name)], "<u4").tobytes()
        ids, targets, row = rows.batch.input_ids[slot].tobytes(), mask[slot].tobytes(), np.int64(rows.shard_row + slot).tobytes()
        yield b"".join([sizes, doc_id, doc_start, ids, kind, length, targets, loss_start, row, shard, name])


def _array(values: npt.NDArray[Any]) -> bytes:
    """An array that says its shape: one byte for the number of axes and the type of their lengths, the lengths, the values."""
    code = next(code for code, kind in enumerate(SHAPE_TYPES) if max(values.shape) < 256 ** np.dtype(kind).itemsize)
    return bytes([values.ndim << 2 | code]) + np.array(values.shape, SHAPE_TYPES[code]).tobytes() + values.tobytes()


ROWS = Format(
    write,
    "StreamingDataset(streams=[Stream(local or remote = DIR/SOURCE, proportion = …), …]): a sample is a row.",
    (
        "positions within a segment and attention masks: a collate function makes them from `length`",
        "the mixture and its order: give each Stream its proportion; the library shuffles by itself",
    ),
)

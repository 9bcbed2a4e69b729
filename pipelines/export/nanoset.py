"""Nanotron's and datatrove's token files: SOURCE/00000.ds with its .index, .loss and .metadata.

    .ds         token ids, little-endian, uint16 up to 65,536 ids and uint32 beyond; rows one after another
    .ds.index   uint64: end of each segment, in tokens from the start of the file
    .ds.loss    one byte a token: 1 where it is a target
    .ds.metadata   tokenizer and bytes of a token; tokens of the file; the same for people

Readers cut a .ds into windows of seq_len + 1 tokens that do not overlap, so with seq_len = context length a window is a row. The
length of the data set is that of the files: each is written beside its final name, then renamed, so none is ever short.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from contracts.manifest import FileEntry
from pipelines.export.job import Format, Job
from pipelines.export.rows import RowBatch

BYTES_PER_FILE = 2**30
"""datatrove reads the .index from its start up to the window it wants, which asks for files of moderate size."""


def write(job: Job) -> list[FileEntry]:
    """Files of all sources."""
    rows_per_file = max(BYTES_PER_FILE // (job.row_length * job.shards.dtype.itemsize), 1)
    return [
        entry
        for source in job.sources
        for number, (first, last) in enumerate(job.ranges(source, rows_per_file))
        for entry in _write_one(job, source, f"{job.folders[source]}/{number:05d}.ds", first, last)
    ]


def _write_one(job: Job, source: str, path: str, first: int, last: int) -> list[FileEntry]:
    """One .ds and what belongs to it. Rows are read once; ends and targets wait on disk."""
    ids = job.shards.dtype.newbyteorder("<")
    with tempfile.TemporaryFile() as ends, tempfile.TemporaryFile() as targets:

        def write_ids(file: BinaryIO) -> None:
            for rows in job.rows(source, first, last):
                file.write(rows.batch.input_ids.astype(ids, copy=False).tobytes())
                ends.write(_ends(rows, first * job.row_length))
                targets.write(_targets(rows))

        parts: dict[str, Callable[[BinaryIO], object]] = {
            "": write_ids,
            ".index": lambda file: _copy(ends, file),
            ".loss": lambda file: _copy(targets, file),
            ".metadata": lambda file: file.write(_metadata(job, last - first)),
        }
        return [job.write(path + suffix, each, source, last - first) for suffix, each in parts.items()]


def _copy(column: BinaryIO, file: BinaryIO) -> None:
    column.seek(0)
    shutil.copyfileobj(column, file, 2**20)


def _ends(rows: RowBatch, file_start: int) -> bytes:
    """uint64[segments]: tokens from the start of the file, which is `file_start` tokens into its source."""
    before = rows.first * rows.batch.input_ids.shape[1] - file_start
    ends: npt.NDArray[np.uint64] = (before + np.cumsum(rows.segments.length, dtype=np.int64)).astype("<u8")
    return ends.tobytes()


def _targets(rows: RowBatch) -> bytes:
    """uint8[rows, T + 1]; the first token of a row is nobody's target."""
    return np.pad(rows.batch.loss_mask, ((0, 0), (1, 0))).astype(np.uint8).tobytes()


def _metadata(job: Job, rows: int) -> bytes:
    """No final newline, as datatrove writes it."""
    tokens = rows * job.row_length
    name = f"sha256:{job.shards.metadata.tokenizer_sha256}"
    return f"{name}|{job.shards.dtype.itemsize}\n{tokens}\n{tokens / 1e6:.2f} MT".encode()


ROWS = Format(
    write,
    "DatatroveFolderDataset(DIR/SOURCE, seq_len = context length, token_size = 2 or 4, return_positions = True): a window is a row.",
    (
        "what is a target, for readers that do not read .loss (nanotron's and datatrove's do not): they learn every token, padding too",
        "document ids, places in documents, objectives: `spanmill trace` on the run has them, rows are in its order",
        "which segments are padding: to the .index they are documents like others",
    ),
)

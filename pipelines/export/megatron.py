r"""Megatron-LM's indexed data set: SOURCE.bin holds token ids and nothing else, SOURCE.idx says where each sequence lies.

    .idx   "MMIDIDX\0\0" | uint64 version = 1 | uint8 type of ids | uint64 sequences | uint64 documents + 1
           int32 length[sequences], tokens | int64 pointer[sequences], bytes | int64 document[documents + 1], first sequence of each

Megatron's GPTDataset takes no notice of documents: it shuffles sequences, joins them, and cuts what it joined every `sequence_length`
tokens, each sample with one more token that is also the first of the next. What comes of our rows depends on the unit:

    row       one sequence a row. With sequence_length = T + 1 and add_extra_token_to_sequence = False the cuts fall between rows: each
              sample is one row, no example is torn. With Megatron's defaults and sequence_length = T, the cut moves by one token a row.
    segment   one sequence an example, without padding; one document a row. Megatron packs by itself and tears examples at its cuts, as
              it does with any other data: right for causal text that shall be mixed with other sets, wrong for infilling.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from contracts.manifest import FileEntry
from pipelines.export.job import Format, Job
from pipelines.export.rows import RowBatch
from sharding.batch import PADDING

TYPE_CODES = {"uint16": 8, "int32": 4}
"""The format has no uint32. Megatron's reader expects uint16 up to 65,536 ids where it does not read the code."""

BLOCK = 2**20
"""Entries of the index that are in memory at a time."""

Parts = Callable[[RowBatch], tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64]]]
"""Of a batch: token ids, sequence lengths, and number of sequences of each row."""


def whole_rows(rows: RowBatch) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """One sequence and one document a row."""
    count, length = rows.batch.input_ids.shape
    return rows.batch.input_ids, np.full(count, length, np.int32), np.ones(count, np.int64)


def examples(rows: RowBatch) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """One sequence an example; padding is left out. A row of padding alone is a document without sequences."""
    real = rows.segments.kind != PADDING
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(real, dtype=np.int64)])
    return rows.batch.input_ids[rows.batch.kind != PADDING], rows.segments.length[real], np.diff(before[rows.segments.row_offsets])


def _write(job: Job, parts: Parts) -> list[FileEntry]:
    return [entry for source in job.sources for entry in _write_source(job, source, parts)]


def _write_source(job: Job, source: str, parts: Parts) -> list[FileEntry]:
    """The pair of files of a source, .idx last. Its columns wait on disk: 12 bytes a sequence, and there may be billions."""
    dtype = np.dtype("uint16" if job.shards.metadata.vocab_size <= 2**16 else "int32")
    name, rows = job.folders[source], job.shards.rows(source)
    with tempfile.TemporaryFile() as lengths, tempfile.TemporaryFile() as counts:

        def write_ids(file: BinaryIO) -> None:
            for batch in job.rows(source):
                ids, length, count = parts(batch)
                file.write(ids.astype(dtype, copy=False).tobytes())
                lengths.write(length.tobytes())
                counts.write(count.tobytes())

        data = job.write(f"{name}.bin", write_ids, source, rows)
        return [data, job.write(f"{name}.idx", lambda file: _write_index(file, dtype, lengths, counts), source, rows)]


def _write_index(file: BinaryIO, dtype: np.dtype[Any], lengths: BinaryIO, counts: BinaryIO) -> None:
    sequences, documents = lengths.tell() // 4, counts.tell() // 8
    file.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, TYPE_CODES[dtype.name], sequences, documents + 1))
    for block in _blocks(lengths, np.int32):
        file.write(block.tobytes())
    end = 0
    for block in _blocks(lengths, np.int32):
        ends = end + np.cumsum(block, dtype=np.int64)
        file.write(((ends - block) * dtype.itemsize).tobytes())
        end = int(ends[-1])
    first = np.zeros(1, np.int64)
    file.write(first.tobytes())
    for block in _blocks(counts, np.int64):
        ends = first[-1] + np.cumsum(block)
        file.write(ends.tobytes())
        first = ends


def _blocks(column: BinaryIO, dtype: type[np.signedinteger[Any]]) -> Iterator[npt.NDArray[Any]]:
    """A column from its start."""
    column.seek(0)
    while content := column.read(BLOCK * np.dtype(dtype).itemsize):
        yield np.frombuffer(content, dtype)


_EVERYWHERE = (
    "which tokens are targets: Megatron learns all but padding, so an example's first token and what an objective leaves out (prefixes, "
    "questions) count too",
    "document ids, places in documents, objectives: `spanmill trace` on the run has them, rows are in its order",
    "the tokenizer and its control ids: the trainer must be given tokenizer.json, with <fim_pad> as its pad token and <|endoftext|> as eod",
)

ROWS = Format(
    lambda job: _write(job, whole_rows),
    "GPTDataset with sequence_length = context length + 1 and add_extra_token_to_sequence = False: a sample is a row.",
    (
        "where examples begin within a row: Megatron's masks and positions can be reset after <|endoftext|> only (reset_attention_mask, "
        "reset_position_ids), and a long document's chunks but the last have none",
        *_EVERYWHERE,
    ),
)

SEGMENTS = Format(
    lambda job: _write(job, examples),
    "--data-path WEIGHT DIR/SOURCE …: Megatron shuffles examples, joins them and cuts them into samples.",
    (
        "rows: Megatron packs anew and tears examples at its cuts, infilling ones included; padding is left out (rows are documents of the "
        "index, which GPTDataset does not look at)",
        *_EVERYWHERE,
    ),
)

"""A folder for Hugging Face `datasets`: data/SOURCE/00000.parquet and a README.md that says what the columns are.

    input_ids     uint16 or uint32 [T + 1]   a row
    labels        int32 [T + 1]              the same id where the token is a target, -100 elsewhere; models shift them by themselves
    position_ids  int32 [T + 1]              tokens since the start of the segment
    segment_lengths int32 [n], doc_ids string [n] in hex, doc_starts int64 [n], objectives string [n],
    loss_starts int32 [n]: tokens of the segment that a prefix-LM reads in both directions
    source string, shard string, row int64: what `spanmill trace RUN/shard/SHARD ROW TOKEN` is asked for

`load_dataset(DIR)` gives all sources in the order of the shards, `load_dataset(DIR, SOURCE)` one of them; what was held out is the split
"validation". README.md is written last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.manifest import FileEntry
from contracts.schemas import HELD_OUT, OBJECTIVES, is_held_out
from pipelines.export.job import Format, Job
from pipelines.export.rows import RowBatch
from pipelines.storage import join, write_parquet

TOKENS_PER_FILE = 2**26
"""About 150 MB: `datasets` shares files among processes, and asks for some hundred MB each."""

NOT_A_TARGET = -100
"""The label that torch's cross_entropy and transformers leave out."""


def write(job: Job) -> list[FileEntry]:
    """All files, README.md last."""
    rows_per_file = max(TOKENS_PER_FILE // job.row_length, 1)
    entries = [
        _write_parquet(job, source, number, first, last)
        for source in job.sources
        for number, (first, last) in enumerate(job.ranges(source, rows_per_file))
    ]
    card = dataset_card(job).encode()
    return [*entries, job.write("README.md", lambda file: file.write(card), "", 0)]


def schema(row_length: int, dtype: np.dtype[Any]) -> pa.Schema:
    """Columns of the files."""
    return pa.schema(
        {
            "input_ids": pa.list_(pa.from_numpy_dtype(dtype), row_length),
            "labels": pa.list_(pa.int32(), row_length),
            "position_ids": pa.list_(pa.int32(), row_length),
            "segment_lengths": pa.list_(pa.int32()),
            "doc_ids": pa.list_(pa.string()),
            "doc_starts": pa.list_(pa.int64()),
            "objectives": pa.list_(pa.string()),
            "loss_starts": pa.list_(pa.int32()),
            "source": pa.string(),
            "shard": pa.string(),
            "row": pa.int64(),
        }
    )


def _write_parquet(job: Job, source: str, number: int, first: int, last: int) -> FileEntry:
    path = f"data/{job.folders[source]}/{number:05d}.parquet"
    made = schema(job.row_length, job.shards.dtype)
    batches = (to_arrow(made, batch, source) for batch in job.rows(source, first, last))
    written = write_parquet(join(job.output, path), batches, made)
    return FileEntry(path, last - first, *written, tokens=(last - first) * job.row_length, stratum=source)


def to_arrow(made: pa.Schema, rows: RowBatch, source: str) -> pa.RecordBatch:
    """The columns of a batch."""
    batch, table, count = rows.batch, rows.segments, len(rows.batch.input_ids)
    labels = np.full(batch.input_ids.shape, NOT_A_TARGET, np.int32)
    labels[:, 1:][batch.loss_mask] = batch.input_ids[:, 1:][batch.loss_mask]
    documents = [doc_id.tobytes().hex() for doc_id in table.doc_id]
    objectives = pa.DictionaryArray.from_arrays(pa.array(table.kind.astype(np.int8)), pa.array(OBJECTIVES)).cast(pa.string())
    offsets = pa.array(table.row_offsets.astype(np.int32))
    of_tokens = {"input_ids": batch.input_ids, "labels": labels, "position_ids": batch.positions}
    of_segments = (table.length, documents, table.doc_start, objectives, table.loss_start)
    columns = [
        *(_fixed(values, made.field(name).type) for name, values in of_tokens.items()),
        *(pa.ListArray.from_arrays(offsets, pa.array(each)) for each in of_segments),
        pa.array([source] * count),
        pa.array([rows.shard] * count),
        pa.array(np.arange(rows.shard_row, rows.shard_row + count)),
    ]
    return pa.record_batch(columns, schema=made)


def _fixed(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), type=kind)


def dataset_card(job: Job) -> str:
    """README.md: its head is YAML that `datasets` reads, JSON strings being YAML strings."""
    sets = _sets(job)
    configs = [line for name, splits in sets.items() for line in _config(name, splits)]
    features = [line for field in schema(job.row_length, job.shards.dtype) for line in _feature(field)]
    info = [line for name in sets for line in (f"- config_name: {json.dumps(name)}", "  features:", *features)]
    head = ["---", "configs:", *configs, "dataset_info:", *info, "---"]
    return "\n".join([*head, "", *_prose(job), ""])


def _sets(job: Job) -> dict[str, dict[str, list[str]]]:
    """Folders of each split of each configuration: one of everything, and one of each source that is not called like it."""
    by_split: dict[str, list[str]] = {}
    for source in job.sources:
        by_split.setdefault("validation" if is_held_out(source) else "train", []).append(source)
    names = [job.folders[source] for source in by_split.get("train", []) if job.folders[source] != "default"]
    sets = {"default": {split: [job.folders[source] for source in held] for split, held in by_split.items()}}
    for name in names:
        held = f"{HELD_OUT}.{name}"
        sets[name] = {"train": [name], **({"validation": [held]} if held in sets["default"].get("validation", []) else {})}
    return sets


def _config(name: str, splits: dict[str, list[str]]) -> Iterator[str]:
    yield f"- config_name: {json.dumps(name)}"
    yield "  data_files:"
    for split, folders in splits.items():
        yield f"  - split: {split}"
        yield "    path:"
        yield from (f"    - {json.dumps(f'data/{folder}/*.parquet')}" for folder in folders)


def _feature(field: pa.Field) -> Iterator[str]:
    yield f"  - name: {field.name}"
    if pa.types.is_fixed_size_list(field.type):
        yield f"    list: {field.type.value_type}"
        yield f"    length: {field.type.list_size}"
    elif pa.types.is_list(field.type):
        yield f"    list: {field.type.value_type}"
    else:
        yield f"    dtype: {field.type}"


def _prose(job: Job) -> Iterator[str]:
    metadata = job.shards.metadata
    yield "# Packed rows of token ids"
    yield ""
    yield f"Rows of {job.row_length:,} ids for a context of {metadata.context_length:,} tokens, made by Spanmill. Vocabulary:"
    yield f"{metadata.vocab_size:,} ids, of the tokenizer.json whose sha256 is `{metadata.tokenizer_sha256}`."
    yield ""
    yield "| source | rows | tokens |"
    yield "|---|---|---|"
    for source in job.sources:
        rows = job.shards.rows(source)
        yield f"| {source} | {rows:,} | {rows * job.row_length:,} |"
    yield ""
    yield "`labels` are the ids of targets and -100 elsewhere, at the place of the token itself: models of `transformers` shift them. The"
    yield "segments of a row are its examples: `segment_lengths` tokens each, from the document `doc_ids` (hex) after `doc_starts` of its"
    yield "tokens, in the form that `objectives` names. `position_ids` begin anew with each; attention should stay inside them. The first"
    yield "`loss_starts` tokens of a segment are read, not learned (a prefix language model reads them in both directions)."


ROWS = Format(
    write,
    'datasets.load_dataset(DIR) for all sources, load_dataset(DIR, "SOURCE") for one: an example is a row.',
    (
        "attention masks: make them from `position_ids` or `segment_lengths`",
        "the mixture and its order: interleave_datasets takes probabilities, and shuffles by itself",
    ),
)

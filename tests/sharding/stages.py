"""Committed shards with ids that tell where they came from, so that what a loader returns can be checked against its origin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from contracts.manifest import FileEntry, Manifest
from contracts.schemas import FORMAT_VERSION
from contracts.special_tokens import END_OF_TEXT, control_tokens
from sharding.segments import SegmentTable
from sharding.shards import ShardMetadata, write_shard

CONTROL_IDS = {name: 900 + i for i, name in enumerate([END_OF_TEXT, *control_tokens(4)])}
CONTEXT = 15


def metadata_for(source: str = "code", **changes: object) -> ShardMetadata:
    values: dict[str, object] = {
        "format_version": FORMAT_VERSION, "source": source, "context_length": CONTEXT, "vocab_size": 1000, "tokenizer_sha256": "ab",
        "special_ids": CONTROL_IDS, "seed": 0, "epoch": 0, "config_digest": "cd", "objectives": ["causal"],
    }  # fmt: skip
    return ShardMetadata(**{**values, **changes})  # type: ignore[arg-type]


def segments_of(lengths: list[list[int]], kinds: list[list[int]] | None = None) -> SegmentTable:
    """A table from the segment lengths of each row; kind 1 and loss from the first token unless told."""
    flat = [length for row in lengths for length in row]
    starts = [sum(row[:i]) for row in lengths for i in range(len(row))]
    n = len(flat)
    return SegmentTable(
        row_offsets=np.cumsum([0, *(len(row) for row in lengths)], dtype=np.int64),
        doc_id=np.arange(16 * n, dtype=np.int64).astype(np.uint8).reshape(n, 16),
        doc_start=np.arange(n, dtype=np.int64) * 2**33,
        start=np.array(starts, np.int32),
        length=np.array(flat, np.int32),
        kind=np.array([1] * n if kinds is None else [kind for row in kinds for kind in row], np.uint8),
        loss_start=np.zeros(n, np.int32),
    )


def write_stage(folder: Path, files: list[tuple[str, str, int]], **changes: object) -> Path:
    """Commit files of (path, source, rows). Row r of a source begins with [source's first letter, r // 256, r % 256]."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, done = [], {source: 0 for _, source, _ in files}
    for path, source, rows in files:
        number = np.arange(done[source], done[source] + rows)
        ids = np.zeros((rows, CONTEXT + 1), np.uint16)
        ids[:, 0], ids[:, 1], ids[:, 2] = ord(source[0]), number // 256, number % 256
        with (folder / path).open("wb") as file:
            write_shard(file, metadata_for(source, **changes), [(ids, segments_of([[10, 6]] * rows))], rows_per_batch=8)
        done[source] += rows
        entries.append(FileEntry(path, rows, (folder / path).stat().st_size, "0" * 16, rows * (CONTEXT + 1), source))
    manifest = Manifest(stage="shard", config={}, seed=0, upstream={}, versions={}, totals={}, statistics={}, files=entries)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return folder


def write_passes(folder: Path, files: list[tuple[str, int, int]], **config: object) -> Path:
    """Commit files of (path, rows, epoch in their metadata) of the source "code", each with rows from 0 on, and settings of the stage."""
    made = []
    for path, rows, epoch in files:
        write_stage(folder, [(path, "code", rows)], epoch=epoch)
        made.append(Manifest.from_json((folder / "manifest.json").read_text(), ""))
    whole = replace(made[0], config=config, files=[each.files[0] for each in made])
    (folder / "manifest.json").write_text(whole.to_json(), encoding="utf-8")
    return folder

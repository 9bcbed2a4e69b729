"""Runs with made-up shards: two sources, one of them by language, some rows held out, padding, prefixes and conversations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash

from contracts.manifest import FileEntry, Manifest
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, PAD, control_tokens
from sharding.batch import Batch
from sharding.segments import SegmentTable
from sharding.shards import ShardMetadata, open_shards, token_dtype, write_shard

CONTEXT = 15
CONTROL_IDS = {name: 900 + i for i, name in enumerate([END_OF_TEXT, *control_tokens(4)])}
TOKENIZER = b'{"made": "up"}'
ROWS = {"code": [20, 17], "prose/english": [50], "empty": [0], "held_out/code": [3]}
"""Rows of each shard of each stratum."""


def make_run(folder: Path, vocab_size: int = 1000, rows: dict[str, list[int]] | None = None) -> Path:
    """Commits a shard stage of random rows, with the tokenizer it names."""
    rng, entries = np.random.default_rng(7), []
    for source, shards in (ROWS if rows is None else rows).items():
        (folder / "shard" / source).mkdir(parents=True, exist_ok=True)
        for number, count in enumerate(shards):
            path = f"{source}/{number:05d}.arrow"
            window = random_rows(rng, count, vocab_size)
            with (folder / "shard" / path).open("wb") as file:
                write_shard(file, _metadata(source, vocab_size), [window] if count else [], rows_per_batch=8)
            content = (folder / "shard" / path).read_bytes()
            entries.append(FileEntry(path, count, len(content), xxhash.xxh3_64_hexdigest(content), count * (CONTEXT + 1), source))
    manifest = Manifest(stage="shard", config={}, seed=0, upstream={}, versions={}, totals={}, statistics={}, files=entries)
    (folder / "shard/manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/tokenizer.json").write_bytes(TOKENIZER)
    return folder


def random_rows(rng: np.random.Generator, count: int, vocab_size: int) -> tuple[np.ndarray, SegmentTable]:
    """Rows of one to five segments of any kind; padding comes last, if at all."""
    dtype, width = token_dtype(vocab_size), CONTEXT + 1
    ids = rng.integers(0, vocab_size, (count, width)).astype(dtype)
    cuts = [np.sort(rng.choice(np.arange(1, width), rng.integers(0, 5), replace=False)) for _ in range(count)]
    lengths = [np.diff([0, *cut, width]) for cut in cuts]
    kinds = [rng.integers(1, len(OBJECTIVES) - 1, len(length)) for length in lengths]
    for row in range(0, count, 3):
        kinds[row][-1] = OBJECTIVES.index("padding")
        ids[row, width - lengths[row][-1] :] = CONTROL_IDS[PAD]
    length = np.concatenate([np.zeros(0, np.int64), *lengths]).astype(np.int32)
    n = len(length)
    return ids, SegmentTable(
        row_offsets=np.cumsum([0, *map(len, lengths)], dtype=np.int64),
        doc_id=rng.integers(0, 256, (n, 16)).astype(np.uint8),
        doc_start=rng.integers(0, 2**40, n),
        start=np.concatenate([np.zeros(0, np.int64), *(np.cumsum(each) - each for each in lengths)]).astype(np.int32),
        length=length,
        kind=np.concatenate([np.zeros(0, np.int64), *kinds]).astype(np.uint8),
        loss_start=rng.integers(0, length + 1).astype(np.int32),
    )


def rows_of(run: Path, source: str) -> tuple[Batch, SegmentTable]:
    """All rows of a stratum, read without any code of the export."""
    shards = open_shards(str(run / "shard"))
    read = [shards.row(source, index) for index in range(shards.rows(source))]
    segments = SegmentTable.concatenate([table for _, table in read])
    ids = np.stack([ids for ids, _ in read])
    return Batch.build(ids, segments, np.zeros(len(ids), np.int32), shards.metadata.special_ids), segments


def place_of(source: str, index: int) -> tuple[str, int]:
    """Shard of a row of a stratum, and its number there."""
    number = 0
    while index >= ROWS[source][number]:
        index -= ROWS[source][number]
        number += 1
    return f"{source}/{number:05d}.arrow", index


def targets(batch: Batch) -> np.ndarray:
    """bool[b, T + 1]: whether the token itself is a target."""
    return np.concatenate([np.zeros((len(batch.input_ids), 1), bool), batch.loss_mask], axis=1)


def strata(run: Path) -> Iterator[tuple[str, str]]:
    """Strata with rows, and their folders in an export."""
    for source, shard in open_shards(str(run / "shard")).strata.items():
        if shard.rows:
            yield source, source.replace("/", ".")


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file but the lock."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _metadata(source: str, vocab_size: int) -> ShardMetadata:
    return ShardMetadata(
        format_version=FORMAT_VERSION,
        source=source,
        context_length=CONTEXT,
        vocab_size=vocab_size,
        tokenizer_sha256=hashlib.sha256(TOKENIZER).hexdigest(),
        special_ids=CONTROL_IDS,
        seed=0,
        epoch=0,
        config_digest="cd",
        objectives=list(OBJECTIVES[1:]),
    )

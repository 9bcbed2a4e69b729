"""Committed runs made by the real tokenizer, objectives, packing and writer from the standard library's own sources."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from train_in_memory import train as train_tokenizer

from contracts.manifest import FileEntry, Manifest
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import PAD
from sharding.chunks import Documents
from sharding.objectives.base import Controls
from sharding.objectives.causal import Causal
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.objectives.text import STARTS_CHARACTER, TextTable
from sharding.rows import RowBuilder
from sharding.shards import ShardMetadata, write_shard
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary
from tokenizer.token_bytes import token_bytes


def make_run(folder: Path, texts: dict[str, list[str]], vocab_size: int, context_length: int) -> Path:
    """A run folder with a trained tokenizer and one committed shard a source."""
    everything = [text for source in texts.values() for text in source]
    vocabulary = train_tokenizer(iter(everything), TokenizerSettings(vocab_size=vocab_size, masks=32))
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_bytes(vocabulary.json.encode())
    (folder / "shard").mkdir()
    entries = [_write_source(folder / "shard", name, source, vocabulary, context_length) for name, source in texts.items()]
    manifest = Manifest(stage="shard", config={}, seed=0, upstream={}, versions={}, totals={}, statistics={}, files=entries)
    (folder / "shard" / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return folder


def _write_source(folder: Path, name: str, texts: list[str], vocabulary: Vocabulary, context_length: int) -> FileEntry:
    controls = Controls.of(vocabulary.control_ids)
    table = TextTable(*token_bytes(vocabulary.json, vocabulary.size))
    builder = RowBuilder(
        objectives={"causal": Causal(controls), "span_corruption": SpanCorruption(SpanCorruptionSettings(max_spans=3), controls)},
        mixtures=[{"causal": 0.5, "span_corruption": 0.5}],
        ends_line=table.ends_line,
        starts_character=(table.flags & STARTS_CHARACTER) > 0,
        context_length=context_length,
        vocab_size=vocabulary.size,
        padding_id=vocabulary.control_ids[PAD],
        seed=0,
        epoch=0,
    )
    encoded = Encoder(vocabulary.json)(pa.array(texts, pa.large_string()))
    ids = [hashlib.md5(text.encode(), usedforsecurity=False).digest() for text in texts]
    doc_id = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
    rows = builder.build(Documents.whole(encoded.ids, encoded.offsets, doc_id))
    metadata = ShardMetadata(
        format_version=FORMAT_VERSION,
        source=name,
        context_length=context_length,
        vocab_size=vocabulary.size,
        tokenizer_sha256=hashlib.sha256(vocabulary.json.encode()).hexdigest(),
        special_ids=vocabulary.control_ids,
        seed=0,
        epoch=0,
        config_digest="0" * 32,
        objectives=list(OBJECTIVES[1:]),
    )
    path = folder / f"{name}.arrow"
    with path.open("wb") as file:
        write_shard(file, metadata, [(rows.input_ids, rows.segments)], rows_per_batch=16)
    count = len(rows.input_ids)
    digest = xxhash.xxh3_64_hexdigest(path.read_bytes())
    return FileEntry(path.name, count, path.stat().st_size, digest, count * (context_length + 1), name)

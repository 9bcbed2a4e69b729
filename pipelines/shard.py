"""The shard stage: from kept documents to packed rows of token ids.

    windows of parts of one source ─▶ encode ─▶ objectives, chunks, packing (sharding.rows) ─▶ SOURCE/00000.arrow

A window becomes one shard. Windows hold whole parts, in part order, so a shard's bytes depend on the corpus and the recipe alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import StageError
from contracts.manifest import FileEntry, Manifest, digest_of
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import PAD
from pipelines.corpus import Committed, Corpus, find, find_corpus, read_checked
from pipelines.counts import add_up
from pipelines.engine import Engine
from pipelines.graph import Items, Once
from pipelines.recipe import Recipe
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_file
from sharding.config import ShardSettings
from sharding.objectives.base import Controls, Objective
from sharding.objectives.causal import Causal
from sharding.objectives.span_corruption import SpanCorruption
from sharding.rows import Documents, RowBuilder, Rows
from sharding.shards import ShardMetadata, write_shard
from tokenizer.encode import Encoder, line_ends
from tokenizer.encode import Engine as EncoderEngine

RATE = 20e6
"""Bytes of text that a core turns into shards in a second, roughly; decides only whether workers are started."""


def shard(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    corpus = find_corpus(run_dir, input_dir)
    vocabulary = find(run_dir, input_dir, "tokenizer")
    upstream = {"curate": corpus.curate.digest, "dedup": corpus.dedup.digest, "tokenizer": vocabulary.digest}
    stage = Stage("shard", run_dir, recipe.shard.model_dump(mode="json"), recipe.seed, upstream)
    if made := engine.finished(stage):
        return made
    work = ShardWindow(stage, corpus, vocabulary, recipe.shard, recipe.tokenizer.engine, recipe.seed)
    sizes = work.sizes()
    steps = [Items("windows", work), Items("commit", CommitShards(stage, len(sizes)))]
    return engine.run(stage, steps, sum(sizes) / RATE, 8 * recipe.shard.window_bytes)


@dataclass(frozen=True)
class Window:
    """Parts of one source that are packed together."""

    source: str
    number: int
    parts: tuple[FileEntry, ...]
    bytes: int

    @property
    def path(self) -> str:
        """Relative to the stage's folder."""
        return f"{self.source}/{self.number:05d}.arrow"


def plan_windows(corpus: Corpus, window_bytes: int) -> list[Window]:
    """Windows of about `window_bytes` of kept text, source by source in part order."""
    sizes = corpus.dedup.manifest.statistics["part_bytes"]
    windows: list[Window] = []
    held: list[FileEntry] = []
    for part, following in _with_next(corpus.parts()):
        held.append(part)
        total = sum(sizes[each.path] for each in held)
        if following is None or following.stratum != part.stratum or total + sizes[following.path] > window_bytes:
            number = sum(window.source == part.stratum for window in windows)
            windows.append(Window(part.stratum, number, tuple(held), total))
            held = []
    return windows


@dataclass
class ShardWindow:
    """Makes one shard."""

    stage: Stage
    corpus: Corpus
    vocabulary: Committed
    settings: ShardSettings
    encoder_engine: EncoderEngine
    seed: int

    def sizes(self) -> list[int]:
        """Bytes of text of each window."""
        return [window.bytes for window in plan_windows(self.corpus, self.settings.window_bytes)]

    def setup(self) -> None:
        """Loads the tokenizer."""
        self._windows = plan_windows(self.corpus, self.settings.window_bytes)
        text = read_checked(self.vocabulary.folder, self.vocabulary.file("tokenizer.json")).to_pybytes()
        made = self.vocabulary.manifest
        self._sha256 = hashlib.sha256(text).hexdigest()
        self._control_ids: dict[str, int] = made.statistics["control_ids"]
        self._encoder = Encoder(text.decode(), self.encoder_engine)
        vocab_size = made.totals["vocab_size"]
        self._rows = RowBuilder(
            objectives=objectives(self.settings, Controls.of(self._control_ids)),
            weights=self.settings.objectives,
            ends_line=line_ends(text.decode(), vocab_size),
            context_length=self.settings.context_length,
            vocab_size=vocab_size,
            padding_id=self._control_ids[PAD],
            seed=self.seed,
            epoch=self.settings.epoch,
        )

    def __call__(self, number: int) -> Receipt:
        """One window."""
        window = self._windows[number]
        table = pa.concat_tables([self.corpus.read(part, ("doc_id", "text", "language")) for part in window.parts])
        documents, languages = self._encode(table)
        rows = self._rows.build(documents)
        metadata = self._metadata(window.source)
        written = write_file(self.stage.path(window.path), lambda file: write_shard(file, metadata, rows.input_ids, rows.segments))
        entry = FileEntry(window.path, len(rows.input_ids), *written, tokens=int(rows.input_ids.size), stratum=window.source)
        totals = {"rows": entry.rows, "tokens": entry.tokens, **_totals(rows)}
        return {
            "file": vars(entry),
            "totals": totals,
            "statistics": {
                "sources": {window.source: {**rows.statistics, "rows": entry.rows}},
                "languages": {window.source: languages},
            },
        }

    def _encode(self, table: pa.Table) -> tuple[Documents, dict[str, Any]]:
        text = table["text"].combine_chunks() if table.num_rows else pa.array([], pa.large_string())
        encoded = self._encoder(text if isinstance(text, pa.Array) else text.chunk(0))
        joined = b"".join(table["doc_id"].to_pylist())
        doc_id = np.frombuffer(joined, np.uint8).reshape(-1, 16)
        tokens = np.diff(encoded.offsets)
        lengths = np.asarray(pc.binary_length(text).cast(pa.int64())) if table.num_rows else np.zeros(0, np.int64)
        languages = _by_language(table["language"].to_pylist(), tokens, lengths)
        return Documents(encoded.ids, encoded.offsets, doc_id), languages

    def _metadata(self, source: str) -> ShardMetadata:
        return ShardMetadata(
            format_version=FORMAT_VERSION,
            source=source,
            context_length=self.settings.context_length,
            vocab_size=self._rows.vocab_size,
            tokenizer_sha256=self._sha256,
            special_ids=self._control_ids,
            seed=self.seed,
            epoch=self.settings.epoch,
            config_digest=digest_of(self.stage.config),
            objectives=list(OBJECTIVES[1:]),
        )


@dataclass
class CommitShards(Once):
    """Adds everything up and writes the manifest."""

    stage: Stage
    windows: int

    def __call__(self, number: int) -> Receipt:
        """Commits the stage."""
        receipts = self.stage.all_receipts("windows", self.windows)
        totals = add_up(receipt["totals"] for receipt in receipts)
        statistics = add_up(receipt["statistics"] for receipt in receipts)
        self.stage.commit([FileEntry(**receipt["file"]) for receipt in receipts], totals, statistics)
        return {"windows": self.windows}


def objectives(settings: ShardSettings, controls: Controls) -> dict[str, Objective]:
    """The objectives that a recipe gives a weight, with their settings."""
    known: dict[str, Objective] = {
        "causal": Causal(controls),
        "span_corruption": SpanCorruption(settings.span_corruption, controls),
    }
    chosen = {name: known[name] for name, weight in settings.objectives.items() if weight > 0}
    if not chosen:
        raise StageError("No objective has a weight above 0: set shard.objectives.")
    return dict(sorted(chosen.items()))


def _totals(rows: Rows) -> dict[str, int]:
    names = ("documents", "text_tokens", "control_tokens", "padding_tokens")
    return {name: rows.statistics[name] for name in names}


def _by_language(names: list[str], tokens: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, count, size in zip(names, tokens.tolist(), lengths.tolist(), strict=True):
        cell = cells.setdefault(name or "unknown", {"documents": 0, "text_tokens": 0, "bytes": 0})
        cell["documents"] += 1
        cell["text_tokens"] += count
        cell["bytes"] += size
    return cells


def _with_next(parts: list[FileEntry]) -> list[tuple[FileEntry, FileEntry | None]]:
    return list(zip(parts, [*parts[1:], None], strict=True))

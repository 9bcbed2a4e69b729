"""The tokenizer stage: a deterministic sample of the kept text, its words counted, and a vocabulary trained on the counts.

    parts ─▶ documents whose key falls below their share ─▶ words by part ─▶ words by key range ─▶ one worker trains ─▶ tokenizer.json

A document is in the sample or not by a keyed hash of its doc_id, whatever else is in the corpus and whatever the order of its parts.
No worker holds the sample: one holds a part of the corpus, or the words of one key range, or the most frequent words of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from contracts.errors import InputError
from contracts.manifest import FileEntry, Manifest
from pipelines.corpus import Corpus, find_corpus, read_columns
from pipelines.engine import Engine
from pipelines.graph import Items
from pipelines.recipe import Recipe
from pipelines.stage import Receipt, Stage
from pipelines.storage import read_bytes, write_bytes
from pipelines.tokenizer_report import lengths_of, report
from pipelines.tokenizer_sample import MergeWords, SamplePart, sample_shares, word_ranges
from tokenizer.adopt import adopt
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, lay_out
from tokenizer.ranks import read_ranks
from tokenizer.train import least_count, train_on

RATE = 50e6
"""Bytes of text that a core samples from in a second, roughly; decides only whether workers are started."""


def tokenizer(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    settings = recipe.tokenizer
    corpus = None if settings.given else find_corpus(run_dir, input_dir)
    stage = Stage("tokenizer", run_dir, _config(settings), recipe.seed, _upstream(corpus, settings))
    if made := engine.finished(stage):
        return made
    if corpus is None:
        if not engine.dry:
            write_bytes(stage.work_path("given"), given_vocabulary(settings))
        return engine.run(stage, [Items("train", TakeVocabulary(stage, settings))], 0, 0)
    sample = SamplePart(stage, corpus, recipe.seed, settings, sample_shares(corpus, settings))
    sizes, ranges = sample.sizes(), word_ranges(settings)
    steps = [
        Items("sample", sample),
        Items("words", MergeWords(stage, len(sizes), ranges)),
        Items("train", TrainVocabulary(stage, settings, len(sizes), ranges)),
    ]
    return engine.run(stage, steps, sum(sizes) / RATE, 8 * recipe.part_bytes)


@dataclass
class TrainVocabulary:
    """Trains on the counted words, measures the outcome and commits the stage; a single item."""

    stage: Stage
    settings: TokenizerSettings
    parts: int
    ranges: int

    def sizes(self) -> list[int]:
        """Bytes of the sample."""
        return [sum(receipt["bytes"] for receipt in self.stage.all_receipts("sample", self.parts))]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """The whole vocabulary."""
        made, learned = train_on(self._words(), self.settings)
        receipts = self.stage.all_receipts("sample", self.parts)
        measured = (
            read_columns(self.stage.work_path("measured", f"{part:05d}.parquet"), ["cell", "text"]) for part in range(self.parts)
        )
        found = report(made, learned, receipts, measured, self.settings.engine)
        return commit(self.stage, made, {"report": found})

    def _words(self) -> pa.Table:
        """Words and counts of the sample, most frequent first; without the rarest where all would be too many."""
        receipts = self.stage.all_receipts("words", self.ranges)
        least = least_count([np.array(receipt["bytes_by_count"], np.int64) for receipt in receipts])
        tables = []
        for number in range(self.ranges):
            table = read_columns(self.stage.work_path("words", f"{number:05d}.parquet"), ["word", "count"])
            tables.append(table.filter(pc.greater_equal(table["count"], least)))  # a copy: a slice would keep the whole table alive
        return pa.concat_tables(tables).sort_by([("count", "descending"), ("word", "ascending")])


@dataclass
class TakeVocabulary:
    """Takes over an existing vocabulary and commits the stage; a single item."""

    stage: Stage
    settings: TokenizerSettings

    def sizes(self) -> list[int]:
        """One, of no size to speak of."""
        return [0]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """The whole vocabulary."""
        made = self._vocabulary(read_bytes(self.stage.work_path("given")))
        Encoder(made.json, self.settings.engine)  # says now what the shard stage would only find later
        return commit(self.stage, made, {})

    def _vocabulary(self, content: bytes) -> Vocabulary:
        settings = self.settings
        if settings.path:
            return adopt(content.decode(errors="replace"), settings.path, settings.mask_count, settings.layout)
        return lay_out(*read_ranks(content, settings.ranks), settings.mask_count, settings.layout)


def commit(stage: Stage, made: Vocabulary, more: dict[str, Any]) -> Receipt:
    """Writes tokenizer.json and the manifest."""
    written = write_bytes(stage.path("tokenizer.json"), (made.json + "\n").encode())
    totals = {"vocab_size": made.size, "control_tokens": len(made.control_ids)}
    statistics = {"control_ids": made.control_ids, "tokens_by_length": lengths_of(made), **more}
    stage.commit([FileEntry("tokenizer.json", made.size, *written)], totals, statistics)
    return {"vocab_size": made.size}


def given_vocabulary(settings: TokenizerSettings) -> bytes:
    """The file that `tokenizer.path` or `tokenizer.ranks` names."""
    name = "path" if settings.path else "ranks"
    kind = "a tokenizer.json" if settings.path else "a .tiktoken file or GPT-2's vocab.bpe"
    try:
        return read_bytes(settings.given)
    except OSError as error:
        raise InputError(
            f"tokenizer.{name} = {settings.given!r} cannot be read: {error.strerror or error}. It must name {kind}."
        ) from None


def _config(settings: TokenizerSettings) -> dict[str, object]:
    """The encoder is left out: both engines give the same ids."""
    return settings.model_dump(mode="json", exclude={"engine", "path", "ranks"})


def _upstream(corpus: Corpus | None, settings: TokenizerSettings) -> dict[str, str]:
    if corpus is None:
        name = "tokenizer.json" if settings.path else "ranks"
        return {name: xxhash.xxh3_128_hexdigest(given_vocabulary(settings))}
    return {"curate": corpus.curate.digest, "dedup": corpus.dedup.digest}

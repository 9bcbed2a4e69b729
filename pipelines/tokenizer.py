"""The tokenizer stage: a deterministic sample of the kept text, and a vocabulary trained on it.

    parts ─▶ documents whose key falls below their source's share ─▶ one worker trains ─▶ tokenizer.json

A document is in the sample or not by a keyed hash of its doc_id, whatever else is in the corpus order or the parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash

from contracts.errors import InputError
from contracts.manifest import FileEntry, Manifest
from contracts.schemas import DOCUMENT
from pipelines.corpus import Corpus, find_corpus, read_columns
from pipelines.engine import Engine
from pipelines.graph import Items
from pipelines.recipe import Recipe
from pipelines.stage import Receipt, Stage
from pipelines.storage import read_bytes, write_bytes, write_parquet
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, adopt
from tokenizer.train import train

RATE = 100e6
"""Bytes of text that a core samples from in a second, roughly; decides only whether workers are started."""

SAMPLE = pa.schema([DOCUMENT.field("text")])


def tokenizer(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    settings = recipe.tokenizer
    corpus = None if settings.path else find_corpus(run_dir, input_dir)
    stage = Stage("tokenizer", run_dir, _config(settings), recipe.seed, _upstream(corpus, settings))
    if made := engine.finished(stage):
        return made
    if corpus is None:
        if not engine.dry:
            write_bytes(stage.work_path("given.json"), given_tokenizer(settings.path))
        return engine.run(stage, [Items("train", MakeVocabulary(stage, settings, 0))], 0, 0)
    sample = SamplePart(stage, corpus, recipe.seed, sample_shares(corpus, settings))
    sizes = sample.sizes()
    steps = [Items("sample", sample), Items("train", MakeVocabulary(stage, settings, len(sizes)))]
    return engine.run(stage, steps, sum(sizes) / RATE, max(6 * recipe.part_bytes, 4 * settings.sample_bytes))


def sample_shares(corpus: Corpus, settings: TokenizerSettings) -> dict[str, float]:
    """Share of each source's kept text that belongs in the sample.

    The sample's bytes are dealt to sources by weight; a source too small for its share gives all it has.
    """
    sizes = corpus.dedup.manifest.statistics["source_bytes"]
    weights = {name: settings.weights.get(name, 0.0) if settings.weights else float(size) for name, size in sizes.items()}
    total = sum(weights.values()) or 1.0
    return {name: min(1.0, settings.sample_bytes * weights[name] / total / size) if size else 0.0 for name, size in sizes.items()}


@dataclass
class SamplePart:
    """Writes the part of the sample that lies in one part of the corpus."""

    stage: Stage
    corpus: Corpus
    seed: int
    shares: dict[str, float]

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.corpus.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """One part."""
        part = self.corpus.parts()[number]
        table = self.corpus.read(part, ("doc_id", "text"))
        below = self.shares[part.stratum] * 2.0**64
        keys = [xxhash.xxh3_64_intdigest(doc_id, self.seed) for doc_id in table["doc_id"].to_pylist()]
        chosen = table.filter(pa.array(np.array([key < below for key in keys], np.bool_))).select(["text"])
        first = table.select(["text"]).slice(keys.index(min(keys)) if keys else 0, 1)
        for folder, rows in (("sample", chosen), ("first", first)):
            write_parquet(self.stage.work_path(folder, f"{number:05d}.parquet"), iter(rows.combine_chunks().to_batches()), SAMPLE)
        return {"documents": chosen.num_rows, "bytes": chosen.nbytes}


@dataclass
class MakeVocabulary:
    """Trains on the sample, or takes over an existing tokenizer.json, and commits the stage; a single item."""

    stage: Stage
    settings: TokenizerSettings
    parts: int

    def sizes(self) -> list[int]:
        """Bytes of the sample."""
        return [sum(receipt["bytes"] for receipt in self.stage.all_receipts("sample", self.parts))]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """The whole vocabulary."""
        if self.settings.path:
            given = read_bytes(self.stage.work_path("given.json")).decode(errors="replace")
            made = adopt(given, self.settings.path, self.settings.mask_count)
            Encoder(made.json, self.settings.engine)  # says now what the shard stage would only find later
        else:
            made = train(self._texts(), self.settings)
        written = write_bytes(self.stage.path("tokenizer.json"), (made.json + "\n").encode())
        totals = {"vocab_size": made.size, "control_tokens": len(made.control_ids)}
        statistics = {"control_ids": made.control_ids, "tokens_by_length": _lengths(made)}
        self.stage.commit([FileEntry("tokenizer.json", made.size, *written)], totals, statistics)
        return {"vocab_size": made.size}

    def _texts(self) -> Iterator[str]:
        """The sample; never empty where there is any text, since each part also keeps its document of the lowest key aside."""
        empty = True
        for text in self._sampled("sample"):
            empty = False
            yield text
        if empty:
            yield from self._sampled("first")

    def _sampled(self, folder: str) -> Iterator[str]:
        for part in range(self.parts):
            table = read_columns(self.stage.work_path(folder, f"{part:05d}.parquet"), ["text"])
            yield from (text.as_py() for text in table["text"])


def given_tokenizer(path: str) -> bytes:
    """The file that `tokenizer.path` names."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise InputError(
            f"tokenizer.path = {path!r} cannot be read: {error.strerror or error}. It must name a tokenizer.json."
        ) from None


def _config(settings: TokenizerSettings) -> dict[str, object]:
    """The encoder is left out: both engines give the same ids."""
    return settings.model_dump(mode="json", exclude={"engine", "path"})


def _upstream(corpus: Corpus | None, settings: TokenizerSettings) -> dict[str, str]:
    if corpus is None:
        return {"tokenizer.json": xxhash.xxh3_128_hexdigest(given_tokenizer(settings.path))}
    return {"curate": corpus.curate.digest, "dedup": corpus.dedup.digest}


def _lengths(vocabulary: Vocabulary) -> list[int]:
    """How many ordinary tokens have 1, 2, … bytes; the last counts 32 and more."""
    counts = [0] * 32
    for token in json.loads(vocabulary.json)["model"]["vocab"]:
        counts[min(32, len(token)) - 1] += 1
    return counts

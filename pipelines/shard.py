"""The shard stage: from kept documents to packed rows of token ids.

    parts ─▶ count (shard_plan) ─▶ ranges of each stratum, once an epoch ─▶ windows of documents, encoded (shard_documents)
          ─▶ objectives, chunks, packing (sharding.rows) ─▶ STRATUM/00000.arrow

What a shard holds depends on the corpus and the recipe alone: not on parts, workers, or what was made before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from contracts.errors import ConfigError, InputError, unknown_name
from contracts.manifest import FileEntry, Manifest, digest_of
from contracts.schemas import FORMAT_VERSION, is_held_out, source_of
from contracts.special_tokens import PAD
from pipelines.corpus import Committed, Corpus, column, find, find_corpus, read_checked
from pipelines.counts import add_up
from pipelines.engine import Engine
from pipelines.forgotten import forgotten_digest, forgotten_ids
from pipelines.graph import Items, Once
from pipelines.marked_text import MarkedIds, encode_marked
from pipelines.recipe import Recipe
from pipelines.rows import load, save
from pipelines.shard_documents import DocumentReader, Window
from pipelines.shard_plan import IndexPart, Range, doc_ids, plan_ranges
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_file
from sharding.config import ShardSettings
from sharding.headers import draw_headers
from sharding.objectives import build, check_controls
from sharding.objectives.base import Controls
from sharding.objectives.text import STARTS_CHARACTER, Codec, TextTable
from sharding.randomness import document_keys
from sharding.rows import RowBuilder
from sharding.shards import SegmentTable, ShardMetadata, TokenIds, write_shard
from tokenizer.encode import Encoder
from tokenizer.encode import Engine as EncoderEngine
from tokenizer.token_bytes import token_bytes

MOST_STRATA = 10_000
"""Strata at most: each is a folder, and languages may come from the corpus."""

FORGOTTEN = "forgotten.npy"
"""What must not come back, as it was when the stage began."""

PROCESS_BYTES = 300_000_000
"""Memory of a worker that holds no window yet."""

RATE = 20e6
"""Bytes of text that a core turns into shards in a second, roughly; decides only whether workers are started."""

COLUMNS = ("doc_id", "text", "language", "kind", "repo", "path", "stars", "marks")


def shard(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    corpus = find_corpus(run_dir, input_dir)
    vocabulary = find(run_dir, input_dir, "tokenizer")
    upstream = {"curate": corpus.curate.digest, "dedup": corpus.dedup.digest, "tokenizer": vocabulary.digest}
    unfinished = {"forgotten": digest} if (digest := forgotten_digest(run_dir, input_dir)) else {}
    stage = Stage("shard", run_dir, recipe.shard.model_dump(mode="json"), recipe.seed, upstream, layout=unfinished)
    check_controls(recipe.shard.wanted, recipe.shard, Controls.of(vocabulary.manifest.statistics["control_ids"]))
    _check_languages(recipe, corpus)
    if made := engine.finished(stage):
        return made
    if not engine.dry:
        save(stage.work_path(FORGOTTEN), forgotten_ids(run_dir, input_dir))
    index = IndexPart(stage, corpus, recipe.shard, recipe.seed)
    work = MakeShard(stage, corpus, vocabulary, recipe.shard, recipe.tokenizer.engine, recipe.seed)
    steps = [Items("index", index), Items("shards", work), Items("commit", CommitShards(stage, work))]
    seconds = recipe.shard.epochs * sum(corpus.dedup.manifest.statistics["part_bytes"].values()) / RATE
    return engine.run(stage, steps, seconds, PROCESS_BYTES + 10 * recipe.shard.window_bytes)


@dataclass(frozen=True)
class Item:
    """One shard: a range in one epoch."""

    range: Range
    epoch: int
    number: int
    """Within its stratum: all ranges of the first epoch, then all of the second, …"""

    @property
    def path(self) -> str:
        """Relative to the stage's folder."""
        return f"{self.range.stratum}/{self.number:05d}.arrow"


@dataclass
class MakeShard:
    """Makes one shard."""

    stage: Stage
    corpus: Corpus
    vocabulary: Committed
    settings: ShardSettings
    encoder_engine: EncoderEngine
    seed: int

    def items(self) -> list[Item]:
        """All shards that are to be made. Only once the step `index` is done."""
        receipts = self.stage.all_receipts("index", len(self.corpus.parts()))
        ranges = plan_ranges(receipts, self.settings.shard_bytes or self.settings.window_bytes)
        count = add_up({each.stratum: 1} for each in ranges)
        if len(count) > MOST_STRATA:
            raise ConfigError(
                f'shard.strata = "{self.settings.strata}" gives {len(count):,} strata, at most {MOST_STRATA:,} are allowed: '
                'set it to "source", or mend the sources\' languages.'
            )
        return [
            Item(each, self.settings.epoch + pass_, pass_ * count[each.stratum] + each.number)
            for pass_ in range(self.settings.epochs)
            for each in ranges
            if pass_ == 0 or not is_held_out(each.stratum)
        ]

    def sizes(self) -> list[int]:
        """Bytes of text of each shard."""
        return [item.range.bytes for item in self.items()]

    def setup(self) -> None:
        """Loads the tokenizer."""
        self._items = self.items()
        text = read_checked(self.vocabulary.folder, self.vocabulary.file("tokenizer.json")).to_pybytes()
        made = self.vocabulary.manifest
        self._sha256 = hashlib.sha256(text).hexdigest()
        self._control_ids: dict[str, int] = made.statistics["control_ids"]
        self._encoder = Encoder(text.decode(), self.encoder_engine)
        self._vocab_size = made.totals["vocab_size"]
        self._codec = Codec(TextTable(*token_bytes(text.decode(), self._vocab_size)), self._encoder)
        self._forgotten = load(self.stage.work_path(FORGOTTEN))

    def __call__(self, number: int) -> Receipt:
        """One shard; no file if no document begins in its range, as in the middle of a very long one."""
        item = self._items[number]
        encode = partial(self._encode, item.epoch)
        reader = DocumentReader(
            self.corpus, self.settings, COLUMNS, encode, self._encoder.places, self._vocab_size, self.seed, self._forgotten
        )
        windows = reader.windows(item.range)
        pending = [window for window in [next(windows, None)] if window]
        if not pending:
            return {"file": None, "totals": {}, "statistics": {}}
        counted: list[dict[str, Any]] = []
        rows = self._rows(self._builder(item.epoch), _popped(pending, windows), counted)
        metadata, compression = self._metadata(item), self.settings.compression
        written = write_file(self.stage.path(item.path), lambda file: write_shard(file, metadata, rows, compression=compression))
        first_pass = item.epoch == self.settings.epoch
        return _receipt(item, self.settings.context_length + 1, add_up(counted), written._asdict(), first_pass)

    def _rows(
        self, builder: RowBuilder, windows: Iterator[Window], counted: list[dict[str, Any]]
    ) -> Iterator[tuple[TokenIds, SegmentTable]]:
        """The rows of all windows, each let go before the next is read; what was counted of each goes into `counted`."""
        for window in windows:
            made = builder.build(window.documents)
            counted.append({"rows": len(made.input_ids), "stratum": made.statistics, "languages": window.languages})
            del window
            yield made.input_ids, made.segments
            del made

    def _builder(self, epoch: int) -> RowBuilder:
        table = self._codec.table
        return RowBuilder(
            objectives=build(self.settings.wanted, self.settings, Controls.of(self._control_ids), self._codec),
            mixtures=list(self.settings.mixtures.values()),
            ends_line=table.ends_line,
            starts_character=(table.flags & STARTS_CHARACTER) > 0,
            context_length=self.settings.context_length,
            vocab_size=self._vocab_size,
            padding_id=self._control_ids[PAD],
            seed=self.seed,
            epoch=epoch,
            pack=self.settings.pack,
            cut_at=self.settings.cut_at,
        )

    def _encode(self, epoch: int, table: pa.Table, begins: bool) -> MarkedIds:
        """Documents with their marks, and with the headers of an epoch if they begin here."""
        headers = None
        if begins and self.settings.metadata.rate > 0:
            keys = document_keys(doc_ids(table), self.seed, epoch)
            kind, repo, path, stars = (column(table, name) for name in ("kind", "repo", "path", "stars"))
            headers = draw_headers(keys, kind, repo, path, stars, self.settings.metadata)
        return encode_marked(self._encoder, column(table, "text"), column(table, "marks"), headers, self._control_ids)

    def _metadata(self, item: Item) -> ShardMetadata:
        return ShardMetadata(
            format_version=FORMAT_VERSION,
            source=item.range.stratum,
            context_length=self.settings.context_length,
            vocab_size=self._vocab_size,
            tokenizer_sha256=self._sha256,
            special_ids=self._control_ids,
            seed=self.seed,
            epoch=item.epoch,
            config_digest=digest_of(self.stage.config),
            objectives=self.settings.wanted,
        )


@dataclass
class CommitShards(Once):
    """Adds everything up and writes the manifest."""

    stage: Stage
    work: MakeShard

    def __call__(self, number: int) -> Receipt:
        """Commits the stage. Raises InputError if there is nothing to commit."""
        items = self.work.items()
        receipts = self.stage.all_receipts("shards", len(items))
        if not any(receipt["file"] for receipt in receipts):
            gone = len(load(self.stage.work_path(FORGOTTEN)))
            raise InputError(
                f"There is no document to make shards of: dedup left {self.work.corpus.dedup.manifest.totals['kept']:,}, and {gone:,} "
                "are on the list of forgotten ones. `spanmill stats` tells why documents were not kept."
            )
        totals = add_up(receipt["totals"] for receipt in receipts)
        statistics = add_up(receipt["statistics"] for receipt in receipts)
        self._check_all_are_there(statistics.get("strata", {}))
        self.stage.commit([FileEntry(**receipt["file"]) for receipt in receipts if receipt["file"]], totals, statistics)
        return {"shards": len(items)}

    def _check_all_are_there(self, strata: dict[str, Any]) -> None:
        """Raises AssertionError unless each epoch holds each document that dedup left, but for what was forgotten."""
        epochs, work = self.work.settings.epochs, self.work
        held_out = sum(counts["documents"] for name, counts in strata.items() if is_held_out(name))
        trained = sum(counts["documents"] for counts in strata.values()) - held_out
        kept, gone = work.corpus.dedup.manifest.totals["kept"], len(load(self.stage.work_path(FORGOTTEN)))
        there = held_out + trained // epochs
        if trained % epochs or not kept - gone <= there <= kept:
            raise AssertionError(
                f"documents lost: {trained} in {epochs} epochs and {held_out} held out are not the {kept} that dedup left"
                f"{f', {gone} forgotten ones apart' if gone else ''}"
            )


def _check_languages(recipe: Recipe, corpus: Corpus) -> None:
    """Raises ConfigError if objectives are set for a source or language that has no document."""
    known: dict[str, dict[str, Any]] = corpus.dedup.manifest.statistics["sources"]
    for name in recipe.shard.objectives_of:
        source, _, language = name.partition("/")
        if source not in known:
            if any(each.name == source for each in recipe.source):  # nothing of it was kept
                continue
            raise ConfigError(unknown_name("source in shard.objectives_of", source, known))
        if language and language not in known.get(source, {}):
            raise ConfigError(
                unknown_name("language in shard.objectives_of", name, [f"{source}/{each}" for each in known.get(source, {})])
            )


def _popped(pending: list[Window], windows: Iterator[Window]) -> Iterator[Window]:
    """Those that wait, then the others; none is held here."""
    while pending:
        yield pending.pop(0)
    while (window := next(windows, None)) is not None:
        pending.append(window)
        del window
        yield pending.pop()


TOTALS = ("documents", "text_tokens", "header_tokens", "grown_tokens", "control_tokens", "padding_tokens")
"""Of a shard's statistics, those that the manifest's totals have."""


def _receipt(item: Item, row_length: int, counted: dict[str, Any], written: dict[str, Any], first_pass: bool) -> Receipt:
    """Languages are counted once, however often their documents come."""
    rows, stratum = counted["rows"], item.range.stratum
    file = {"path": item.path, "rows": rows, "tokens": rows * row_length, "stratum": stratum, **written}
    counts = counted["stratum"]
    return {
        "file": file,
        "totals": {"rows": rows, "tokens": file["tokens"], **{name: counts[name] for name in TOTALS}},
        "statistics": {
            "strata": {stratum: {**counts, "rows": rows}},
            "languages": {source_of(stratum): counted["languages"]} if first_pass else {},
        },
    }

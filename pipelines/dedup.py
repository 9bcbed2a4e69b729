"""The dedup stage: which kept documents are duplicates, of which document, and how similar.

    sign      a part ─▶ signatures, and what ranks a document (stars, length, doc_id, content hash)
    rank      all documents ─▶ one priority order; exact duplicates; a node number, in that order, for every other document
    match     bands ─▶ blocks of (band key, node) exchanged through Beam ─▶ candidate pairs whose estimate is near the threshold
    group     candidate pairs ─▶ connected components, dealt to batches
    sets      a part ─▶ the shingle sets of its documents that are in any pair
    resolve   a batch ─▶ exact Jaccard of its pairs, and the greedy choice of keepers
    settle    all verdicts ─▶ removals/*.parquet, and for each part the rows that are gone
    mark      a part ─▶ counts

Blocks are numpy arrays as bytes, keyed by the number of a key range in four bytes: neither documents nor tokens are ever exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from contracts.manifest import FileEntry, Manifest
from dedup.banding import Banding, banding
from pipelines.corpus import document_parts, find
from pipelines.counts import add_up
from pipelines.dedup_steps.exchange import KEY_RANGES, EmitBlocks, MatchRange
from pipelines.dedup_steps.rank import RankDocuments, SignPart
from pipelines.dedup_steps.resolve import GroupPairs, MakeSets, ResolveBatch
from pipelines.dedup_steps.settle import MarkPart, SettleRemovals
from pipelines.engine import Engine, carried, stop_with, write_receipt
from pipelines.recipe import Recipe
from pipelines.stage import Receipt, Stage
from pipelines.storage import read_manifest

SIGN_RATE, SETS_RATE, MARK_RATE = 60e6, 60e6, 400e6
"""Bytes of text that a core does in a second, roughly; decide only whether workers are started."""

EXCHANGE_BYTES = 256 * 2**20
"""Bytes of blocks that one exchange may hold; the local runner needs 3 to 4 times as much memory. Decides how many bands go together."""

BLOCK_ROW = 16
"""Bytes of a block for each document and band: a key and a node."""


def dedup(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    curate_dir = find(run_dir, input_dir, "curate")
    curated = read_manifest(curate_dir)
    stage = Stage("dedup", run_dir, recipe.dedup.model_dump(mode="json"), recipe.dedup.seed, {"curate": curated.digest})
    work_to_do, words = stage.open()
    engine.reporter.say(f"dedup {words}" if words else "dedup")
    if not work_to_do:
        return read_manifest(stage.folder)
    return _run(recipe, stage, curate_dir, document_parts(curated), engine)


def _run(recipe: Recipe, stage: Stage, curate_dir: str, parts: list[FileEntry], engine: Engine) -> Manifest:
    settings, sizes = recipe.dedup, [part.bytes for part in parts]
    bands = banding(settings)
    signed = engine.run_step(stage, "sign", SignPart(stage, curate_dir, parts, settings), sizes, SIGN_RATE)
    documents = sum(receipt["documents"] for receipt in signed)
    engine.run_step(stage, "rank", RankDocuments(stage, len(parts)), [documents], 1e6)
    _match(stage, parts, bands, documents, recipe, engine)
    grouped = engine.run_step(stage, "group", GroupPairs(stage), [documents], 1e6)[0]
    engine.run_step(stage, "sets", MakeSets(stage, curate_dir, parts, settings), sizes, SETS_RATE)
    resolve = ResolveBatch(stage, settings.threshold)
    resolved = engine.run_step(stage, "resolve", resolve, grouped["batch_shingles"], 50e6)
    settled = engine.run_step(stage, "settle", SettleRemovals(stage, len(parts), grouped["batches"]), [documents], 1e6)[0]
    marked = engine.run_step(stage, "mark", MarkPart(stage, curate_dir, parts), sizes, MARK_RATE)
    return _commit(stage, parts, bands, settled, resolved, marked, recipe)


def _match(stage: Stage, parts: list[FileEntry], bands: Banding, documents: int, recipe: Recipe, engine: Engine) -> None:
    """All bands, as many at a time as the exchange may hold."""
    together = max(1, EXCHANGE_BYTES // max(1, documents * BLOCK_ROW))
    for first in range(0, bands.bands, together):
        chosen = range(first, min(bands.bands, first + together))
        step = f"match-{first:03d}"
        done = stage.done(step)
        if len(done) == KEY_RANGES:
            continue
        emit = EmitBlocks(stage, bands, chosen, frozenset(done))
        match = MatchRange(stage, recipe.dedup, step, len(parts))
        seconds = documents * len(chosen) / 2e6
        sizes = [documents * len(chosen) * BLOCK_ROW // KEY_RANGES] * KEY_RANGES
        label = f"{stage.name}: bands {first + 1} to {chosen[-1] + 1} of {bands.bands}"
        with engine.reporter.watch(label, lambda step=step: stage.done(step), sizes, KEY_RANGES - len(done)):  # type: ignore[misc]
            engine.run(
                lambda pipeline, emit=emit, match=match, step=step: (
                    pipeline  # type: ignore[misc]
                    | "Parts" >> beam.Create(range(len(parts)), reshuffle=False)
                    | "Exchange" >> Exchange(emit, match, f"{stage.progress}/{step}", engine.submitter)
                ),
                label,
                seconds,
                KEY_RANGES,
            )


class Exchange(beam.PTransform):
    """Part numbers to key ranges whose candidate pairs are written."""

    def __init__(self, emit: EmitBlocks, match: MatchRange, folder: str, submitter: int) -> None:
        super().__init__()
        self.emit, self.match, self.folder, self.submitter = emit, match, folder, submitter

    def expand(self, number: PCollection[int]) -> PCollection[int]:
        """Blocks keyed by range, grouped, matched."""
        range_to_block = number | "Spread" >> beam.Reshuffle() | "Blocks" >> beam.ParDo(_Emit(self.emit, self.submitter))
        # Every range gets an empty block, so that each leaves a receipt even where no document falls into it.
        empty = number.pipeline | "Ranges" >> beam.Create(self.emit.empty_blocks(), reshuffle=False)
        range_to_blocks = (range_to_block, empty) | beam.Flatten() | "Group" >> beam.GroupByKey()
        done: PCollection[int] = range_to_blocks | "Match" >> beam.ParDo(_Match(self.match, self.folder, self.submitter))
        return done


class _Emit(beam.DoFn):
    def __init__(self, emit: EmitBlocks, submitter: int) -> None:
        self.emit, self.submitter = emit, submitter

    def setup(self) -> None:
        stop_with(self.submitter)

    def process(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        with carried():
            yield from self.emit(number)


class _Match(beam.DoFn):
    def __init__(self, match: MatchRange, folder: str, submitter: int) -> None:
        self.match, self.folder, self.submitter = match, folder, submitter

    def setup(self) -> None:
        stop_with(self.submitter)

    def process(self, range_to_blocks: tuple[bytes, Any]) -> Iterator[int]:
        number = int.from_bytes(range_to_blocks[0], "big")
        with carried():
            write_receipt(self.folder, number, self.match(number, range_to_blocks[1]))
        yield number


def _commit(
    stage: Stage,
    parts: list[FileEntry],
    bands: Banding,
    settled: Receipt,
    resolved: list[Receipt],
    marked: list[Receipt],
    recipe: Recipe,
) -> Manifest:
    totals = add_up(receipt["totals"] for receipt in marked)
    totals |= {
        "candidate_pairs": sum(each["pairs"] for each in resolved),
        "verified_pairs": sum(each["verified"] for each in resolved),
    }
    statistics = {
        **add_up(receipt["statistics"] for receipt in marked),
        "part_bytes": {part.path: receipt["totals"]["bytes_kept"] for part, receipt in zip(parts, marked, strict=True)},
        "source_bytes": add_up({part.stratum: r["totals"]["bytes_kept"]} for part, r in zip(parts, marked, strict=True)),
        "jaccard_histogram": settled["jaccard_histogram"],
        "cluster_size_log2_histogram": settled["cluster_size_log2_histogram"],
        "bands": bands.bands,
        "rows": bands.rows,
        "expected_recall_at_threshold": round(float(bands.recall_at(recipe.dedup.threshold)), 6),
    }
    return stage.commit([FileEntry(**entry) for entry in settled["files"]], totals, statistics)

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

from dataclasses import dataclass

from contracts.manifest import FileEntry, Manifest
from dedup.banding import Banding, banding
from pipelines.corpus import Committed, find
from pipelines.counts import add_up
from pipelines.dedup_steps.exchange import BLOCK_ROW, KEY_RANGES, EmitBlocks, MatchRange, pairs_file
from pipelines.dedup_steps.rank import RankDocuments, SignPart
from pipelines.dedup_steps.resolve import GroupPairs, MakeSets, ResolveBatch
from pipelines.dedup_steps.settle import MarkPart, SettleRemovals
from pipelines.engine import Engine
from pipelines.graph import Exchange, Items, Once, Step
from pipelines.recipe import Recipe
from pipelines.stage import Receipt, Stage

RATE = 25e6
"""Stored bytes of documents that a core deduplicates in a second, roughly; decides only whether workers are started."""

EXCHANGE_BYTES = 256 * 2**20
"""Bytes of blocks that one exchange may hold; the local runner needs 3 to 4 times as much memory. Decides how many bands go together."""


RANK_BYTES = 200
"""Bytes of memory that ranking takes a document, on one worker."""


def dedup(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    curated = find(run_dir, input_dir, "curate")
    stage = Stage("dedup", run_dir, recipe.dedup.model_dump(mode="json"), recipe.dedup.seed, {"curate": curated.digest})
    if made := engine.finished(stage):
        return made
    memory = max(6 * recipe.part_bytes, RANK_BYTES * curated.manifest.totals["kept"], 2 * EXCHANGE_BYTES // KEY_RANGES)
    return engine.run(stage, steps(recipe, stage, curated), sum(part.bytes for part in curated.parts()) / RATE, memory)


def steps(recipe: Recipe, stage: Stage, curated: Committed) -> list[Step]:
    """The stage's steps, in order."""
    settings, parts, documents = recipe.dedup, len(curated.parts()), curated.manifest.totals["kept"]
    bands = banding(settings)
    passes = band_passes(bands, documents)
    matches = [
        Exchange(
            name,
            EmitBlocks(stage, curated, bands, chosen),
            MatchRange(stage, settings, name, parts, documents * len(chosen)),
        )
        for name, chosen in passes.items()
    ]
    pair_files = [pairs_file(name, number) for name in passes for number in range(KEY_RANGES)]
    return [
        Items("sign", SignPart(stage, curated, settings)),
        Items("rank", RankDocuments(stage, parts, documents)),
        *matches,
        Items("group", GroupPairs(stage, parts, pair_files)),
        Items("sets", MakeSets(stage, curated, settings)),
        Items("resolve", ResolveBatch(stage, settings.threshold)),
        Items("settle", SettleRemovals(stage, parts)),
        Items("mark", MarkPart(stage, curated)),
        Items("commit", CommitDedup(stage, curated, bands, settings.threshold)),
    ]


def band_passes(bands: Banding, documents: int) -> dict[str, range]:
    """All bands, as many at a time as an exchange may hold, by the name of their step."""
    together = max(1, EXCHANGE_BYTES // max(1, documents * BLOCK_ROW))
    firsts = range(0, bands.bands, together)
    return {f"match-{first:03d}": range(first, min(bands.bands, first + together)) for first in firsts}


@dataclass
class CommitDedup(Once):
    """Adds everything up and writes the manifest."""

    stage: Stage
    curated: Committed
    bands: Banding
    threshold: float

    def __call__(self, number: int) -> Receipt:
        """Commits the stage."""
        parts = self.curated.parts()
        marked = self.stage.all_receipts("mark", len(parts))
        settled = self.stage.all_receipts("settle", 1)[0]
        resolved = self.stage.all_receipts("resolve", self.stage.all_receipts("group", 1)[0]["batches"])
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
            "bands": self.bands.bands,
            "rows": self.bands.rows,
            "expected_recall_at_threshold": round(float(self.bands.recall_at(self.threshold)), 6),
        }
        self.stage.commit([FileEntry(**entry) for entry in settled["files"]], totals, statistics)
        return {"parts": len(parts)}

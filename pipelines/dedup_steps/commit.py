"""Adding everything up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.errors import SpanmillError
from contracts.manifest import FileEntry
from dedup.banding import Banding
from dedup.recall import expected_recall, measured_recall
from pipelines.corpus import read_part
from pipelines.counts import add_up
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.layout import Layout, Passes
from pipelines.dedup_steps.removals import LARGEST
from pipelines.graph import Once
from pipelines.rows import parts_of, rows_of
from pipelines.stage import Receipt, Stage


@dataclass
class CommitDedup(Once):
    """Adds everything up, holds it against the law, and writes the manifest."""

    stage: Stage
    collection: Collection
    bands: Banding
    layout: Layout
    settle: Passes
    mark: Passes
    threshold: float

    def __call__(self, number: int) -> Receipt:
        """Commits the stage."""
        own = self.collection.places[: self.collection.own_parts]
        marked, settled = self.mark.receipts(self.stage), self.settle.receipts(self.stage)
        buckets = self.layout.removals.receipts(self.stage)
        files = [FileEntry(**entry) for receipt in [*settled, *buckets] for entry in receipt["files"]]
        totals = add_up(receipt["totals"] for receipt in marked)
        _check_law(totals, files)
        by_part = {place.part.path: receipt["totals"]["bytes_kept"] for place, receipt in zip(own, marked, strict=True)}
        by_source = [{place.part.stratum: r["totals"]["bytes_kept"]} for place, r in zip(own, marked, strict=True)]
        statistics = {
            **add_up([{"sources": {}}, *(receipt["statistics"] for receipt in marked)]),
            "part_bytes": by_part,
            "source_bytes": add_up(by_source),
            **self._clusters(buckets),
            **self._recall(),
        }
        self.stage.commit(files, totals | self._pairs(), statistics)
        return {"parts": len(own)}

    def _pairs(self) -> dict[str, int]:
        ranges = self.layout.pair_ranges
        joined, measured = self.stage.all_receipts("pairs", ranges), self.stage.all_receipts("measure", ranges)
        return {
            "candidate_pairs": sum(each["pairs"] for each in joined),
            "measured_pairs": sum(each["near"] for each in joined),
            "verified_pairs": sum(each["edges"] for each in measured),
        }

    def _recall(self) -> dict[str, Any]:
        found = add_up(
            {name: each[name] for name in ("hits", "similarity")}
            for each in self.stage.all_receipts("measure", self.layout.pair_ranges)
        )
        return {
            "bands": self.bands.bands,
            "rows": self.bands.rows,
            "expected_recall_at_threshold": float(self.bands.recall_at(self.threshold)),
            "expected_recall": expected_recall(self.bands, found["similarity"]),
            "measured_recall": measured_recall(found["hits"]),
            "hits_histogram": found["hits"],
        }

    def _clusters(self, buckets: list[Receipt]) -> dict[str, Any]:
        largest = sorted(each for receipt in buckets for each in receipt["largest"])[:LARGEST]
        counted = ("jaccard_histogram", "cluster_size_log2_histogram")
        return {
            **add_up({name: receipt[name] for name in counted} for receipt in buckets),
            "largest_clusters": [
                {"keeper_id": keeper, "documents": -size, **self._example(address)} for size, keeper, address in largest
            ],
        }

    def _example(self, address: int) -> dict[str, str]:
        """What is known of one document."""
        place = self.collection.places[int(parts_of(address))]  # type: ignore[arg-type]
        names = ("source", "language", "repo", "path")
        row = read_part(place.corpus.curate.folder, place.part, names).slice(int(rows_of(address)), 1).to_pylist()[0]  # type: ignore[arg-type]
        return {**row, "reference": place.corpus.reference}


def _check_law(totals: dict[str, int], files: list[FileEntry]) -> None:
    rows = [sum(entry.rows for entry in files if entry.path.startswith(kind)) for kind in ("removals/", "removed_rows/")]
    if not rows[0] == rows[1] == totals.get("removed", 0):
        raise SpanmillError(
            f"dedup: {rows[0]:,} removal rows, {rows[1]:,} removed rows and {totals.get('removed', 0):,} removed documents do not agree. "
            "This is a bug; nothing was committed."
        )

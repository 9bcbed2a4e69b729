"""Curate and dedup by configs/dedup_truth.toml on real files whose similar pairs are all known. Skipped where they are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from run_the_line import QUIET

from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.recipe import Recipe, load

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "dedup_truth.toml"
ENGINE = Engine(("--direct_running_mode=in_memory",), QUIET)


class Curated(NamedTuple):
    """A run that has its curate stage, and what is true of its documents."""

    source: Path
    run_dir: Path
    order: list[bytes]
    """Every doc_id, those to keep first."""
    similar: dict[bytes, dict[bytes, float]]
    """Similarity of every pair that reaches 0.5, in both directions."""

    def above(self, doc_id: bytes, threshold: float) -> set[bytes]:
        return {other for other, jaccard in self.similar[doc_id].items() if jaccard >= threshold}

    def removed_by_the_rule(self, threshold: float) -> set[bytes]:
        """By greedy choice on the complete graph, written as plainly as it is said."""
        kept: set[bytes] = set()
        for doc_id in self.order:
            if not self.above(doc_id, threshold) & kept:
                kept.add(doc_id)
        return set(self.order) - kept


@pytest.fixture(scope="module")
def curated(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    truth, run_dir = corpora / "dedup_truth", tmp_path_factory.mktemp("truth")
    if not (truth / "pairs.parquet").exists():
        pytest.skip(f"there is no pairs.parquet in {truth}")
    curate(recipe(truth / "docs.parquet"), str(run_dir), ENGINE)
    rows = pq.read_table(run_dir / "curate/documents", columns=["doc_id", "origin", "stars", "text"]).to_pylist()
    similar: dict[bytes, dict[bytes, float]] = {row["doc_id"]: {} for row in rows}
    by_number = {int(row["origin"].partition("#")[2]): row["doc_id"] for row in rows}
    for pair in pq.read_table(truth / "pairs.parquet").to_pylist():
        a, b = by_number[pair["i"]], by_number[pair["j"]]
        similar[a][b] = similar[b][a] = pair["jaccard"]
    return Curated(truth / "docs.parquet", run_dir, [row["doc_id"] for row in sorted(rows, key=priority)], similar)


def recipe(source: Path, *settings: str) -> Recipe:
    return load(str(CONFIG), [f"source.0.path={source}", *settings])


def priority(row: dict[str, Any]) -> tuple[int, int, bytes]:
    """Most stars first, unknown last, then the longest, then the least doc_id."""
    stars = -1 if row["stars"] is None else row["stars"]
    return (-stars, -len(row["text"].encode()), row["doc_id"])


@pytest.mark.slow
def test_no_file_is_left_out(curated: Curated) -> None:
    assert len(curated.order) == 19_992
    assert len(set(curated.order)) == 19_992


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "recall"), [(0.7, 0.99), (0.8, 0.999), (0.85, 0.999)])
def test_removals_are_right_and_nearly_complete(curated: Curated, threshold: float, recall: float, tmp_path: Path) -> None:
    dedup(recipe(curated.source, f"dedup.threshold={threshold}"), str(tmp_path), str(curated.run_dir), ENGINE)
    rows = pq.read_table(tmp_path / "dedup/removals", columns=["doc_id", "keeper_id", "jaccard"]).to_pylist()
    removed = {row["doc_id"] for row in rows}
    assert len(removed) == len(rows)
    for row in rows:
        assert row["keeper_id"] not in removed
        true = curated.similar[row["doc_id"]].get(row["keeper_id"], 0.0)
        assert true >= threshold
        assert row["jaccard"] == pytest.approx(true, abs=1e-6)
    wanted = curated.removed_by_the_rule(threshold)
    assert len(removed & wanted) / len(wanted) >= recall

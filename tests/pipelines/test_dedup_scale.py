"""The dedup stage on made-up signatures with planted duplicates: benchmarks/dedup_scale.py at a small size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from run_the_line import QUIET
from synthetic_run import Planted, make_run
from synthetic_score import score

from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.recipe import Recipe

ENGINE = Engine(("--direct_running_mode=in_memory",), QUIET)

PLANTED = Planted(20_000, seed=5)

THRESHOLD = 0.7

Removals = list[tuple[bytes, bytes, float, str]]
Deduplicate = Callable[..., tuple[Path, Removals]]


@pytest.fixture(scope="module")
def deduplicated(tmp_path_factory: pytest.TempPathFactory) -> Deduplicate:
    """The run of a number of parts, and its removals."""

    def made(parts: int, **exchange: object) -> tuple[Path, Removals]:
        run_dir = tmp_path_factory.mktemp("run")
        recipe = Recipe.model_validate({"dedup": {"verify": "estimate", "threshold": THRESHOLD, "exchange": exchange}})
        make_run(run_dir, PLANTED, recipe.dedup, parts)
        dedup(recipe, str(run_dir), "", ENGINE)
        rows = pq.read_table(run_dir / "dedup" / "removals", columns=["doc_id", "keeper_id", "jaccard", "kind"])
        return run_dir, list(zip(*(column.to_pylist() for column in rows.columns), strict=True))

    return made


@pytest.fixture(scope="module")
def in_four(deduplicated: Deduplicate) -> tuple[Path, Removals]:
    return deduplicated(4)


def test_what_goes_is_what_was_planted(in_four: tuple[Path, Removals]) -> None:
    run_dir, removals = in_four
    found = score(run_dir, PLANTED, THRESHOLD)
    assert found.removed == len(removals)
    assert found.wrong == 0
    assert found.wanted > 2_400, "of 1,000 copies and 3,000 in clusters"
    assert found.recall > 0.9995
    assert found.left <= 1


def test_a_removal_that_should_not_be_is_noticed(in_four: tuple[Path, Removals]) -> None:
    run_dir, removals = in_four
    above = sum(jaccard < 0.8 for _, _, jaccard, _ in removals)
    assert score(run_dir, PLANTED, 0.8).wrong >= above > 100


@pytest.mark.slow
def test_parts_and_exchanges_change_no_removal(in_four: tuple[Path, Removals], deduplicated: Deduplicate) -> None:
    _, one = in_four
    _, other = deduplicated(13, bytes=2**21, components="stars", star_rounds=8)
    assert one == other


def test_a_document_is_the_same_whoever_makes_it() -> None:
    ids = np.random.default_rng(0).permutation(PLANTED.documents)
    every = PLANTED.signatures(np.arange(PLANTED.documents))
    np.testing.assert_array_equal(PLANTED.signatures(ids[:500]), every[ids[:500]])
    np.testing.assert_array_equal(PLANTED.ids(PLANTED.doc_id(ids)), ids)


def test_similarities_are_as_planned() -> None:
    truth = PLANTED.truth()
    off = PLANTED.estimates(truth["document"], truth["base"]) - truth["similarity"]
    assert np.abs(off).max() < 0.2, "six standard errors of 256 permutations"
    assert abs(off.mean()) < 0.002
    assert len(truth) == len(set(truth["document"].tolist()))
    assert 0.17 < len(truth) / PLANTED.documents < 0.18
    sizes = np.bincount(PLANTED.family(truth["document"]))
    assert sorted(sizes[sizes > 100])[-1] >= 0.01 * PLANTED.documents - 1


def test_documents_alone_resemble_nobody() -> None:
    alone = np.asarray(PLANTED.section("alone"))[:2_000]
    assert PLANTED.estimates(alone[:-1], alone[1:]).max() < 0.05
    assert (PLANTED.parent(alone) == -1).all()

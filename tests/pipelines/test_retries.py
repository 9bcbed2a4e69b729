"""Engines run bundles again: after a crash half-way, and beside one that is slow. No byte may depend on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import retrying_runner
from made_up_corpus import recipe_values
from run_the_line import QUIET, digests, run

from pipelines.engine import Engine
from pipelines.recipe import Recipe


def test_bundles_that_run_twice_and_half_way_give_the_same_bytes(
    made: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retrying_runner.RECEIPTS, str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    run(Recipe(**recipe_values(corpus)), tmp_path / "run", Engine(("--runner=retrying_runner.RetryingRunner",), QUIET))
    assert digests(tmp_path / "run") == digests(made)
    for stage in ("curate", "signatures", "dedup", "tokenizer", "shard"):
        assert (tmp_path / "run" / stage / "manifest.json").read_bytes() == (made / stage / "manifest.json").read_bytes()
    assert all(count >= 20 for count in retrying_runner.COUNTS.values()), retrying_runner.COUNTS

"""What is said when shards are others than those that were trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ShardError
from trainer.config import TrainSettings
from trainer.train import train

SETTINGS = TrainSettings(
    steps=2, batch_size=2, micro_batch_size=2, dim=16, layers=1, heads=2, warmup_steps=0, eval_rows=4, threads=1, device="cpu"
)

Change = Callable[[dict[str, Any]], None]


def edit(run: Path, change: Change) -> None:
    """Makes the shards' manifest that of others."""
    path = run / "shard" / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def as_committed(values: dict[str, Any]) -> None:
    values["config"] = {"context_length": 64, "fim": {"rate": 0.5}}
    values["upstream"] = {"curate": "a", "dedup": "b", "tokenizer": "c"}
    values["versions"] = {"numpy": "2.1"}
    values["statistics"] = {"languages": {"code": {"python": {"documents": 5}}, "prose": {"": {"documents": 4}}}}


def other_files(values: dict[str, Any]) -> None:
    values["files"][0]["xxh3_64"] = "0" * 16


def forgotten(values: dict[str, Any]) -> None:
    other_files(values)
    values["statistics"]["languages"]["code"]["python"]["documents"] = 2


def other_settings(values: dict[str, Any]) -> None:
    forgotten(values)
    values["config"] = {"context_length": 64, "fim": {"rate": 0.9}, "held_out": 0.1}
    values["seed"] = 7


def other_stages(values: dict[str, Any]) -> None:
    forgotten(values)
    values["upstream"] |= {"curate": "x", "tokenizer": "y"}
    values["versions"] = {"numpy": "2.2"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (forgotten, "they were made again without 3 documents that were forgotten since. So step 2 is"),
        (
            other_settings,
            "seed was 0, now 7; shard.fim.rate was 0.5, now 0.9; shard.held_out was None, now 0.1; and 1 more. So step 2 is",
        ),
        (other_stages, "numpy was '2.1', now '2.2'; curate and tokenizer were made again. So step 2 is"),
        (other_files, "shards differ. So step 2 is"),
    ],
)
def test_what_differs_is_named_and_the_ways_out(tiny_run: Path, tmp_path: Path, change: Change, words: str) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    edit(run, as_committed)
    train(run, SETTINGS)
    edit(run, change)
    with pytest.raises(ShardError) as error:
        train(run, SETTINGS)
    assert f"{run}/train was trained on other shards than those in {run}/shard: {words}" in str(error.value)
    assert f"Remove {run}/train to train anew on these, choose another --output, or bring back those" in str(error.value)
    shutil.rmtree(run / "train")
    assert train(run, SETTINGS).steps == 2

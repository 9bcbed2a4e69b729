"""Training on shards of which documents were forgotten, before, while, and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.manifest import Manifest
from sharding.forgotten import MASK_PATH, Mask, Places, mask_bytes
from sharding.shards import Shard
from trainer.checkpoint import require_newest
from trainer.config import TrainSettings
from trainer.train import Progress, train

Fresh = Callable[[str], Path]

SETTINGS = TrainSettings(
    steps=3,
    dim=16,
    layers=1,
    heads=2,
    batch_size=4,
    micro_batch_size=2,
    eval_every=3,
    checkpoint_every=3,
    warmup_steps=1,
    device="cpu",
    threads=1,
)


def forget(run: Path, of_rows: int) -> Mask:
    """Hides every segment of all but one in `of_rows` rows."""
    stage, places = run / "shard", {}
    manifest = Manifest.from_json((stage / "manifest.json").read_text(), "")
    for entry in manifest.files:
        table = Shard.open(str(stage / entry.path)).segment_table()
        row = np.repeat(np.arange(table.rows), np.diff(table.row_offsets))
        number = (np.arange(len(row)) - table.row_offsets[row]).astype(np.int32)
        gone = (table.kind > 0) & ((row % of_rows > 0) | (of_rows == 1))
        places[entry.path] = Places(row[gone], number[gone], table.length[gone], table.doc_id[gone])
    (stage / "forgotten").mkdir(exist_ok=True)
    (stage / MASK_PATH).write_bytes(mask_bytes(manifest.digest, places))
    mask = Mask.open(str(stage), manifest.digest)
    assert mask is not None
    return mask


def made(run: Path) -> Manifest:
    return Manifest.from_json((run / "train/manifest.json").read_text(), "")


def stop_after(step: int) -> Callable[[Progress], None]:
    def progress(report: Progress) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("lost", ["", "manifest.json"])
def test_a_finished_training_says_that_it_saw_what_is_forgotten_since_and_stays_as_it_is(fresh_run: Fresh, lost: str) -> None:
    run, said = fresh_run("run"), []
    train(run, SETTINGS)
    before, files = made(run), {path: path.read_bytes() for path in (run / "train").rglob("*") if path.is_file()}
    mask = forget(run, 3)
    if lost:
        (run / "train" / lost).unlink()
    train(run, SETTINGS, say=said.append)
    assert {path: path.read_bytes() for path in (run / "train").rglob("*") if path.is_file()} == files
    assert "forgotten" not in before.upstream
    assert before.statistics["masks"] == [{"first_step": 1, "forgotten": "", "documents": 0}]
    assert said[0] == ("train goes on at step 3" if lost else "train is up to date")
    (words,) = said[1:]
    assert words.startswith(f"  {mask.totals['documents']} documents forgotten since: all its steps were taken before")
    assert f"remove {run}/train and train again, or train in a new output folder (--input {run})" in words


def test_a_training_that_goes_on_remembers_which_steps_saw_what(fresh_run: Fresh) -> None:
    run, said = fresh_run("run"), []
    with pytest.raises(KeyboardInterrupt):
        train(run, SETTINGS, stop_after(2))
    mask = forget(run, 3)
    train(run, SETTINGS, say=said.append)
    assert made(run).upstream["forgotten"] == mask.digest
    hidden = mask.totals["documents"]
    stretches = [(each["first_step"], each["forgotten"], each["documents"]) for each in made(run).statistics["masks"]]
    assert stretches == [(1, "", 0), (3, mask.digest, hidden)]
    train(run, SETTINGS, say=said.append)
    assert said[0] == "train goes on at step 2"
    assert f"{hidden} documents forgotten since: all its steps were taken before" in said[1]
    assert said[2] == "train is up to date"
    assert f"{hidden} documents forgotten since: its steps up to 2 were taken before" in said[3]


def test_a_training_under_the_mask_of_now_has_nothing_to_say(fresh_run: Fresh) -> None:
    run, said = fresh_run("run"), []
    mask = forget(run, 3)
    train(run, SETTINGS, say=said.append)
    train(run, SETTINGS, say=said.append)
    assert said == ["train", "train is up to date"]
    assert made(run).upstream["forgotten"] == mask.digest
    (run / "shard" / MASK_PATH).unlink()  # taken back: nothing was seen that should not have been
    train(run, SETTINGS, say=said.append)
    assert said[2:] == ["train is up to date"]


@pytest.mark.parametrize("of_rows", [3, 1])
def test_a_run_learns_from_what_is_left(fresh_run: Fresh, of_rows: int) -> None:
    """Even when nothing is left."""
    other = fresh_run("other")
    forget(other, of_rows)
    train(other, SETTINGS)
    log = [json.loads(line) for line in (other / "train/log.jsonl").read_text().splitlines()]
    assert any(entry["train"] for entry in log) == (of_rows > 1)
    saved = require_newest(other / "train" / "checkpoints")
    assert all(bool(weight.isfinite().all()) for weight in saved.model.values())
    assert "NaN" not in (other / "train/manifest.json").read_text()

"""Training on shards of which documents were forgotten."""

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
from trainer.train import train

SETTINGS = TrainSettings(
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


@pytest.mark.parametrize("of_rows", [3, 1])
def test_a_run_goes_on_when_documents_are_forgotten_and_says_which(fresh_run: Callable[[str], Path], of_rows: int) -> None:
    """Even when nothing is left to learn from."""
    run = fresh_run("run")
    train(run, SETTINGS.model_copy(update={"steps": 3}), lambda report: None)
    before = Manifest.from_json((run / "train/manifest.json").read_text(), "")
    assert "forgotten" not in before.upstream
    mask = forget(run, of_rows)
    (run / "train/manifest.json").unlink()
    train(run, SETTINGS.model_copy(update={"steps": 3}), lambda report: None)
    after = Manifest.from_json((run / "train/manifest.json").read_text(), "")
    assert after.upstream == {"shard": before.upstream["shard"], "forgotten": mask.digest}
    other = fresh_run("other")
    forget(other, of_rows)
    train(other, SETTINGS.model_copy(update={"steps": 3}), lambda report: None)
    log = [json.loads(line) for line in (other / "train/log.jsonl").read_text().splitlines()]
    assert any(entry["train"] for entry in log) == (of_rows > 1)
    saved = require_newest(other / "train" / "checkpoints")
    assert all(bool(weight.isfinite().all()) for weight in saved.model.values())
    assert "NaN" not in (other / "train/manifest.json").read_text()

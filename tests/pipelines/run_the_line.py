"""The four stages as one call, and what is compared of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from contracts.manifest import Manifest
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.tokenizer import tokenizer

QUIET = Reporter(quiet=True)


def run(recipe: Recipe, run_dir: Path, engine: Engine) -> dict[str, Manifest]:
    made = {"curate": curate(recipe, str(run_dir), engine)}
    for name, stage in (("dedup", dedup), ("tokenizer", tokenizer), ("shard", shard)):
        made[name] = stage(recipe, str(run_dir), "", engine)
    return made


def digests(run_dir: Path) -> dict[str, str]:
    """sha256 of every file that other people use: all but manifests and the tables of where inputs lay."""
    files = sorted(path for path in run_dir.rglob("*") if path.is_file())
    wanted = [path for path in files if path.name not in ("manifest.json", "inputs.parquet")]
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in wanted}

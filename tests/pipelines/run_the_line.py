"""The four stages as one call, and what is compared of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from contracts.manifest import Manifest
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.tokenizer import tokenizer
from sharding.check import restored_bytes
from sharding.objectives import TextTable
from sharding.shards import Shard
from tokenizer.token_bytes import token_bytes

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


def kept_texts(run_dir: Path) -> dict[bytes, str]:
    """By doc_id: the documents that dedup left."""
    removals = [pq.read_table(path)["doc_id"].to_pylist() for path in (run_dir / "dedup/removals").iterdir()]
    gone = {doc_id for part in removals for doc_id in part}
    rows = [row for path in (run_dir / "curate/documents").iterdir() for row in pq.read_table(path).to_pylist()]
    return {row["doc_id"]: row["text"] for row in rows if row["doc_id"] not in gone}


def texts_of(shards: Path, run_dir: Path) -> dict[bytes, str]:
    """By doc_id: the documents that come back from the rows of a folder of shards; the run holds their tokenizer."""
    text = (run_dir / "tokenizer/tokenizer.json").read_text()
    table = TextTable(*token_bytes(text, Tokenizer.from_str(text).get_vocab_size()))
    restored = restored_bytes((Shard.open(str(path)) for path in sorted(shards.rglob("*.arrow"))), table)
    return {doc_id: content.decode() for doc_id, content in restored}

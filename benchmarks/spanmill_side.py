"""Our side of benchmarks/stages.py: the recipe, the commands, and what came of them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bench_corpus import write
from bench_process import ONE_THREAD, Usage, run

from contracts.manifest import Manifest
from pipelines.corpus import find_corpus
from pipelines.storage import read_manifest

STAGES = ("curate", "dedup", "tokenizer", "shard")

ONE_WORKER = ("--direct_running_mode=in_memory", "--direct_num_workers=1")

RECIPE = """
part_bytes = 8_000_000

[tokenizer]
sample_bytes = {sample_bytes}

[shard]
window_bytes = 16_000_000
"""
"""Parts and windows small enough that every core gets several even from a small corpus; the rest are defaults."""

SOURCE = """
[[source]]
name = "{kind}"
type = "parquet"
path = "{path}"
kind = "{kind}"
license_policy = "{policy}"
columns = {{ id = "id", language = "language", repo = "repo", path = "path", stars = "stars", licenses = "licenses" }}
"""

POLICY = {"code": "require", "prose": "keep_unknown"}
"""The prose of the corpora names its licences in words, if at all."""

TINY_DOCUMENTS = 20
"""Documents of each source in the corpus that start-up is measured on."""


@dataclass(frozen=True)
class Line:
    """A corpus, and a run of ours on it."""

    corpus: Path
    run_dir: Path
    sample_bytes: int

    def write_recipe(self) -> None:
        """Writes the recipe; its sources are the folders that the corpus has."""
        kinds = [kind for kind in POLICY if (self.corpus / kind).exists()]
        sources = [SOURCE.format(kind=kind, path=(self.corpus / kind).resolve(), policy=POLICY[kind]) for kind in kinds]
        self._recipe.write_text(RECIPE.format(sample_bytes=self.sample_bytes) + "".join(sources))

    def stage(self, name: str) -> Callable[[], Usage]:
        """Runs one stage again, with one worker."""
        again = {"curate": ["survey", name], "dedup": ["signatures", name]}.get(name, [name])
        return lambda: self._make([name], [self.run_dir / each for each in again], ONE_WORKER, ONE_THREAD)

    def whole(self) -> Callable[[], Usage]:
        """Runs curate to shard in one process, with one worker."""
        return lambda: self._make(["run", "--until", "shard"], [self.run_dir], ONE_WORKER, ONE_THREAD)

    def all_cores(self) -> Callable[[], Usage]:
        """The same as it runs by default: with all cores where a step is worth it."""
        return lambda: self._make(["run", "--until", "shard"], [self.run_dir], (), {})

    def manifest(self, stage: str) -> Manifest:
        """What a stage made."""
        return read_manifest(str(self.run_dir / stage))

    @property
    def tokenizer(self) -> Path:
        """The vocabulary that was trained."""
        return self.run_dir / "tokenizer" / "tokenizer.json"

    @property
    def curated(self) -> Path:
        """Parquet files that the dedup of every side reads."""
        return self.run_dir / "curate" / "documents"

    def write_kept(self, folder: Path) -> None:
        """Writes what dedup kept: the documents that our shard stage reads, for sides that do not know removed rows."""
        corpus = find_corpus(str(self.run_dir), "")
        for number, part in enumerate(corpus.parts()):
            write(corpus.read(part, ("doc_id", "text")), folder / f"{number:05d}.parquet")

    def write_tiny(self, folder: Path) -> None:
        """Writes a few documents of each source as a corpus of its own, under a licence that lets them through."""
        for kind in POLICY:
            for path in sorted((self.corpus / kind).glob("*.parquet"))[:1]:
                few = next(pq.ParquetFile(path).iter_batches(TINY_DOCUMENTS))
                licensed = few.set_column(few.schema.get_field_index("licenses"), "licenses", pa.array([["MIT"]] * few.num_rows))
                write(pa.Table.from_batches([licensed]), folder / kind / "00000.parquet")

    def _make(self, command: list[str], again: list[Path], beam: tuple[str, ...], threads: dict[str, str]) -> Usage:
        for folder in again:
            shutil.rmtree(folder, ignore_errors=True)
        script = Path(__file__).parent.parent / "beam_runner.py"
        options = ["--quiet", "--config", str(self._recipe), "--output", str(self.run_dir)]
        return run([sys.executable, script, *command, *options, *beam], threads)

    @property
    def _recipe(self) -> Path:
        return self.run_dir.with_suffix(".toml")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

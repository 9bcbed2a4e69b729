"""datatrove's side of benchmarks/stages.py: an environment of its own, since its dependencies are not ours, and the commands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bench_process import ONE_THREAD, Usage, run

from pipelines.filters.permissive import PERMISSIVE

VERSION = "0.10.1"

REQUIREMENTS = (f"datatrove[io,processing]=={VERSION}", "spacy==3.8.18")
"""spaCy: datatrove's word splitter for English, which its extras leave out. A blank pipeline is used, so no model is downloaded."""

ENVIRONMENT = Path(__file__).parent.parent / ".venv-bench"


@dataclass(frozen=True)
class Datatrove:
    """Its commands, writing below a folder."""

    python: Path
    folder: Path

    def curate(self, corpus: Path, tasks: int = 1) -> Callable[[], Usage]:
        """Reads the raw corpus and filters it."""
        licenses = self.folder / "licenses.json"
        licenses.parent.mkdir(parents=True, exist_ok=True)
        licenses.write_text(json.dumps(PERMISSIVE))
        return self._command("curate", corpus, tasks, "--licenses", licenses)

    def dedup(self, curated: Path, name: str = "dedup", tasks: int = 1) -> Callable[[], Usage]:
        """Its four steps, on the documents that our curate kept; `name` "dedup-spacy" for English words by spaCy."""
        return self._command(name, curated, tasks)

    def shingles(self, curated: Path) -> pa.Table:
        """doc_id and shingles of each document, as its dedup sees them with words at white space."""
        self._command("shingles", curated, 1)()
        return pq.read_table(self.folder / "shingles" / "shingles.parquet")

    def tokenize(self, kept: Path, tokenizer: Path, tasks: int = 1) -> Callable[[], Usage]:
        """Encodes the documents that our dedup kept, with our tokenizer.json."""
        return self._command("tokenize", kept, tasks, "--tokenizer", tokenizer)

    def rows(self, name: str) -> int:
        """Documents that it kept, in a folder of Parquet files that it wrote."""
        return sum(pq.read_metadata(path).num_rows for path in (self.folder / name).glob("*.parquet"))

    def _command(self, stage: str, source: Path, tasks: int, *options: str | Path) -> Callable[[], Usage]:
        output = self.folder / stage
        script = Path(__file__).with_name("datatrove_stages.py")
        command: Sequence[str | Path] = [self.python, script, stage, source, output, "--tasks", str(tasks), *options]

        def once() -> Usage:
            shutil.rmtree(output, ignore_errors=True)
            return run(command, ONE_THREAD)

        return once


def interpreter() -> Path:
    """Its Python; made with pip on first use (0.8 GB on disk)."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / ".ready"
    if ready.exists() and ready.read_text().split() == list(REQUIREMENTS):
        return python
    print(f"Installing {', '.join(REQUIREMENTS)} into {ENVIRONMENT.name} (once) …", file=sys.stderr)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    (ENVIRONMENT / ".gitignore").write_text("*\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS], check=True)
    ready.write_text("\n".join(REQUIREMENTS))
    return python

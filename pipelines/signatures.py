"""The signatures stage: a MinHash signature of every curated document, and what else of its text dedup compares.

    parts ─▶ sign ─▶ signatures/PART.npy, documents/PART.npy

It depends on few settings, so dedup with another threshold, priority or banding does not read the texts again; and a later run that
names this one as a reference finds its signatures here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import StageError
from contracts.manifest import FileEntry, Manifest
from dedup.config import DedupSettings
from dedup.minhash import signatures as sign
from pipelines.corpus import Committed, column, find, read_part
from pipelines.counts import add_up
from pipelines.differences import difference
from pipelines.engine import Engine
from pipelines.graph import Items, Once
from pipelines.recipe import Recipe
from pipelines.rows import to_bytes
from pipelines.stage import Receipt, Stage
from pipelines.storage import exists, join, read_manifest, write_bytes

RATE = 100e6
"""Stored bytes of documents that a core signs in a second, roughly; decides only whether workers are started."""

DOCUMENT = np.dtype([("doc_id", "V16"), ("content_hash", "V16"), ("length", "<i8"), ("shingles", "<i8")])
"""A row of documents/PART.npy. `length`: bytes of UTF-8; `shingles`: with repetition."""


def signatures(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage; does nothing where it is up to date."""
    return signatures_of(find(run_dir, input_dir, "curate"), recipe, run_dir, engine)


def signatures_of(curated: Committed, recipe: Recipe, run_dir: str, engine: Engine) -> Manifest:
    """The stage for a given curate stage, wherever that lies."""
    stage = Stage("signatures", run_dir, dict(recipe.dedup.signature), recipe.dedup.seed, {"curate": curated.digest})
    if made := engine.finished(stage):
        return made
    parts = curated.parts()
    steps = [Items("sign", SignPart(stage, curated, recipe.dedup)), Items("commit", CommitSignatures(stage, len(parts)))]
    return engine.run(stage, steps, sum(part.bytes for part in parts) / RATE, 6 * recipe.part_bytes)


def find_signatures(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Committed:
    """The signatures of the curated documents: those of the input run if it has the very ones, else this run's, which are made."""
    curated = find(run_dir, input_dir, "curate")
    here, there = join(run_dir, "signatures"), join(input_dir, "signatures")
    lent = input_dir and not exists(join(here, "manifest.json")) and exists(join(there, "manifest.json"))
    if lent and not _difference(read_manifest(there), curated, recipe.dedup):
        return Committed.at(there)
    signatures(recipe, run_dir, input_dir, engine)
    return Committed.at(here)


def check_comparable(folder: str, curated: Committed, settings: DedupSettings, whose: str) -> None:
    """Raises StageError where signatures made elsewhere cannot be compared with what these settings make."""
    change = _difference(read_manifest(folder), curated, settings)
    if change:
        raise StageError(
            f"The signatures of {whose}, {folder}, cannot be compared with those of this run: {change}. Make them again with "
            f"`spanmill signatures --output {folder.removesuffix('/signatures')}` and the [dedup] settings of this recipe, or take over "
            f"the settings that they were made with: {', '.join(settings.signature)}."
        )


def _difference(made: Manifest, curated: Committed, settings: DedupSettings) -> str:
    was = {"config": made.config, "upstream": made.upstream}
    return difference(was, {"config": dict(settings.signature), "upstream": {"curate": curated.digest}})


@dataclass
class SignPart:
    """Signatures of a part."""

    stage: Stage
    curated: Committed
    settings: DedupSettings

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.curated.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes signatures/PART.npy uint32[n, num_perm] and documents/PART.npy DOCUMENT[n]."""
        part = self.curated.parts()[number]
        table = read_part(self.curated.folder, part, ("doc_id", "content_hash", "text"))
        rows = np.zeros(table.num_rows, DOCUMENT)
        values = np.zeros((0, self.settings.num_perm), np.uint32)
        if table.num_rows:
            text = column(table, "text")
            values, rows["shingles"] = sign(text, self.settings)
            rows["doc_id"], rows["content_hash"] = _fixed(column(table, "doc_id")), _fixed(column(table, "content_hash"))
            rows["length"] = np.asarray(pc.binary_length(text).cast(pa.int64()))
        files = [self._write("signatures", number, values), self._write("documents", number, rows)]
        totals = {"documents": len(rows), "shingles": int(rows["shingles"].sum()), "bytes": int(rows["length"].sum())}
        return {"files": files, "totals": totals}

    def _write(self, kind: str, number: int, array: np.ndarray[Any, Any]) -> dict[str, Any]:
        name = f"{kind}/{number:05d}.npy"
        return vars(FileEntry(name, len(array), *write_bytes(self.stage.path(name), to_bytes(array))))


@dataclass
class CommitSignatures(Once):
    """Writes the manifest."""

    stage: Stage
    parts: int

    def __call__(self, number: int) -> Receipt:
        """Commits the stage."""
        receipts = self.stage.all_receipts("sign", self.parts)
        files = [FileEntry(**entry) for receipt in receipts for entry in receipt["files"]]
        zero = dict.fromkeys(("documents", "shingles", "bytes"), 0)
        self.stage.commit(files, add_up([zero, *(receipt["totals"] for receipt in receipts)]), {})
        return {"parts": self.parts}


def _fixed(values: pa.FixedSizeBinaryArray) -> np.ndarray[Any, Any]:
    """V16[n] of a column of binary(16), without a Python object a value."""
    return np.frombuffer(values.buffers()[1], "V16", len(values), values.offset * 16)

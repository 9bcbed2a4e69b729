"""The curate stage: from raw input to documents worth learning from, with a reason for each that is not.

    parts ─▶ read ─▶ filters ─▶ documents/PART.parquet, decisions/PART.parquet

The law, for each part and in total: documents in = kept + dropped + quarantined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import InputError, SpanmillError
from contracts.manifest import FileEntry, Manifest
from contracts.schemas import DECISION, DOCUMENT
from pipelines.counts import add_up
from pipelines.engine import Engine
from pipelines.filters import FilterSettings, build_filters
from pipelines.filters.base import Filter
from pipelines.graph import Items, Once
from pipelines.plan import INPUT, part_bytes_of, read_plan
from pipelines.recipe import Recipe
from pipelines.sources import SourceSettings, open_source
from pipelines.sources.base import Part, Reading, Source
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes, write_parquet
from pipelines.survey import survey

RATE = 10e6
"""Bytes of text that a core curates in a second, roughly; decides only whether workers are started."""


def curate(recipe: Recipe, run_dir: str, engine: Engine) -> Manifest:
    """Runs the stage, and the survey before it; does nothing where they are up to date."""
    plan = survey(recipe, run_dir, engine)
    config = {
        "source": [source.model_dump(mode="json") for source in recipe.source],
        "filters": recipe.filters.model_dump(mode="json"),
        "part_bytes": recipe.part_bytes,
    }
    stage = Stage("curate", run_dir, _without_places(config), 0, {"corpus": plan.digest})
    if made := engine.finished(stage):
        return made
    if not engine.dry:
        write_bytes(stage.work_path("plan.json"), plan.to_json().encode())
    steps = [
        Items("parts", CuratePart(stage, tuple(recipe.source), recipe.filters)),
        Items("commit", CommitCurate(stage, len(plan.parts), recipe.max_quarantined)),
    ]
    return engine.run(stage, steps, sum(part_bytes_of(part) for part in plan.parts) / RATE, 6 * recipe.part_bytes)


@dataclass
class CuratePart:
    """Reads one part, filters it, writes what was kept and what was not."""

    stage: Stage
    sources: tuple[SourceSettings, ...]
    filters: FilterSettings

    def sizes(self) -> list[int]:
        """Bytes of text of each part, about."""
        return [part_bytes_of(part) for part in read_plan(self.stage.work_path("plan.json")).parts]

    def setup(self) -> None:
        """Reads the plan."""
        self._parts = read_plan(self.stage.work_path("plan.json")).parts
        self._sources: dict[str, Source] = {each.name: open_source(each) for each in self.sources}
        self._filters = build_filters(self.filters, self.sources)

    def __call__(self, number: int) -> Receipt:
        """One part."""
        part = self._parts[number]
        tally = _Tally()
        kept = self._kept(self._sources[part.source].read(part), tally)
        name = f"{number:05d}.parquet"
        documents = write_parquet(self.stage.path("documents", name), kept, DOCUMENT)
        decisions = write_parquet(self.stage.path("decisions", name), iter(tally.decisions), DECISION)
        _check_law(tally.totals, _words(part))
        rows = sum(batch.num_rows for batch in tally.decisions)
        files = [
            {"path": f"documents/{name}", "rows": tally.totals["kept"], **documents._asdict(), "stratum": part.source},
            {"path": f"decisions/{name}", "rows": rows, **decisions._asdict(), "stratum": part.source},
        ]
        return {"files": files, "totals": tally.totals, "statistics": tally.statistics}

    def _kept(self, readings: Iterator[Reading], tally: _Tally) -> Iterator[pa.RecordBatch]:
        for documents, lost in readings:
            tally.read(documents, lost)
            yield tally.keep(_apply(self._filters, documents, tally))


@dataclass
class CommitCurate(Once):
    """Adds everything up, holds it against the law, and writes the manifest."""

    stage: Stage
    parts: int
    max_quarantined: float

    def __call__(self, number: int) -> Receipt:
        """Commits the stage. Raises InputError if too much could not be read."""
        stage = self.stage
        receipts = stage.all_receipts("parts", self.parts)
        totals = add_up(receipt["totals"] for receipt in receipts)
        _check_law(totals, "the run")
        statistics = add_up(receipt["statistics"] for receipt in receipts)
        _check_quarantine(totals, statistics["checks"], self.max_quarantined, stage.path("decisions"))
        table = read_plan(stage.work_path("plan.json")).table()
        written = write_parquet(stage.path("inputs.parquet"), iter([table]), INPUT)
        files = [FileEntry(**entry) for receipt in receipts for entry in receipt["files"]]
        stage.commit([*files, FileEntry("inputs.parquet", table.num_rows, *written)], totals, statistics)
        return {"parts": self.parts}


def _apply(filters: Sequence[tuple[str, Filter]], documents: pa.RecordBatch, tally: _Tally) -> pa.RecordBatch:
    """What all filters keep; the first that does not gives the reason."""
    for name, each in filters:
        verdict = each.check(documents)
        if verdict.keep.all():
            continue
        dropped = pa.array(~verdict.keep)
        tally.drop(name, documents.filter(dropped), verdict.reasons.filter(dropped))
        documents = documents.filter(pa.array(verdict.keep))
    return documents


@dataclass
class _Tally:
    """Counts and decision rows of a part."""

    totals: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("in", "kept", "dropped", "quarantined", "bytes_in", "bytes_kept"), 0)
    )
    statistics: dict[str, Any] = field(
        default_factory=lambda: {"sources": {}, "checks": {}, "licenses": {}, "license_evidence": {}}
    )
    decisions: list[pa.RecordBatch] = field(default_factory=list)

    def read(self, documents: pa.RecordBatch, lost: pa.RecordBatch) -> None:
        self.totals["in"] += documents.num_rows + lost.num_rows
        self.totals["quarantined"] += lost.num_rows
        self.totals["bytes_in"] += _text_bytes(documents)
        self._count("documents_in", documents)
        if lost.num_rows:
            self.decisions.append(lost)
            self._count("quarantined", lost)
            for source, check in zip(lost["source"].to_pylist(), lost["check"].to_pylist(), strict=True):
                self._check(source, check, 1)

    def drop(self, check: str, documents: pa.RecordBatch, reasons: pa.StringArray) -> None:
        n = documents.num_rows
        self.totals["dropped"] += n
        self._count("dropped", documents)
        for source, count in Counter(documents["source"].to_pylist()).items():
            self._check(source, check, count)
        columns = [documents["doc_id"], documents["origin"], documents["source"], documents["language"]]
        columns += [pa.array(["dropped"] * n), pa.array([check] * n), reasons]
        self.decisions.append(pa.RecordBatch.from_arrays(columns, schema=DECISION))

    def keep(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        self.totals["kept"] += documents.num_rows
        self.totals["bytes_kept"] += _text_bytes(documents)
        self._count("kept", documents)
        names = [" AND ".join(each) if each else "none" for each in documents["licenses"].to_pylist()]
        self.statistics["licenses"] = add_up([self.statistics["licenses"], dict(Counter(names))])
        return documents

    def _count(self, what: str, rows: pa.RecordBatch) -> None:
        """Adds documents, and bytes where there is a text, by source and language."""
        lengths = _lengths(rows) if "text" in rows.schema.names else np.zeros(rows.num_rows, np.int64)
        for source, language, length in zip(
            rows["source"].to_pylist(), rows["language"].to_pylist(), lengths.tolist(), strict=True
        ):
            cell = self.statistics["sources"].setdefault(source, {}).setdefault(language or "unknown", {})
            cell[what] = cell.get(what, 0) + 1
            cell[f"{what}_bytes"] = cell.get(f"{what}_bytes", 0) + length

    def _check(self, source: str, check: str, count: int) -> None:
        cell = self.statistics["checks"].setdefault(source, {})
        cell[check] = cell.get(check, 0) + count


def _lengths(documents: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(pc.binary_length(documents["text"]).cast(pa.int64()))


def _text_bytes(documents: pa.RecordBatch) -> int:
    return int(_lengths(documents).sum())


def _check_law(totals: dict[str, int], where: str) -> None:
    if totals["in"] != totals["kept"] + totals["dropped"] + totals["quarantined"]:
        raise SpanmillError(f"{where}: documents were lost: {totals}. This is a bug; nothing was committed.")


def _check_quarantine(totals: dict[str, int], checks: dict[str, dict[str, int]], allowed: float, where: str) -> None:
    share = totals["quarantined"] / max(1, totals["in"])
    if share > allowed:
        found = ", ".join(f"{source}: {check} {count:,}" for source, counts in checks.items() for check, count in counts.items())
        raise InputError(
            f"{totals['quarantined']:,} of {totals['in']:,} documents ({share:.1%}) could not be read; "
            f"max_quarantined allows {allowed:.1%}. "
            f"What was dropped or quarantined, by source and check: {found}. The reasons are in {where}. Mend the input, or raise the "
            "limit with --set max_quarantined=…: the same command goes on from there."
        )


def _words(part: Part) -> str:
    return f"part of source {part.source!r} ({len(part.inputs)} inputs from {part.inputs[0].path})"


def _without_places(config: dict[str, Any]) -> dict[str, Any]:
    """Where a corpus lies does not decide any byte: what is read is told by the corpus digest."""
    return {
        **config,
        "source": [{key: value for key, value in each.items() if key not in ("path", "paths")} for each in config["source"]],
    }

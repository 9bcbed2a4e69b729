"""Corpora for the dedup stage, curated without filters and deduplicated; what came of it; and the rule in plain Python."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from run_the_line import QUIET

from contracts.manifest import Manifest
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.filters import FILTERS
from pipelines.recipe import Recipe

ENGINE = Engine(("--direct_running_mode=in_memory",), QUIET)

NGRAM = 5
"""Words of a shingle, by default."""


class Document(NamedTuple):
    """What is written to a corpus. `path` names it in tests."""

    path: str
    text: str
    stars: int | None = None
    language: str = "text"


class Removal(NamedTuple):
    """A row of removals/, by paths."""

    keeper: str
    jaccard: float
    kind: str
    reference: str = ""


class Kept(NamedTuple):
    """A curated document. Its text is left out."""

    path: str
    source: str
    doc_id: bytes
    stars: int | None
    length: int


def write_documents(path: Path, documents: Iterable[Document], rows_a_group: int = 1_000) -> Path:
    """A Parquet file. Row groups are as large as their texts, not as what is left of equal ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(documents)
    columns = {
        "path": pa.array([each.path for each in rows], pa.string()),
        "text": pa.array([each.text for each in rows], pa.large_string()),
        "stars": pa.array([each.stars for each in rows], pa.int64()),
        "language": pa.array([each.language for each in rows], pa.string()),
    }
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group, use_dictionary=False, compression="zstd")
    return path


def recipe_values(*files: Path, part_bytes: int = 4_000_000, **dedup_settings: Any) -> dict[str, Any]:
    """Nothing is filtered. Each file is a source named after it."""
    columns = {name: name for name in Document._fields}
    return {
        "part_bytes": part_bytes,
        "source": [{"name": file.stem, "type": "parquet", "path": str(file), "columns": columns} for file in files],
        "filters": {name: {"enabled": False} for name in FILTERS},
        "dedup": dedup_settings,
    }


def run_dedup(values: Mapping[str, Any], run_dir: Path, engine: Engine = ENGINE) -> Manifest:
    """Curate and dedup."""
    recipe = Recipe(**values)
    curate(recipe, str(run_dir), engine)
    return dedup(recipe, str(run_dir), "", engine)


def kept_by_curate(run_dir: Path) -> list[Kept]:
    """All curated documents, in no order that matters."""
    table = pq.read_table(run_dir / "curate/documents", columns=["path", "source", "doc_id", "stars", "text"])
    lengths = [len(text.as_buffer()) for text in table["text"]]
    rows = table.select(["path", "source", "doc_id", "stars"]).to_pylist()
    return [Kept(**row, length=length) for row, length in zip(rows, lengths, strict=True)]


def removals(run_dir: Path, *others: Path) -> dict[str, Removal]:
    """What was removed, by path; keepers may be of `others`. Of a doc_id no more rows are removed than there are, and a keeper stays."""
    own = kept_by_curate(run_dir)
    names = {each.doc_id: each.path for folder in others for each in kept_by_curate(folder)} | {e.doc_id: e.path for e in own}
    rows = pq.read_table(run_dir / "dedup/removals").to_pylist()
    left = Counter(each.doc_id for each in own)
    left.subtract(row["doc_id"] for row in rows)
    assert min(left.values(), default=0) >= 0
    assert all(left[row["keeper_id"]] > 0 for row in rows if not row["reference"])
    assert all((row["band"] < 0) == (row["kind"] == "exact") for row in rows)
    return {names[row["doc_id"]]: _removal(row, names) for row in rows}


def _removal(row: dict[str, Any], names: Mapping[bytes, str]) -> Removal:
    return Removal(names[row["keeper_id"]], row["jaccard"], row["kind"], row["reference"])


def committed(run_dir: Path) -> dict[str, bytes]:
    """Every byte of the dedup stage."""
    folder = run_dir / "dedup"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shingle_set(text: str) -> frozenset[tuple[bytes, ...]]:
    """As docs say it: runs of NGRAM words, a word being a run of letters, digits, _ and bytes beyond ASCII."""
    words = re.findall(rb"[A-Za-z0-9_\x80-\xff]+", text.encode())
    return frozenset(tuple(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1))


def by_default(each: Kept) -> tuple[Any, ...]:
    """The default priority: most stars, unknown last; then the longest; then the least doc_id."""
    return (-1 if each.stars is None else each.stars) * -1, -each.length, each.doc_id


def by_the_rule(
    documents: Sequence[Kept],
    texts: Mapping[str, str],
    threshold: float,
    order: Callable[[Kept], Any] = by_default,
    references: Sequence[tuple[str, Kept]] = (),
) -> dict[str, Removal]:
    """The greedy choice on the complete graph, as plainly as it is said. `references`: name and document, in the order they rank."""
    visited = [*references, *(("", each) for each in sorted(documents, key=order))]
    first: dict[str, str] = {}
    reference_of = {each.path: name for name, each in visited}
    for _, each in visited:
        first.setdefault(texts[each.path], each.path)
    similar = similar_texts({path: text for text, path in first.items()}, threshold)
    place = {each.path: at for at, (_, each) in enumerate(visited)}
    out: dict[str, Removal] = {}
    for name, each in visited:
        path, leader = each.path, first[texts[each.path]]
        if name:
            continue
        if leader != path:
            copy_of_reference = Removal(leader, 1.0, "exact", reference_of[leader])
            out[path] = out.get(leader, copy_of_reference)
            continue
        found = [(-jaccard, place[other], other) for other, jaccard in similar[path].items() if place[other] < place[path]]
        staying = sorted(each for each in found if each[2] not in out)
        if staying:
            jaccard, _, other = staying[0]
            out[path] = Removal(other, float(np.float32(-jaccard)), "near", reference_of[other])
    return out


def similar_texts(texts: Mapping[str, str], threshold: float) -> dict[str, dict[str, float]]:
    """All pairs at or above the threshold, both ways: by shared shingles, so that long chains cost little."""
    sets = {path: shingle_set(text) for path, text in texts.items()}
    holders: dict[tuple[bytes, ...], list[str]] = defaultdict(list)
    for path, shingles in sets.items():
        for shingle in shingles:
            holders[shingle].append(path)
    out: dict[str, dict[str, float]] = {}
    for path, shingles in sets.items():
        shared = Counter(other for shingle in shingles for other in holders[shingle] if other != path)
        measured = {other: common / (len(shingles) + len(sets[other]) - common) for other, common in shared.items()}
        out[path] = {other: jaccard for other, jaccard in measured.items() if jaccard >= threshold}
    return out

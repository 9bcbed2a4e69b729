"""Rows as a reader found them become documents with ids, or quarantined rows with causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from contracts.arrow_text import text_buffers
from contracts.schemas import DECISION, DOCUMENT
from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.columns import Problem, Problems
from pipelines.sources.marks import hashed_marks

BATCH_BYTES: int = 8 * 2**20
"""Text per batch that readers aim at: large enough that Arrow's cost per batch vanishes, small enough to stay in memory."""


@dataclass(frozen=True)
class Rows:
    """n rows of one part, before anything was decided about them."""

    origins: Sequence[str]
    """n of "INPUT#ROW"."""
    text: pa.LargeStringArray
    marks: pa.ListArray
    """contracts.schemas.MARKS[n]"""
    language: pa.StringArray
    kind: pa.StringArray
    repo: pa.StringArray
    path: pa.StringArray
    id: pa.StringArray
    """string[n]: the corpus's own id, empty where it has none."""
    stars: pa.Int64Array
    licenses: pa.ListArray
    evidence: pa.StringArray
    problems: Problems


def origin_of(each: Input, row: int) -> str:
    """Where a document was read: digest of its input, and its row, line or 0."""
    return f"{each.digest}#{row}"


def to_reading(part: Part, rows: Rows) -> Reading:
    """Documents for rows without a problem, quarantined rows for the others. About 3 µs a row, and 2 passes of xxh3."""
    bad = sorted(rows.problems)
    lost = [(rows.origins[i], rows.language[i].as_py(), rows.problems[i]) for i in bad]
    good = np.setdiff1d(np.arange(len(rows.origins)), np.asarray(bad, np.int64))
    return Reading(_documents(part, rows, good), _quarantined(part, lost))


def lost_input(part: Part, origin: str, language: str, problem: Problem) -> Reading:
    """No documents, and one quarantined row: for an input, or the rest of one, that cannot be read."""
    empty = pa.RecordBatch.from_pydict({name: [] for name in DOCUMENT.names}, schema=DOCUMENT)
    return Reading(empty, _quarantined(part, [(origin, language, problem)]))


def _quarantined(part: Part, lost: Sequence[tuple[str, str, Problem]]) -> pa.RecordBatch:
    """DECISION rows for (origin, language, problem) triples. Their ids are made of origin and cause, there being no text."""
    ids = [_hash(_prefix(part, (origin, problem.check)) + b"0:", b"") for origin, _, problem in lost]
    columns: dict[str, list[object]] = {
        "doc_id": [*ids],
        "origin": [origin for origin, _, _ in lost],
        "source": [part.source] * len(lost),
        "language": [language for _, language, _ in lost],
        "outcome": ["quarantined"] * len(lost),
        "check": [problem.check for _, _, problem in lost],
        "reason": [problem.reason for _, _, problem in lost],
    }
    return pa.RecordBatch.from_pydict(columns, schema=DECISION)


def _documents(part: Part, rows: Rows, good: npt.NDArray[np.int64]) -> pa.RecordBatch:
    columns = [rows.text, rows.marks, rows.language, rows.kind, rows.repo, rows.path, rows.id, rows.stars, rows.licenses]
    columns.append(rows.evidence)
    if len(good) < len(rows.origins):
        columns = [column.take(pa.array(good)) for column in columns]
    text, marks, language, kind, repo, path, ids, stars, licenses, evidence = columns
    origins = [rows.origins[i] for i in good.tolist()]
    locators = _locators(origins, repo.to_pylist(), path.to_pylist(), ids.to_pylist())
    doc_ids, hashes = _identify(part, text, marks, locators)
    n = len(good)
    arrays = [
        pa.array(doc_ids, pa.binary(16)),
        pa.repeat(pa.scalar(part.source, pa.string()), n),
        text,
        marks,
        language,
        kind,
        repo,
        path,
        stars,
        licenses,
        evidence,
        pa.array(origins, pa.string()),
        pa.array(hashes, pa.binary(16)),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DOCUMENT)


def _locators(origins: list[str], repos: list[str], paths: list[str], ids: list[str]) -> list[tuple[str, ...]]:
    """(repo, path, id) where the corpus gives a path or an id, so that re-partitioning it changes nothing; else the origin."""
    rows = zip(origins, repos, paths, ids, strict=True)
    return [(repo, path, own) if path or own else (at,) for at, repo, path, own in rows]


def _identify(
    part: Part, text: pa.LargeStringArray, marks: pa.ListArray, locators: list[tuple[str, ...]]
) -> tuple[list[bytes], list[bytes]]:
    """doc_id and content_hash of each row."""
    data, offsets = text_buffers(text)
    view = memoryview(data.data)
    bounds = offsets.tolist()
    doc_ids: list[bytes] = []
    hashes: list[bytes] = []
    for i, tail in enumerate(hashed_marks(marks)):
        body = view[bounds[i] : bounds[i + 1]]
        doc_ids.append(_hash(_prefix(part, locators[i]) + b"%d:" % len(body), body, tail))
        hashes.append(_hash(b"", body, tail))
    return doc_ids, hashes


def _prefix(part: Part, locator: tuple[str, ...]) -> bytes:
    """Each word with its length before it, so that no two locators run together into the same bytes."""
    copy = (str(part.copy),) if part.copy else ()
    words = [word.encode() for word in (part.source, *locator, *copy)]
    return b"%d;" % len(words) + b"".join([b"%d:%b" % (len(word), word) for word in words])


def _hash(prefix: bytes, body: bytes | memoryview, tail: bytes = b"") -> bytes:
    hasher = xxhash.xxh3_128(prefix)
    hasher.update(body)
    hasher.update(tail)
    digest: bytes = hasher.digest()
    return digest

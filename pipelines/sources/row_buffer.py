"""Documents gathered one by one into batches, for sources that do not read columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.sources.columns import Problem, Problems, as_text
from pipelines.sources.documents import BATCH_BYTES, Rows
from pipelines.sources.marks import Mark, as_marks, take_marks
from pipelines.sources.settings import Kind

MAX_ROWS: int = 65_536
"""Rows of a batch at most, so that very short documents do not pile up."""


class Row(NamedTuple):
    """One document as found; names and licences are valid UTF-8, the text need not be."""

    text: bytes
    language: str
    kind: Kind
    licenses: tuple[str, ...]
    evidence: str
    repo: str = ""
    path: str = ""
    id: str = ""
    stars: int | None = None
    marks: tuple[Mark, ...] = ()


class RowBuffer:
    """Rows of one part, filled row by row and taken batch by batch."""

    def __init__(self, what: str, spelled: Sequence[str] = ()) -> None:
        """`what` is the text's name in the words of a problem; `spelled`: control tokens that texts without marks spell."""
        self._what = what
        self._spelled = spelled
        self._clear()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, origin: str, row: Row) -> None:
        """One document."""
        self._origins.append(origin)
        self._rows.append(row)
        self._bytes += len(row.text)

    def add_problem(self, origin: str, language: str, problem: Problem) -> None:
        """One document that cannot be read."""
        self._problems[len(self._rows)] = problem
        self.add(origin, Row(b"", language, "code", (), ""))

    def full(self) -> bool:
        """Whether it is time to take a batch."""
        return self._bytes >= BATCH_BYTES or len(self._rows) >= MAX_ROWS

    def take(self) -> Rows:
        """The rows so far, at least one; starts anew."""
        columns = dict(zip(Row._fields, zip(*self._rows, strict=True), strict=True))
        text = as_text(pa.array(columns["text"], pa.large_binary()), self._what, self._problems)
        text, marks = take_marks(text, self._spelled) if self._spelled else (text, as_marks(columns["marks"]))
        names = {name: pa.array(columns[name], pa.string()) for name in ("language", "kind", "evidence", "repo", "path", "id")}
        licenses = pa.array([list(each) for each in columns["licenses"]], pa.list_(pa.string()))
        stars = pa.array(columns["stars"], pa.int64())
        told = {"text": text, "marks": marks, "stars": stars, "licenses": licenses}
        rows = Rows(origins=self._origins, problems=self._problems, **told, **names)
        self._clear()
        return rows

    def _clear(self) -> None:
        self._origins: list[str] = []
        self._rows: list[Row] = []
        self._problems: Problems = {}
        self._bytes = 0

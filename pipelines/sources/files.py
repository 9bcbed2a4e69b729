"""One document a file: reading whole files into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.columns import Problem
from pipelines.sources.documents import origin_of, to_reading
from pipelines.sources.row_buffer import Row, RowBuffer
from pipelines.sources.surveyed import SurveyedFile

MAX_FILE_BYTES: int = 64 * 2**20
"""Larger files are quarantined instead of read, as with lines of JSON: no source file is near it, and memory stays bounded."""

RowOf = Callable[[Input, bytes], Row | Problem | None]
"""The document in a file's bytes, what is wrong with it, or None where it holds none."""


def read_files(part: Part, row_of: RowOf, language_of: Callable[[Input], str]) -> Iterator[Reading]:
    """Readings of a part made of whole files."""
    rows = RowBuffer("file")
    for each in part.inputs:
        found = _row(each, row_of)
        if isinstance(found, Problem):
            rows.add_problem(origin_of(each, 0), language_of(each), found)
        elif found is not None:
            rows.add(origin_of(each, 0), found)
        if rows.full():
            yield to_reading(part, rows.take())
    if len(rows):
        yield to_reading(part, rows.take())


def _row(each: Input, row_of: RowOf) -> Row | Problem | None:
    if each.unreadable:
        return Problem("open", each.unreadable)
    with SurveyedFile(each) as file:
        if each.size > MAX_FILE_BYTES:
            return Problem("file_size", f"the file has {each.size} bytes; at most {MAX_FILE_BYTES} are read")
        text = file.read()
        file.check()
    return row_of(each, text)

"""JSON Lines, plain or compressed with gzip or zstd.

A plain file is read in pieces of whole lines by several workers; a compressed one by a single worker, since it cannot be entered in
the middle. ROW of a document is the byte of the uncompressed file that its line starts at: `seek` finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.columns import Problem
from pipelines.sources.compression import DamagedStreamError, compression_of, decompressed
from pipelines.sources.documents import lost_input, origin_of, to_reading
from pipelines.sources.inputs import BLOCK, ByteReader, list_files, survey_file
from pipelines.sources.json_lines import Line, line_pieces, lines, parse
from pipelines.sources.json_row import JsonFields, row_of
from pipelines.sources.parts import split_by_digest
from pipelines.sources.row_buffer import RowBuffer
from pipelines.sources.surveyed import SurveyedFile

SUFFIXES = tuple(f".{kind}{packed}" for kind in ("jsonl", "ndjson", "json") for packed in ("", ".gz", ".zst"))


class JsonlSettings(JsonFields):
    """`type = "jsonl"`."""

    type: Literal["jsonl"] = Field(default="jsonl")
    """Selects this source."""

    path: str = Field(min_length=1)
    """A file, a glob, or a folder that holds *.jsonl, *.ndjson or *.json, each also as *.gz or *.zst; anything that fsspec opens."""

    max_line_bytes: int = Field(default=64 * 2**20, ge=1)
    """Longer lines are quarantined instead of read. The default, 64 MiB, is our choice: no source file is near it, and memory stays
    bounded."""

    def open(self) -> Jsonl:
        """The source."""
        return Jsonl(self)


@dataclass(frozen=True)
class Jsonl:
    """See pipelines.sources.base.Source."""

    settings: JsonlSettings

    @property
    def name(self) -> str:
        """Name in the recipe."""
        return self.settings.name

    def list_inputs(self) -> list[str]:
        """The files."""
        return list_files(self.settings.path, SUFFIXES)

    def survey(self, path: str) -> Input:
        """Digest, and runs of whole lines where the file is plain."""
        return survey_file(path, line_pieces)

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Parts in digest order."""
        return split_by_digest(self.name, inputs, part_bytes, self.settings.max_bytes)

    def read(self, part: Part) -> Iterator[Reading]:
        """Documents; where a file breaks off, one quarantined row."""
        for each in part.inputs:
            if each.unreadable:
                yield self._lost(part, each, Problem("open", each.unreadable))
                continue
            with SurveyedFile(each) as file:
                yield from self._read_file(file, each, part)

    def _read_file(self, file: SurveyedFile, each: Input, part: Part) -> Iterator[Reading]:
        size = sum(each.units[part.start : part.stop or None])
        if problem := _unusable(file, each):
            yield self._lost(part, each, problem)
        elif each.units:
            start = sum(each.units[: part.start])
            yield from self._read_stream(part, each, _stretch(file, start, size), start)
        else:
            yield from self._read_stream(part, each, decompressed(file, compression_of(file)), 0)
        if not each.units or size == each.size:
            file.check()

    def _read_stream(self, part: Part, each: Input, stream: Iterable[bytes], start: int) -> Iterator[Reading]:
        rows = RowBuffer(self.settings.fields.texts(self.settings.shape)[-1], self.settings.spelled)
        done = start
        try:
            for line in lines(stream, start, self.settings.max_line_bytes):
                self._add(rows, origin_of(each, line.at), line)
                done = line.at + line.size + 1
                if rows.full():
                    yield to_reading(part, rows.take())
        except DamagedStreamError as error:
            problem = Problem("compression", f"{error}; what follows byte {done} of the uncompressed file is lost")
            rows.add_problem(origin_of(each, done), self.settings.language, problem)
        if len(rows):
            yield to_reading(part, rows.take())

    def _add(self, rows: RowBuffer, origin: str, line: Line) -> None:
        found = parse(line, self.settings.max_line_bytes)
        row = row_of(found, self.settings) if isinstance(found, dict) else found
        if isinstance(row, Problem):
            rows.add_problem(origin, self.settings.language, row)
        elif row is not None:
            rows.add(origin, row)

    def _lost(self, part: Part, each: Input, problem: Problem) -> Reading:
        return lost_input(part, origin_of(each, 0), self.settings.language, problem)


def _stretch(file: ByteReader, start: int, size: int) -> Iterator[bytes]:
    """Bytes [start, start + size) of a file, in blocks."""
    file.seek(start)
    while size > 0 and (block := file.read(min(BLOCK, size))):
        size -= len(block)
        yield block


def _unusable(file: ByteReader, each: Input) -> Problem | None:
    """What keeps a file from being read at all."""
    if each.size == 0:
        return Problem("empty", "the file is empty")
    promised = {"gz": "gzip", "zst": "zstd"}.get(each.path.rpartition(".")[2].lower(), "")
    if promised and compression_of(file) != promised:
        return Problem("compression", f"the file is named as {promised} but does not begin as one; nothing of it is read")
    return None

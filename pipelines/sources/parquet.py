"""Any Parquet files, with settings that say which column is what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.columns import Problem, Problems, as_counts, as_licenses, as_names, as_text, as_values, constant, no_licenses
from pipelines.sources.documents import Rows
from pipelines.sources.fields import Fields
from pipelines.sources.inputs import list_files, survey_file
from pipelines.sources.marks import Marked, as_marks, take_marks
from pipelines.sources.parquet_file import SUFFIXES, Block, Column, read_parquet, row_group_bytes
from pipelines.sources.parts import split_by_digest
from pipelines.sources.shaped import ShapedSource
from pipelines.sources.shapes import UnfitError, marked_of


class ParquetSettings(ShapedSource):
    """`type = "parquet"`."""

    type: Literal["parquet"] = Field(default="parquet")
    """Selects this source."""

    path: str = Field(min_length=1)
    """A file, a glob, or a folder that holds *.parquet; anything that fsspec opens."""

    columns: Fields = Fields()
    """Which column is what."""

    def open(self) -> Parquet:
        """The source."""
        return Parquet(self)


@dataclass(frozen=True)
class Parquet:
    """See pipelines.sources.base.Source."""

    settings: ParquetSettings

    @property
    def name(self) -> str:
        """Name in the recipe."""
        return self.settings.name

    def list_inputs(self) -> list[str]:
        """The files."""
        return list_files(self.settings.path, SUFFIXES)

    def survey(self, path: str) -> Input:
        """Digest, and bytes of each row group."""
        return survey_file(path, row_group_bytes)

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Parts in digest order."""
        return split_by_digest(self.name, inputs, part_bytes, self.settings.max_bytes)

    def read(self, part: Part) -> Iterator[Reading]:
        """Documents."""
        return read_parquet(part, self._columns, self.settings.columns.texts(self.settings.shape), self._to_rows)

    def _columns(self, _: Input) -> list[Column]:
        return [Column(f"columns.{role}", name) for role, name in self.settings.columns.named(self.settings.shape)]

    def _to_rows(self, each: Input, block: Block) -> Rows:
        n = block.batch.num_rows
        fields = self.settings.columns
        problems: Problems = {}

        def names(column: str) -> pa.StringArray:
            return as_names(block.column(column), column, problems) if column else constant("", n)

        licenses = as_licenses(block.column(fields.licenses), fields.licenses, problems) if fields.licenses else no_licenses(n)
        language = names(fields.language)
        text, marks = self._texts(block, problems)
        return Rows(
            origins=block.origins(each),
            text=text,
            marks=marks,
            language=pc.if_else(pc.equal(language, ""), self.settings.language, language),
            kind=constant(self.settings.kind, n),
            repo=names(fields.repo),
            path=names(fields.path),
            id=names(fields.id),
            stars=as_counts(block.column(fields.stars)) if fields.stars else pa.nulls(n, pa.int64()),
            licenses=licenses,
            evidence=fields.evidence(licenses, self.settings.no_license_evidence, "column"),
            problems=problems,
        )

    def _texts(self, block: Block, problems: Problems) -> tuple[pa.LargeStringArray, pa.ListArray]:
        """Texts and marks of the rows."""
        fields, shape = self.settings.columns, self.settings.shape
        if shape == "text":
            return take_marks(as_text(block.column(fields.text), fields.text, problems), self.settings.spelled)
        names = fields.texts(shape)
        values = [as_values(block.column(name), name, problems) for name in names]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        made = [self._made(row, i, problems) for i, row in enumerate(rows)]
        text = as_text(pa.array([each.text for each in made], pa.large_binary()), names[-1], problems)
        return text, as_marks([each.marks for each in made])

    def _made(self, row: dict[str, Any], number: int, problems: Problems) -> Marked:
        try:
            return marked_of(self.settings.shape, row, self.settings.columns)
        except UnfitError as error:
            problems.setdefault(number, Problem(*error.args))
            return Marked(b"")

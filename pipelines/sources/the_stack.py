"""The Stack v1 (bigcode/the-stack): StarCoderData's columns, and licences.

    data/python/train-00000-of-00206.parquet     as StarCoderData, and lang, max_stars_repo_licenses

Which licence governs a file? The repository's were detected in its licence files, a file's own in its header. The header is the
closer evidence; but a permissive header in a GPL repository may be a leftover, and a GPL header in an MIT repository is a warning.
Neither clears the other: the two lists are joined, and every entry must be allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.bigcode import BigCodeSettings, code_columns, code_rows, list_languages, split_languages, survey_language
from pipelines.sources.columns import as_licenses, as_names, joined_lists
from pipelines.sources.documents import Rows
from pipelines.sources.languages import from_linguist
from pipelines.sources.parquet_file import Block, Column, read_parquet


class TheStackSettings(BigCodeSettings):
    """`type = "the_stack"`: the data set as it lies on the Hub, or any copy in its layout."""

    type: Literal["the_stack"] = Field(default="the_stack")
    """Selects this source."""

    language_column: str = "lang"
    """Column of the language; where a file has not got it, or a row has none, the folder's name is used."""

    license_column: str = "max_stars_repo_licenses"
    """Column of the repository's licences: a list, BigQuery's nested list, or ids with commas between. All of them must hold."""

    file_license_column: str = ""
    """Column of the file's own licences, where there is one. They must hold besides the repository's."""

    def open(self) -> TheStack:
        """The source."""
        return TheStack(self)


@dataclass(frozen=True)
class TheStack:
    """See pipelines.sources.base.Source. The label of an input is its language folder."""

    settings: TheStackSettings

    @property
    def name(self) -> str:
        """Name in the recipe."""
        return self.settings.name

    def list_inputs(self) -> list[str]:
        """Parquet files of the languages asked for."""
        return list_languages(self.settings)

    def survey(self, path: str) -> Input:
        """Digest, and bytes of each row group."""
        return survey_language(path)

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Parts in digest order."""
        return split_languages(self.settings, inputs, part_bytes)

    def read(self, part: Part) -> Iterator[Reading]:
        """Documents with licences and the columns that tell them."""
        return read_parquet(part, self._columns, (self.settings.text_column,), self._to_rows)

    def _columns(self, each: Input) -> list[Column]:
        common = code_columns(self.settings, each.label)
        columns = [column._replace(required=column.required and column.setting != "id_column") for column in common]
        columns.append(Column("license_column", self.settings.license_column))
        columns.append(Column("language_column", self.settings.language_column, required=False))
        if self.settings.file_license_column:
            columns.append(Column("file_license_column", self.settings.file_license_column))
        return columns

    def _to_rows(self, each: Input, block: Block) -> Rows:
        rows = code_rows(self.settings, each, block)
        licenses, evidence = self._licenses(block, rows)
        return replace(rows, language=self._language(block, rows), licenses=licenses, evidence=evidence)

    def _language(self, block: Block, rows: Rows) -> pa.StringArray:
        if not block.has(self.settings.language_column):
            return rows.language
        named = as_names(block.column(self.settings.language_column), self.settings.language_column, rows.problems)
        stored = pc.unique(named).to_pylist()
        index = pc.index_in(named, pa.array(stored, pa.string()))
        return pc.coalesce(pa.array([from_linguist(name) or None for name in stored], pa.string()).take(index), rows.language)

    def _licenses(self, block: Block, rows: Rows) -> tuple[pa.ListArray, pa.StringArray]:
        """list<string>[n] and string[n]: the licences, and the names of the columns that held any."""
        names = [name for name in (self.settings.license_column, self.settings.file_license_column) if name]
        lists = [as_licenses(block.column(name), name, rows.problems) for name in names]
        found = [np.asarray(pc.list_value_length(each)) > 0 for each in lists]
        told = [" and ".join(name for i, name in enumerate(names) if code >> i & 1) for code in range(2 ** len(names))]
        words = pa.array([each or self.settings.no_license_evidence for each in told], pa.string())
        return joined_lists(lists), words.take(pa.array(sum(has.astype(np.int64) << i for i, has in enumerate(found))))

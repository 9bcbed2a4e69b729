"""StarCoderData (bigcode/starcoderdata): what CodeGen2.5 was trained on.

    python/train-00000-of-00059.parquet     max_stars_repo_path, max_stars_repo_name, max_stars_count, id, content

The stored text may begin with metadata (see metadata_tokens.py), which moves to the columns repo, path and stars. Any other literal
special token is text like the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.bigcode import BigCodeSettings, code_columns, code_rows, list_languages, split_languages, survey_language
from pipelines.sources.parquet_file import read_parquet
from pipelines.sources.settings import LicensePolicy


class StarCoderDataSettings(BigCodeSettings):
    """`type = "starcoderdata"`: the data set as it lies on the Hub, or any copy in its layout."""

    type: Literal["starcoderdata"] = Field(default="starcoderdata")
    """Selects this source."""

    license_policy: LicensePolicy = "permissive_by_construction"
    """As in every source. The data set has no licence column: its card says that it holds permissively licensed files only."""

    def open(self) -> StarCoderData:
        """The source."""
        return StarCoderData(self)


@dataclass(frozen=True)
class StarCoderData:
    """See pipelines.sources.base.Source. The label of an input is its language folder."""

    settings: StarCoderDataSettings

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
        """Documents, their language being the folder's name."""
        return read_parquet(
            part,
            columns=lambda each: code_columns(self.settings, each.label),
            text=self.settings.text_column,
            to_rows=lambda each, block: code_rows(self.settings, each, block),
        )

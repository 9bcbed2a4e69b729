r"""StarCoderData (bigcode/starcoderdata): what CodeGen2.5 was trained on.

    python/train-00000-of-00059.parquet     max_stars_repo_path, max_stars_repo_name, max_stars_count, id, content

The stored text may begin with metadata (see metadata_tokens.py), which moves to the columns repo, path and stars. Any other literal
special token in source files is text like the rest.

Three folders hold no source files but issues, commits and notebooks in StarCoder's serialisations, with literal control tokens:

    <issue_start>Title: T\nusername_0: C<issue_comment>username_1: C<issue_closed>
    <commit_before>OLD<commit_msg>SUBJECT<commit_after>NEW
    <jupyter_start> and then, again and again, <jupyter_text>TEXT<jupyter_code>CODE<jupyter_output>OUTPUT, or <empty_output> for OUTPUT

There the tokens of the folder's own kind become marks; all others stay text. A comment whose author wrote "<issue_comment>" cannot be
told from a token: the data set does not keep the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from contracts.special_tokens import MARKS_OF_KIND
from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.bigcode import BigCodeSettings, code_columns, code_rows, list_languages, split_languages, survey_language
from pipelines.sources.documents import Rows
from pipelines.sources.marks import take_marks
from pipelines.sources.parquet_file import Block, read_parquet
from pipelines.sources.settings import LicensePolicy, Serialised

SERIALISED = {
    "git-commits-cleaned": "commit",
    "github-issues-filtered-structured": "issue",
    "jupyter-structured-clean-dedup": "notebook",
}
"""Folders whose texts spell control tokens, and the kind whose. Not the fourth of OTHER_KINDS: notebooks turned into scripts have none."""


class StarCoderDataSettings(BigCodeSettings):
    """`type = "starcoderdata"`: the data set as it lies on the Hub, or any copy in its layout."""

    type: Literal["starcoderdata"] = Field(default="starcoderdata")
    """Selects this source."""

    license_policy: LicensePolicy = "permissive_by_construction"
    """As in every source. The data set has no licence column: its card says that it holds permissively licensed files only."""

    serialised: Serialised = "starcoder"
    """Whether literal control tokens in the folders of issues, commits and notebooks are control tokens ("starcoder", as they were
    meant), or text (""). Those in folders of source files are always text."""

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
            texts=(self.settings.text_column,),
            to_rows=self._to_rows,
        )

    def _to_rows(self, each: Input, block: Block) -> Rows:
        rows = code_rows(self.settings, each, block)
        if not self.settings.serialised or each.label not in SERIALISED:
            return rows
        text, marks = take_marks(rows.text, MARKS_OF_KIND[SERIALISED[each.label]])
        return replace(rows, text=text, marks=marks)

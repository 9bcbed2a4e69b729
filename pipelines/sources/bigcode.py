"""What StarCoderData and The Stack have in common: a folder a language, and columns named after the most-starred repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow as pa
from pydantic import Field

from contracts.errors import InputError, unknown_name
from pipelines.sources import hub
from pipelines.sources.base import Input, Part
from pipelines.sources.columns import Problems, as_counts, as_names, as_text, constant, no_licenses
from pipelines.sources.documents import Rows
from pipelines.sources.inputs import escaped, list_files, survey_file
from pipelines.sources.marks import no_marks
from pipelines.sources.metadata_tokens import take_metadata
from pipelines.sources.parquet_file import SUFFIXES, Block, Column, row_group_bytes
from pipelines.sources.parts import split_by_digest
from pipelines.sources.settings import Kind, SourceBase

OTHER_KINDS: dict[str, Kind] = {
    "git-commits-cleaned": "commit",
    "github-issues-filtered-structured": "issue",
    "jupyter-scripts-dedup-filtered": "notebook",
    "jupyter-structured-clean-dedup": "notebook",
}
"""Folders of StarCoderData that hold no plain source files. Only the text column is asked of them: the others differ."""


class BigCodeSettings(SourceBase):
    """Settings of both sources."""

    path: str = Field(min_length=1)
    """Folder that holds the language folders, for example `hf://datasets/bigcode/starcoderdata`; anything that fsspec opens."""

    languages: list[str] | None = None
    """Folders to read; by default all but the issues, commits and notebooks, which have to be named to be read."""

    exclude_languages: list[str] = Field(default_factory=list)
    """Folders to leave out."""

    text_column: str = "content"
    """Column of the text."""

    repo_column: str = "max_stars_repo_name"
    """Column of the repository's name; "" where the files have none."""

    path_column: str = "max_stars_repo_path"
    """Column of the path in the repository; "" where the files have none."""

    stars_column: str = "max_stars_count"
    """Column of the number of stars; "" where the files have none."""

    id_column: str = "id"
    """Column of the corpus's own id; "" where the files have none."""


def list_languages(settings: BigCodeSettings) -> list[str]:
    """Parquet files in the folders asked for. Raises InputError for a folder that is not there."""
    found = list_files(settings.path, SUFFIXES)
    seen = {folder_of(each) for each in found}
    for language in (*(settings.languages or ()), *settings.exclude_languages):
        if language not in seen:
            raise InputError(f"{settings.path}: {unknown_name('language folder', language, seen)}")
    chosen = seen - OTHER_KINDS.keys() if settings.languages is None else set(settings.languages)
    chosen -= set(settings.exclude_languages)
    files = [each for each in found if folder_of(each) in chosen]
    if not files:
        raise InputError(
            f"{settings.path}: no language folder is left to read. Seen: {', '.join(sorted(seen))}. Name some under 'languages'."
        )
    return files


def folder_of(path: str) -> str:
    """Name of the folder that a file lies in: its language."""
    return escaped(PurePosixPath(hub.without_commit(path)).parent.name)


def survey_language(path: str) -> Input:
    """Digest and row groups of a file; its label is its language."""
    return survey_file(path, row_group_bytes, folder_of(path))


def split_languages(settings: BigCodeSettings, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
    """Parts in digest order."""
    return split_by_digest(settings.name, inputs, part_bytes, settings.max_bytes)


def code_columns(settings: BigCodeSettings, folder: str) -> list[Column]:
    """The common columns of files in a language folder."""
    plain = folder not in OTHER_KINDS
    columns = [Column("text_column", settings.text_column)]
    others = ("repo_column", "path_column", "stars_column", "id_column")
    return columns + [Column(setting, getattr(settings, setting), plain) for setting in others if getattr(settings, setting)]


def code_rows(settings: BigCodeSettings, each: Input, block: Block) -> Rows:
    """Rows of one block, metadata tokens taken off the texts, without licences."""
    n = block.batch.num_rows
    problems: Problems = {}

    def names(column: str) -> pa.StringArray:
        return as_names(block.column(column), column, problems) if block.has(column) else constant("", n)

    counts = as_counts(block.column(settings.stars_column)) if block.has(settings.stars_column) else pa.nulls(n, pa.int64())
    body = as_text(block.column(settings.text_column), settings.text_column, problems)
    text, repo, path, stars = take_metadata(body, names(settings.repo_column), names(settings.path_column), counts)
    return Rows(
        origins=block.origins(each),
        text=text,
        marks=no_marks(n),
        language=constant(each.label, n),
        kind=constant(OTHER_KINDS.get(each.label, "code"), n),
        repo=repo,
        path=path,
        id=names(settings.id_column),
        stars=stars,
        licenses=no_licenses(n),
        evidence=constant(settings.no_license_evidence, n),
        problems=problems,
    )

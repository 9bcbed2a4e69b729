"""Earlier corpora that documents are deduplicated against: `[[dedup.reference]]` tables."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from contracts.settings import Settings
from pipelines.sources import SourceSettings


class ReferenceSettings(Settings):
    """One earlier corpus. Its documents remove documents here, and none of them is removed.

    Where it is a run with a `dedup` stage, what that removed is no part of it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """What removals call it."""

    run: str = ""
    """Folder or URL of a finished run: its `curate` stage is the corpus. Its signatures are used if it has any; else they are made here."""

    source: SourceSettings | None = None
    """Instead of `run`: a raw corpus, as a `[[source]]` table says it. It is read without filters into RUN/references/NAME."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.run) == (self.source is not None):
            raise ValueError(
                f"reference {self.name!r} has {'both run and source' if self.run else 'neither run nor source'}: give one of them, run = "
                '"FOLDER" for a finished run, or a table [dedup.reference.source] for a raw corpus'
            )
        return self

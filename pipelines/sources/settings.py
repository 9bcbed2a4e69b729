"""Settings that every source has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.settings import Settings
from pipelines.sources.base import Source

LicensePolicy = Literal["require", "permissive_by_construction", "keep_unknown"]

Kind = Literal["code", "prose", "issue", "commit", "notebook", "chat"]

Serialised = Literal["", "starcoder"]


class SourceBase(Settings):
    """One `[[source]]` table; each source adds its own settings and says what `type` selects it."""

    type: str
    """Which source this is: a key of pipelines.sources.SOURCES."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    """Name of the stratum that its documents belong to: small letters, digits, `_` and `-`, since folders are named after it."""

    license_policy: LicensePolicy = "require"
    """What becomes of a document without a licence: "require" drops it; "permissive_by_construction" keeps it because whoever
    made the corpus selected permissive files; "keep_unknown" keeps it all the same. A licence that is known must be allowed
    under every policy."""

    max_bytes: int | None = Field(default=None, ge=1)
    """Reads at most this many bytes of text, estimated before reading: whole pieces (Parquet row groups, runs of JSON lines,
    files) in an order that their contents decide. The first piece is always taken, however large."""

    def open(self) -> Source:
        """The source that these settings describe; nothing is read yet."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its source is opened.")

    @property
    def no_license_evidence(self) -> str:
        """What `license_evidence` says of a document without a licence."""
        words = {
            "require": "none found",
            "permissive_by_construction": f"source {self.name!r} declares its documents permissive",
            "keep_unknown": "unknown",
        }
        return words[self.license_policy]

"""The manifest: the one file that makes a stage's output exist.

It is written last and atomically. A reader that finds none refuses, so a crash can never pass for a result. It holds no time, host,
runner or worker count: the same recipe on the same input gives the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.errors import StageError
from contracts.schemas import FORMAT_VERSION


@dataclass(frozen=True)
class FileEntry:
    """One committed file. `path` is relative to the stage's folder, `xxh3_64` is in hex."""

    path: str
    rows: int
    bytes: int
    xxh3_64: str
    tokens: int = 0
    stratum: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a stage was asked for, made from, and made."""

    stage: str
    config: dict[str, Any]
    seed: int
    upstream: dict[str, str]
    """Digest of each input: an earlier stage's `digest`, or of the corpus."""
    versions: dict[str, str]
    totals: dict[str, int]
    statistics: dict[str, Any]
    files: list[FileEntry] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """Digest of what was made: file names and contents, nothing else."""
        return digest_of([[entry.path, entry.xxh3_64] for entry in self.files])

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, two-space indent, final newline."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> Manifest:
        """Parse `to_json`'s text. Raises StageError for damaged or newer manifests; `where` names the file in the message."""
        try:
            values = json.loads(text)
            version = values["format_version"]
            if version != FORMAT_VERSION:
                raise StageError(
                    f"{where} has format version {version!r}, this Spanmill reads {FORMAT_VERSION}. "
                    "Use the version that wrote it, or make the stage again in a new output folder."
                )
            files = [FileEntry(**entry) for entry in values.pop("files")]
            for name in ("config", "upstream", "versions", "totals", "statistics"):
                if not isinstance(values[name], dict):
                    raise TypeError(f"{name} is {type(values[name]).__name__}, must be an object")
            return Manifest(files=files, **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StageError(
                f"{where} is not a Spanmill manifest ({type(error).__name__}: {error}). Make the stage again."
            ) from None


def digest_of(value: Any) -> str:
    """128-bit hex digest of any JSON value; equal values give equal digests on every machine."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

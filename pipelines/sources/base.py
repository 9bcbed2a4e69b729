"""What a source is: a place that documents come from, read part by part.

    list_inputs()          the names of its files, in any order                    where the job is submitted
    survey(path)           one file's size, digest and pieces                      on workers, one element a file
    split(inputs, size)    parts, in an order that no file name decides            where the job is submitted
    read(part)             batches of documents, and rows for what cannot be read  on workers, one element a part

A source knows nothing of Beam. It is pickled into workers, so it holds settings, never open files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

DIGEST_LENGTH = 16
"""Hex digits of a sha256 that inputs are known by: 64 bits, which a million files share with a chance of 1 in 37 million."""


@dataclass(frozen=True)
class Input:
    """One surveyed file."""

    path: str
    """Where it lies: a path or URL that fsspec opens. Never part of an output."""
    size: int
    """Bytes as stored."""
    digest: str
    """The first DIGEST_LENGTH hex digits of the sha256 of its bytes, which the hub tells without their being read; for an unreadable
    file xxh3-64 of the words that say why."""
    units: tuple[int, ...] = ()
    """Uncompressed bytes of each piece that can be read alone (Parquet row groups, runs of JSON lines); empty where a file is
    read whole."""
    label: str = ""
    """The part of its name that belongs to its documents (a language folder, the path in a source tree); empty where a name
    means nothing."""
    unreadable: str = ""
    """Why the survey could not read it: `read` quarantines it for that. Empty for a file whose bytes were digested: they must be
    there when it is read."""
    xxh3: str = ""
    """xxh3-64 of its bytes, 16 hex digits, to check them by at 20 GB/s when they are read; empty where the survey did not read them:
    then they are checked by their sha256, at 1 GB/s."""


@dataclass(frozen=True)
class Part:
    """What one worker reads at a time: some whole files, or pieces [start, stop) of one."""

    source: str
    inputs: tuple[Input, ...]
    start: int = 0
    stop: int = 0
    """0 stands for the end."""
    copy: int = 0
    """0 for the first input with these bytes, 1 for the second …: keeps the ids of equal files apart."""


class Reading(NamedTuple):
    """One batch from a part."""

    documents: pa.RecordBatch
    """Schema contracts.schemas.DOCUMENT."""
    lost: pa.RecordBatch
    """Schema contracts.schemas.DECISION, every row with outcome "quarantined"."""


class Source(Protocol):
    """One `[[source]]` of a recipe."""

    @property
    def name(self) -> str:
        """Name in the recipe; the stratum that its documents belong to."""
        ...

    def list_inputs(self) -> list[str]:
        """Every input file. Raises InputError if there is none."""
        ...

    def survey(self, path: str) -> Input:
        """Reads the file once, or as much as tells its pieces where the store tells its digest.

        Never raises for a local file that is damaged or cannot be opened: `read` quarantines it. Raises InputError for a store that
        fails or grants no access.
        """
        ...

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Parts of about `part_bytes` uncompressed bytes, ordered by content digest, or by label where labels are paths.

        Does not depend on the order of `inputs`.
        """
        ...

    def read(self, part: Part) -> Iterator[Reading]:
        """Batches of a few MB, in the part's order. Damaged content, and what the survey could not open, comes back in `lost`.

        Raises InputError for a file that was surveyed and is gone, cannot be read or has changed, and for a store that fails or grants
        no access; no document is lost for such.
        """
        ...

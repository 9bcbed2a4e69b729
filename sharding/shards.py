"""The committed shards of a run, by source, and the names that the other rooms use for shards.

`open_shards` reads the manifest and opens nothing but the first file; every other file is opened when a row of it is first asked for, in
0.1 ms, and stays open. What grows with the corpus is small beside it:

    start-up           25 ms for a manifest of 8,000 files, which are 0.4 TiB of text at 48 MiB each
    an open file       some tens of KB
    in random order    200,000 rows/s over 600 files, and 8,000 over 8,000, which are more than are open at once (one core, views of rows)

(benchmarks/open_shards.py, on small shards)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import fsspec
import numpy as np

from contracts.errors import ShardError, StageError, unknown_name
from contracts.manifest import FileEntry, Manifest
from contracts.schemas import held_out_of, is_held_out
from sharding.forgotten import Mask
from sharding.masked_shard import MaskedShard
from sharding.metadata import ShardMetadata
from sharding.segments import Int64, SegmentTable
from sharding.shard_file import Shard, is_local, write_shard
from sharding.token_ids import TokenIds, token_dtype

__all__ = ["SegmentTable", "Shard", "ShardMetadata", "ShardSet", "TokenIds", "open_shards", "token_dtype", "write_shard"]

MAX_MAPPED = 4096
"""Files of a set on a disk that are open at once. Each is a mapping, of which a process may have 65,530, and holds no file descriptor."""

MAX_IN_MEMORY = 256
MAX_BYTES_IN_MEMORY = 4 * 2**30
"""At most so many files, and bytes of files, that are open at once where that holds them in memory: from a store whole, compressed ones
the batches that were read last."""

AGREED = ("context_length", "vocab_size", "tokenizer_sha256", "special_ids")
"""What all shards of a set must have in common."""


@dataclass(frozen=True)
class Stratum:
    """The files of one source, by their numbers, and the row at which each begins."""

    entries: list[FileEntry]
    first_rows: Int64
    """int64[files + 1]"""

    @property
    def rows(self) -> int:
        """Rows of all files together."""
        return int(self.first_rows[-1])


@dataclass
class ShardSet:
    """All shards of a stage. Rows of a source are numbered from 0 through its files, by the files' numbers."""

    stage_dir: str
    manifest: Manifest
    strata: dict[str, Stratum]
    mask: Mask | None = None
    """What was forgotten since the shards were made; every row that is read here has padding in its place."""
    metadata: ShardMetadata = field(init=False)
    """Of the first shard; only the fields in AGREED hold for all."""

    def __post_init__(self) -> None:
        self._opened = functools.lru_cache(maxsize=_most_open(self.stage_dir, self.manifest))(self._open)
        self.metadata = Shard.open(self._path(self.manifest.files[0])).metadata

    @property
    def sources(self) -> list[str]:
        """Strata to train on, in manifest order: names of sources, or SOURCE/LANGUAGE."""
        return [name for name in self.strata if not is_held_out(name)]

    def held_out(self, source: str) -> str:
        """The stratum of documents that were held out of a source, or "" if there is none."""
        name = held_out_of(source)
        return name if name in self.strata else ""

    def passes(self, source: str) -> list[int]:
        """Rows of each pass over the documents of a source; they follow one another."""
        rows: list[int] = np.diff(self._stratum(source).first_rows[:: self._files_of_a_pass(source)]).tolist()
        return rows

    def rows_for_evaluation(self) -> dict[str, int]:
        """Rows that evaluation may be taken from, by stratum: none where documents come again in other passes and none was held out."""
        return {name: self.rows(name) if self.held_out(name) or len(self.passes(name)) == 1 else 0 for name in self.sources}

    def rows(self, source: str) -> int:
        """Number of rows of one source. Raises ShardError for an unknown one."""
        return self._stratum(source).rows

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """uint16 or uint32: of the token ids."""
        return token_dtype(self.metadata.vocab_size)

    def row(self, source: str, index: int) -> tuple[TokenIds, SegmentTable]:
        """One row of a source as views: its ids, uint16|uint32[context_length + 1], and its segments."""
        stratum = self._stratum(source)
        number = int(np.searchsorted(stratum.first_rows, index, side="right")) - 1
        shard, offset = self.shard(source, number), index - int(stratum.first_rows[number])
        return shard.row(offset), shard.segments(offset)

    def shard(self, source: str, number: int) -> Shard:
        """The `number`-th file of a source, opened on first use and checked against the set."""
        return self._opened(source, number)

    def close(self) -> None:
        """Lets go of the files opened so far: from a store each is held in memory whole. They are opened again when they are needed."""
        self._opened.cache_clear()

    def _open(self, source: str, number: int) -> Shard:
        entry = self._stratum(source).entries[number]
        shard = Shard.open(self._path(entry))
        for name in AGREED:
            self._must_agree(shard, name)
        if shard.rows != entry.rows or shard.metadata.source != source:
            found = f"{shard.rows} rows of source {shard.metadata.source!r}"
            raise ShardError(f"{shard.path} holds {found}; the manifest says {entry.rows} of {source!r}. Copy the folder again.")
        epoch = int(self.manifest.config.get("epoch", 0)) + number // self._files_of_a_pass(source)
        if shard.metadata.epoch != epoch:
            found = f"rows of epoch {shard.metadata.epoch}; by its number those of epoch {epoch} should be there"
            raise ShardError(f"{shard.path} holds {found}. Copy the folder again, or make the shard stage again.")
        hidden = self.mask.of(entry.path) if self.mask else None
        return MaskedShard.of(shard, hidden) if hidden else shard

    def _must_agree(self, shard: Shard, name: str) -> None:
        seen, allowed = getattr(shard.metadata, name), getattr(self.metadata, name)
        if seen is not allowed and seen != allowed:
            shown = "" if name == "special_ids" else f" is {seen!r}, elsewhere {allowed!r}"
            raise ShardError(
                f"{shard.path}: {name}{shown} differs from the other shards. Do not mix shards of several runs in a folder."
            )

    def _files_of_a_pass(self, source: str) -> int:
        files, passes = len(self._stratum(source).entries), 1 if is_held_out(source) else int(self.manifest.config.get("epochs", 1))
        if files % passes:
            raise ShardError(
                f"{self.stage_dir}: {source!r} has {files} shards, which cannot be {passes} passes. Make the stage again."
            )
        return files // passes

    def _stratum(self, source: str) -> Stratum:
        if source not in self.strata:
            raise ShardError(unknown_name("source", source, self.strata))
        return self.strata[source]

    def _path(self, entry: FileEntry) -> str:
        return f"{self.stage_dir.rstrip('/')}/{entry.path}"


def open_shards(stage_dir: str) -> ShardSet:
    """The shards committed in a stage's folder, local or any fsspec URL.

    Raises StageError where there is no finished manifest, ShardError where there are no rows, the shards do not fit together, or the mask
    of forgotten documents is not theirs.
    """
    manifest = _read_manifest(stage_dir)
    by_source: dict[str, list[FileEntry]] = {}
    for entry in manifest.files:
        by_source.setdefault(entry.stratum, []).append(entry)
    strata = {source: _stratum_of(entries) for source, entries in by_source.items()}
    if not any(stratum.rows for stratum in strata.values()):
        raise ShardError(
            f"{stage_dir}: the manifest lists no rows. Check what the filters dropped, then make the shard stage again."
        )
    return ShardSet(stage_dir, manifest, strata, Mask.open(stage_dir, manifest.digest))


def _most_open(stage_dir: str, manifest: Manifest) -> int:
    if is_local(stage_dir) and manifest.config.get("compression", "none") == "none":
        return MAX_MAPPED
    largest = max([1, *(entry.bytes for entry in manifest.files)])
    return max(1, min(MAX_IN_MEMORY, MAX_BYTES_IN_MEMORY // largest))


def _stratum_of(files: list[FileEntry]) -> Stratum:
    """Manifests sort paths as text: 10000.arrow, 100000.arrow, 10001.arrow."""
    entries = sorted(files, key=lambda entry: (len(entry.path), entry.path))
    return Stratum(entries, np.cumsum([0, *(entry.rows for entry in entries)], dtype=np.int64))


def _read_manifest(stage_dir: str) -> Manifest:
    path = f"{stage_dir.rstrip('/')}/manifest.json"
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise StageError(
            f"{path} does not exist, so these shards are not finished. Run the shard stage until it commits."
        ) from None
    return Manifest.from_json(text, path)

"""What every format needs: the shards, where to write, and files that appear whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from contracts.errors import ShardError
from contracts.manifest import FileEntry
from pipelines.export.rows import RowBatch, read_rows
from pipelines.storage import join, write_file
from sharding.shards import ShardSet


@dataclass(frozen=True)
class Job:
    """One export."""

    shards: ShardSet
    output: str
    """Folder or URL."""
    folders: dict[str, str]
    """Name of each source in the output, see `folder_names`."""

    @property
    def row_length(self) -> int:
        """Tokens of a row: one more than the context."""
        return self.shards.metadata.context_length + 1

    @property
    def sources(self) -> list[str]:
        """Strata that have rows, in the order of the shards: sources to train on, and what was held out of them."""
        return [name for name in self.shards.strata if self.shards.rows(name)]

    def ranges(self, source: str, rows_per_file: int) -> list[tuple[int, int]]:
        """The rows [first, last) of each output file of a source; all but the last are of one size."""
        rows = self.shards.rows(source)
        return [(first, min(first + rows_per_file, rows)) for first in range(0, rows, rows_per_file)]

    def rows(self, source: str, first: int = 0, last: int | None = None) -> Iterator[RowBatch]:
        """Rows [first, last) of a source in their order; all without bounds."""
        return read_rows(self.shards, source, first, self.shards.rows(source) if last is None else last)

    def write(self, path: str, write: Callable[[BinaryIO], Any], source: str, rows: int) -> FileEntry:
        """A file at `path` below the output, which appears when it is whole."""
        written = write_file(join(self.output, path), write)
        return FileEntry(path, rows, *written, tokens=rows * self.row_length, stratum=source)


class Format(NamedTuple):
    """One way to write rows."""

    write: Callable[[Job], list[FileEntry]]
    """Writes all files, a source's index after its data."""
    how_to_read: str
    """One line."""
    lost: tuple[str, ...]
    """What a shard says and the format does not, and what readers do with it; a line each."""


def folder_names(sources: Sequence[str]) -> dict[str, str]:
    """A flat name for each source: "/" becomes ".", since most readers take all that lies below a folder as one data set.

    Raises ShardError where two would share a name, or one would leave the output folder.
    """
    names = {source: source.replace("/", ".") for source in sources}
    taken: dict[str, str] = {}
    for source, name in names.items():
        if not name.strip(".") or "\\" in name:
            raise ShardError(f"Source {source!r} cannot be the name of a folder. Give it another name in the recipe.")
        if name in taken:
            raise ShardError(f"Sources {taken[name]!r} and {source!r} would both be written to {name!r}. Rename one in the recipe.")
        taken[name] = source
    return names

"""Finding documents by the names that people know: a repository, a path.

There is no index: a question is one pass over two columns of curate's documents, a few files at a time, so that memory does not grow with
the corpus. Repositories are compared without regard to the case of letters, as their hosts do; paths must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import InputError
from pipelines.storage import join, read_manifest
from pipelines.storage.errors import reading
from pipelines.storage.systems import file_system

READERS = 8
"""Files that are read at a time."""

SHOWN = ("doc_id", "source", "language", "repo", "path")
"""Columns that tell a document to people."""

Row = dict[str, Any]
Read = TypeVar("Read")


class Place(NamedTuple):
    """A path of one repository, or of any."""

    repo: str
    """Empty for any repository."""
    path: str

    @staticmethod
    def of(line: str) -> Place:
        """From `PATH`, or `REPO<TAB>PATH`."""
        repo, tab, path = line.partition("\t")
        return Place(repo.strip(), path.strip()) if tab else Place("", line)

    def folded(self) -> Place:
        """As it is compared."""
        return Place(self.repo.casefold(), self.path)

    def words(self) -> str:
        """As it is told."""
        return f"{self.repo}: {self.path}" if self.repo else self.path


class Names(NamedTuple):
    """Repositories, and paths; a document is named if it is of any of them."""

    repos: frozenset[str]
    """In small letters, as `str.casefold` makes them."""
    paths: frozenset[Place]
    """Folded."""

    @staticmethod
    def of(repos: Collection[str], paths: Collection[Place] = ()) -> Names:
        """However they are spelled."""
        return Names(frozenset(repo.casefold() for repo in repos), frozenset(place.folded() for place in paths))

    def places_of(self, row: Row) -> set[Place]:
        """Those of the paths that a document is named by."""
        return {Place("", row["path"]), Place(row["repo"].casefold(), row["path"])} & self.paths


class Found(NamedTuple):
    """Documents of one file."""

    total: int
    rows: list[Row]
    """The columns that were asked for, and no more rows."""


def documents_named(curate: str, names: Names, columns: Sequence[str] = SHOWN, at_most: int | None = None) -> Iterator[Found]:
    """The documents that curate kept under the names, file by file in order; of each file's at most so many rows."""
    if names.repos or names.paths:
        yield from each_file(curate, partial(_read, names=names, columns=columns, at_most=at_most))


def each_file(curate: str, read: Callable[[str], Read]) -> Iterator[Read]:
    """What `read` makes of each file of documents, in order. No more than a few results wait at a time."""
    files = [join(curate, entry.path) for entry in read_manifest(curate).files if entry.path.startswith("documents/")]
    with ThreadPoolExecutor(READERS) as readers:
        for first in range(0, len(files), 4 * READERS):
            yield from readers.map(read, files[first : first + 4 * READERS])


def row_groups(path: str, columns: Collection[str]) -> Iterator[tuple[pa.Table, Callable[..., pa.Table]]]:
    """Columns of each row group of a file, and what reads others of the same group. Raises InputError for a file that cannot be read."""
    try:
        with reading(path):
            fs, name = file_system(path)
            with fs.open(name, "rb", cache_type="none") as file:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    read = partial(parquet.read_row_group, group, use_threads=False)
                    yield read(columns=list(columns)), read
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} cannot be read ({error}): it was removed or damaged. Make the stage again.") from None


def is_of(repos: pa.ChunkedArray, wanted: Collection[str]) -> pa.ChunkedArray:
    """For each of a column of repositories, bool: whether it is one of those wanted, which are folded."""
    here = [repo for repo in pc.unique(repos).to_pylist() if repo.casefold() in wanted]
    return pc.is_in(repos, value_set=pa.array(here, pa.string()))


def _read(path: str, names: Names, columns: Sequence[str], at_most: int | None) -> Found:
    total = 0
    rows: list[Row] = []
    for table, read in row_groups(path, ("repo", "path")):
        named = _is_named(table, names)
        here = int(pc.sum(named).as_py() or 0)
        total += here
        if here and (at_most is None or len(rows) < at_most):
            found = read(columns=list(columns)).filter(named)
            rows += found.slice(0, None if at_most is None else at_most - len(rows)).to_pylist()
    return Found(total, rows)


def _is_named(table: pa.Table, names: Names) -> pa.ChunkedArray:
    """For each row of a table with the columns `repo` and `path`, bool."""
    of_repos = is_of(table["repo"], names.repos)
    likely = pc.is_in(table["path"], value_set=pa.array(sorted({place.path for place in names.paths}), pa.string()))
    if not pc.any(likely).as_py():
        return of_repos
    named = [(row is not None) and bool(names.places_of(row)) for row in _rows_where(table, likely)]
    return pc.or_(of_repos, pa.chunked_array([pa.array(named, pa.bool_())]))


def _rows_where(table: pa.Table, likely: pa.ChunkedArray) -> Iterator[Row | None]:
    """Each row of a table where a condition holds, None for the others."""
    few = iter(table.filter(likely).to_pylist())
    for holds in likely.to_pylist():
        yield next(few) if holds else None

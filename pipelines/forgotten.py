"""What a run has been asked to forget. The list outlives its shards, so that making them again does not bring anything back.

    RUN/forget/documents.npy     uint8[n, 16]: ids, ascending, of all documents that were named, or were of a repository that was
    RUN/forget/repos.json        names of repositories, small letters
    RUN/forget/paths.json        [repository, path] of each, the repository in small letters, or empty for a path of any; only if asked for
    RUN/forget/receipts/ID.json  what was asked and what was found; ID is a digest of the question and of the shards

The list only grows. To take something back, remove RUN/forget and RUN/shard/forgotten and ask for the rest again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import InputError
from contracts.manifest import digest_of
from pipelines import lookup
from pipelines.cells import some
from pipelines.named import Names, Place, Row, documents_named
from pipelines.rows import load, save
from pipelines.storage import exists, join, read_bytes_or_none, write_bytes

DOCUMENTS, REPOS, PATHS, RECEIPTS = "forget/documents.npy", "forget/repos.json", "forget/paths.json", "forget/receipts"

REMEDY = "Restore it from a copy: without it, documents that were forgotten would come back."


def as_rows(ids: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """uint8[n, 16]: the ids in order, each once."""
    return np.frombuffer(b"".join(sorted(set(ids))), np.uint8).reshape(-1, 16)


@dataclass(frozen=True)
class Listed:
    """The list of one run."""

    ids: frozenset[bytes]
    repos: frozenset[str]
    """Names in small letters, as `str.casefold` makes them."""
    paths: frozenset[Place] = frozenset()
    """Repositories in small letters."""

    @staticmethod
    def of(run_dir: str) -> Listed:
        """The list as it is; empty if nothing was ever forgotten. Raises InputError if it is damaged."""
        return Listed(_read_ids(join(run_dir, DOCUMENTS)), _read_repos(join(run_dir, REPOS)), _read_paths(join(run_dir, PATHS)))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever forgotten."""
        return not (self.ids or self.repos or self.paths)

    @property
    def names(self) -> Names:
        """What stands for all documents of its name, whichever the corpus has."""
        return Names(self.repos, self.paths)

    def holds(self, doc_id: bytes, row: Row | None) -> bool:
        """Whether a document is on it, by its id or by its names, if these are known."""
        if doc_id in self.ids:
            return True
        return row is not None and (row["repo"].casefold() in self.repos or bool(self.names.places_of(row)))

    def words(self) -> str:
        """How much is on it: 12 documents, 1 repository, 3 paths."""
        repos, paths = some(len(self.repos), "repository", "repositories"), some(len(self.paths), "path")
        names = [*([repos] if self.repos else []), *([paths] if self.paths else [])]
        return ", ".join([some(len(self.ids), "document"), *names])

    def with_(self, ids: Collection[bytes], repos: Collection[str], paths: Collection[Place] = ()) -> Listed:
        """With more on it."""
        names = Names.of(repos, paths)
        return Listed(self.ids.union(ids), self.repos | names.repos, self.paths | names.paths)

    def write(self, run_dir: str) -> None:
        """Makes it the run's list, each file at once."""
        write_bytes(join(run_dir, REPOS), (json.dumps(sorted(self.repos), indent=1, ensure_ascii=True) + "\n").encode())
        if self.paths:
            write_bytes(join(run_dir, PATHS), (json.dumps(sorted(self.paths), indent=1, ensure_ascii=True) + "\n").encode())
        save(join(run_dir, DOCUMENTS), as_rows(self.ids))


def forgotten_ids(run_dir: str, input_dir: str = "") -> npt.NDArray[np.uint8]:
    """uint8[n, 16], ascending: documents that the shards of a run must leave out, by its own list and that of the run it takes stages from.

    A repository or path that was forgotten counts with all documents that it has in the curate stage now, so that a newer corpus brings
    nothing of it back. Cost: nothing where no list is; with repositories or paths, one pass over two columns of curate's documents.
    """
    lists = [Listed.of(base) for base in (run_dir, input_dir) if base]
    ids = {doc_id for each in lists for doc_id in each.ids}
    names = Names.of({repo for each in lists for repo in each.repos}, {place for each in lists for place in each.paths})
    if curate := lookup.folder_of("curate", run_dir, input_dir):
        ids.update(row["doc_id"] for found in documents_named(curate, names, columns=("doc_id",)) for row in found.rows)
    return as_rows(ids)


def forgotten_digest(run_dir: str, input_dir: str = "") -> str:
    """Digest of the lists that `forgotten_ids` goes by, or "" if nothing is on them. Costs no pass over the corpus.

    It belongs to what an unfinished shard stage has done, which must be done again when more is forgotten, but not to what finished shards
    are: those have their mask.
    """
    lists = [Listed.of(base) for base in (run_dir, input_dir) if base]
    ids = sorted({doc_id.hex() for each in lists for doc_id in each.ids})
    repos = sorted({repo for each in lists for repo in each.repos})
    paths = sorted({place for each in lists for place in each.paths})
    return digest_of([ids, repos, *([paths] if paths else [])]) if ids or repos or paths else ""


def _read_ids(path: str) -> frozenset[bytes]:
    if not exists(path):
        return frozenset()
    try:
        ids = load(path)
    except (EOFError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}). {REMEDY}") from None
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.shape[1] != 16:
        raise InputError(f"{path} holds {ids.dtype}{list(ids.shape)}; uint8[n, 16] is needed. {REMEDY}")
    return frozenset(row.tobytes() for row in ids)


def _read_repos(path: str) -> frozenset[str]:
    names = _read_json(path)
    if not _are_strings(names):
        raise InputError(f"{path} is no list of names. {REMEDY}")
    return frozenset(names)


def _read_paths(path: str) -> frozenset[Place]:
    places = _read_json(path)
    if not isinstance(places, list) or not all(_are_strings(each) and len(each) == 2 for each in places):
        raise InputError(f"{path} is no list of repositories and paths. {REMEDY}")
    return frozenset(Place(*each) for each in places)


def _read_json(path: str) -> Any:
    """What a file holds; an empty list if it is not there."""
    content = read_bytes_or_none(path)
    try:
        return [] if content is None else json.loads(content)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}). {REMEDY}") from None


def _are_strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)

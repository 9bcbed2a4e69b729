"""The kept documents of a run, as later stages read them: curate's parts, less the rows that dedup removed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from fsspec.core import url_to_fs

from contracts.errors import StageError
from contracts.manifest import FileEntry, Manifest
from pipelines.storage import exists, is_local, join, read_bytes, read_manifest

LARGE_GROUP = 32 * 2**20
"""Bytes of a row group after which memory that Arrow keeps for later is given back."""

REMOVED_ROWS = "removed_rows"
"""dedup/removed_rows/PART.npy: int64, ascending row numbers of curate/documents/PART.parquet that are duplicates."""


@dataclass(frozen=True)
class Committed:
    """A committed stage as one job sees it; pickled into workers, which read its manifest when they need it."""

    folder: str
    digest: str
    """What the manifest had when the job was submitted."""

    @staticmethod
    def at(folder: str) -> Committed:
        """The stage as it is now. Raises StageError if it is not committed."""
        return Committed(folder, read_manifest(folder).digest)

    @property
    def manifest(self) -> Manifest:
        """Read once in each process. Raises StageError if it is no longer the one that the job was submitted for."""
        return _manifest(self.folder, self.digest)

    def file(self, path: str) -> FileEntry:
        """The manifest's entry of a file."""
        return _entries(self.folder, self.digest)[path]

    def parts(self) -> list[FileEntry]:
        """Of the curate stage: files of documents, in part order."""
        return [entry for entry in self.manifest.files if entry.path.startswith("documents/")]


@lru_cache(maxsize=16)
def _manifest(folder: str, digest: str) -> Manifest:
    manifest = read_manifest(folder)
    if manifest.digest != digest:
        raise StageError(
            f"{folder} was made again while a later stage was reading it (digest {digest} became {manifest.digest}): run the same "
            "command again."
        )
    return manifest


@lru_cache(maxsize=16)
def _entries(folder: str, digest: str) -> dict[str, FileEntry]:
    return {entry.path: entry for entry in _manifest(folder, digest).files}


@dataclass(frozen=True)
class Corpus:
    """The stages that hold the documents."""

    curate: Committed
    dedup: Committed

    def parts(self) -> list[FileEntry]:
        """Files of documents, in part order."""
        return self.curate.parts()

    def removed(self, part: FileEntry) -> npt.NDArray[np.int64]:
        """int64[k]: rows of a part that dedup removed."""
        return removed_rows(self.dedup, part)

    def groups(
        self, part: FileEntry, columns: Sequence[str], wanted: Collection[int] | None = None
    ) -> Iterator[tuple[int, pa.Table, npt.NDArray[np.bool_]]]:
        """The rows of a part's row groups, in order: (number, rows, which of them were kept bool[rows]); only of the `wanted` groups.

        Rows that were removed are there too, so that nothing is copied: a document may be most of a worker's memory. Holds a few megabytes
        of text, or one document. Raises StageError if the part is not what its manifest lists.
        """
        gone = self.removed(part)
        pa.default_memory_pool().release_unused()  # of the part before
        file = pq.ParquetFile(pa.BufferReader(read_checked(self.curate.folder, part)))
        first = 0
        for number in range(file.num_row_groups):
            begin, rows = first, file.metadata.row_group(number).num_rows
            first += rows
            if wanted is not None and number not in wanted:
                continue
            table = file.read_row_group(number, columns=list(columns), use_threads=False)
            keep = np.ones(rows, np.bool_)
            keep[gone[(gone >= begin) & (gone < first)] - begin] = False
            if table.nbytes > LARGE_GROUP:  # reading it took three times as much
                pa.default_memory_pool().release_unused()
            held = [table.combine_chunks()]
            del table
            if keep.any():
                yield number, held.pop(), keep

    def read(self, part: FileEntry, columns: Sequence[str]) -> pa.Table:
        """The kept rows of a part, in order. Cost: a worker holds the part once, about 3 times its Parquet size.

        Raises StageError if the part is not what its manifest lists.
        """
        table = read_part(self.curate.folder, part, columns)
        gone = self.removed(part)
        if len(gone) == 0:
            return table
        keep = np.ones(table.num_rows, np.bool_)
        keep[gone] = False
        return table.filter(pa.array(keep))


def removed_rows(dedup: Committed, part: FileEntry) -> npt.NDArray[np.int64]:
    """int64[k]: rows of a part of the curate stage that a dedup stage removed."""
    name = f"{REMOVED_ROWS}/{part.path.split('/')[-1].replace('.parquet', '.npy')}"
    removed: npt.NDArray[np.int64] = np.load(pa.BufferReader(read_checked(dedup.folder, dedup.file(name))))
    return removed


def find_corpus(run_dir: str, input_dir: str) -> Corpus:
    """The documents that dedup left. Raises StageError if a stage is missing, or if dedup was made from another curate stage."""
    corpus = Corpus(find(run_dir, input_dir, "curate"), find(run_dir, input_dir, "dedup"))
    found = corpus.dedup.manifest.upstream.get("curate")
    if found != corpus.curate.digest:
        raise StageError(
            f"{corpus.dedup.folder} was made from another curate stage (digest {found}) than {corpus.curate.folder} (digest "
            f"{corpus.curate.digest}): its row numbers would remove the wrong documents. Run `spanmill dedup` with the same --output and "
            "--input first."
        )
    return corpus


def find(run_dir: str, input_dir: str, stage: str) -> Committed:
    """An earlier stage: this run's, or else the input run's. Raises StageError if neither has committed it."""
    for base in (run_dir, input_dir):
        if base and exists(join(base, stage, "manifest.json")):
            return Committed.at(join(base, stage))
    looked = " nor in ".join(base for base in (run_dir, input_dir) if base)
    raise StageError(
        f"The {stage!r} stage is not finished: there is no {stage}/manifest.json in {looked}. "
        f"Run `spanmill {stage}` first, or name the folder of a run that has it with --input."
    )


def read_checked(folder: str, entry: FileEntry) -> pa.Buffer:
    """A file that a manifest lists; mapped on a local disk. Raises StageError if its bytes are others than those listed."""
    path = join(folder, entry.path)
    content = _content(path)
    found = f"{xxhash.xxh3_64_intdigest(content):016x}"
    if found != entry.xxh3_64:
        raise StageError(
            f"{path} is not the file that its manifest lists (xxh3-64 {found}, should be {entry.xxh3_64}): it was changed or damaged. "
            f"Remove the folder {folder} and make the stage again."
        )
    return content


def read_part(folder: str, part: FileEntry, columns: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file, from the very bytes that were checked."""
    return _columns(read_checked(folder, part), columns)


def read_columns(path: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file, each as one chunk."""
    return _columns(_content(path), columns)


def _columns(content: pa.Buffer, columns: Sequence[str]) -> pa.Table:
    return pq.read_table(pa.BufferReader(content), columns=list(columns), use_threads=False).combine_chunks()


def _content(path: str) -> pa.Buffer:
    """A whole file: mapped on a local disk, fetched with one request from a store."""
    if not is_local(path):
        return pa.py_buffer(read_bytes(path))
    with pa.memory_map(url_to_fs(path)[1]) as file:
        return file.read_buffer()


def column(table: pa.Table, name: str) -> Any:
    """A column as one array; without a copy if it is one already."""
    chunks = table[name].chunks
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], table.schema.field(name).type)

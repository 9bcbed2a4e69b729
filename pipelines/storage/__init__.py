"""Files through fsspec, so written that nothing ever looks finished that is not.

The commit protocol, on every storage:

1. A file appears under its name whole or not at all. On a local disk it is written under another name, flushed to the disk and
   renamed. A store (s3, gs, abfs, memory) has no renaming, but shows an object only when all of it has arrived: there a file is made
   whole on the worker, then sent under its own name. On any other file system (hdfs, sftp, smb) it is written under another name, then
   renamed. `pipelines.storage.systems` holds the table.
2. A receipt is written after the files it speaks of, the manifest after all receipts. Without a manifest there is no stage, whatever
   else lies in its folder.
3. Names come from what is done, bytes from recipe and corpus. Two workers that do the same item at once write the same bytes under the
   same name, and which of them is last does not matter. Nothing that is there is removed because writing it again failed.
4. Listings do not decide alone. The clients' memories of them are off; a store's own may be old. What a listing lacks, or still shows,
   is asked for by name, which S3 and Google answer truly: `exists`, `read_bytes_or_none`, `read_many`, `sizes_of`.

A killed worker may leave, on disks and other file systems, files with TEMPORARY in their names; on S3, parts of an upload, which no
listing shows but the bill does: see `abort_uploads`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, BinaryIO, NamedTuple, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from contracts.errors import OutputError, StageError
from contracts.manifest import Manifest
from pipelines.storage.errors import reading, writing
from pipelines.storage.listing import absolute, exists, files_below, is_local, join, names_in, sizes_below, sizes_of
from pipelines.storage.lock import locked
from pipelines.storage.options import prepare
from pipelines.storage.systems import TEMPORARY, TRIES, begin, file_system, is_disk, store_of

__all__ = ["TEMPORARY", "absolute", "exists", "files_below", "is_local", "join", "locked", "names_in", "sizes_below", "sizes_of"]

prepare()


class Written(NamedTuple):
    """A finished file."""

    bytes: int
    xxh3_64: str


def remove(path: str) -> None:
    """Removes a file or a folder with all that is in it; nothing happens if it is not there. Raises OutputError where it may not.

    A store removes many objects a request and may keep single ones without a word. So what is still listed afterwards, and still
    there when asked for by name, is removed again, and an error in the end.
    """
    with writing(path):
        fs, name = file_system(path)
        for _ in range(TRIES):
            try:
                fs.rm(name, recursive=True)
            except FileNotFoundError:
                return
            left = [] if is_disk(fs) else list(sizes_of([path, *(join(path, below) for below in files_below(path))]))
            if not left:
                return
        more = f" and {len(left) - 1} more" if left[1:] else ""
        raise OutputError(f"Cannot remove {left[0]}{more}: the store keeps it. Remove {path} by other means.")


def abort_uploads(folder: str) -> int:
    """Ends uploads below `folder` that killed workers never finished, and says how many. Only S3 has such, and charges for them.

    For a stage that needs no more files: a worker that still sends one, as the twin of a finished item, is refused. Where these
    credentials may not list uploads, it does nothing; a lifecycle rule of the bucket can do the same.
    """
    fs, name = file_system(folder)
    if store_of(fs) != "s3":
        return 0
    bucket, prefix, _ = fs.split_path(name)
    aborted = 0
    with suppress(OutputError), writing(folder):
        for upload in _uploads(fs, bucket, f"{prefix.rstrip('/')}/"):
            with suppress(FileNotFoundError):
                fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                aborted += 1
    return aborted


def read_bytes(path: str) -> bytes:
    """A whole file. Raises FileNotFoundError, or InputError with a remedy."""
    with reading(path):
        fs, name = file_system(path)
        return bytes(fs.cat_file(name))


def read_bytes_or_none(path: str) -> bytes | None:
    """A whole file, asked for by name; None if it is not there."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def read_many(paths: Sequence[str]) -> dict[str, bytes]:
    """Those of many small files that are there, whole; from a store, about a hundred at once. All must be on one file system."""
    if not paths:
        return {}
    with reading(paths[0]):
        fs, _ = file_system(paths[0])
    if is_disk(fs) or not fs.async_impl:
        found = ((path, read_bytes_or_none(path)) for path in paths)
        return {path: content for path, content in found if content is not None}
    whole = [None] * len(paths)
    answers = fs.cat_ranges([fs._strip_protocol(path) for path in paths], whole, whole, on_error="return")
    return {path: content for path, answer in zip(paths, answers, strict=True) if (content := _content(path, answer)) is not None}


def read_ranges(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Pieces of one file, each from its first byte to the one before its second; from a store, about a hundred at once.

    Raises FileNotFoundError, or InputError with a remedy.
    """
    with reading(path):
        fs, name = file_system(path)
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        return [bytes(piece) for piece in fs.cat_ranges([name] * len(ranges), starts, stops, on_error="raise")]


def read_pieces(pieces: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Pieces of many files of one file system, each from its first byte to the one before its second; from a store as `read_ranges`."""
    if not pieces:
        return []
    with reading(pieces[0][0]):
        fs, _ = file_system(pieces[0][0])
        names = [fs._strip_protocol(path) for path, _, _ in pieces]
        starts, stops = [start for _, start, _ in pieces], [stop for _, _, stop in pieces]
        return [bytes(piece) for piece in fs.cat_ranges(names, starts, stops, on_error="raise")]


def write_bytes(path: str, content: bytes) -> Written:
    """A whole small file, atomically."""
    return write_file(path, lambda file: file.write(content))


def write_file(path: str, write: Callable[[BinaryIO], Any]) -> Written:
    """Calls `write` with an open file and makes what it wrote appear at `path` all at once.

    Two workers may write the same file at the same time: both write the same bytes, and the last one wins. Raises OutputError where
    there is no room, no permission, no bucket or no connection; what `write` itself raises is left as it is.
    """
    with writing(path):
        pending = begin(path)
    try:
        hashing = _Hashing(pending.file, path)
        write(cast(BinaryIO, hashing))
        with writing(path):
            pending.finish()
    except BaseException:
        pending.discard()
        raise
    return Written(hashing.written, f"{hashing.digest.intdigest():016x}")


def write_parquet(path: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Written:
    """A Parquet file of the batches, zstd level 1, one row group a batch."""

    def write(file: BinaryIO) -> None:
        options = {"compression": "zstd", "compression_level": 1, "use_dictionary": _repeating(schema), "write_statistics": False}
        with pq.ParquetWriter(file, schema, **options) as writer:
            for batch in batches:
                writer.write_batch(batch)

    return write_file(path, write)


def digest_file(path: str) -> Written:
    """Size and xxh3-64 of a file, read in pieces of 8 MiB."""
    digest, size = xxhash.xxh3_64(), 0
    with reading(path):
        fs, name = file_system(path)
        with fs.open(name, "rb") as file:
            while block := file.read(8 * 2**20):
                digest.update(block)
                size += len(block)
    return Written(size, f"{digest.intdigest():016x}")


def read_manifest(stage_dir: str) -> Manifest:
    """A committed stage's manifest. Raises StageError if the stage has not been committed."""
    path = join(stage_dir, "manifest.json")
    try:
        text = read_bytes(path).decode()
    except FileNotFoundError:
        stage = os.path.basename(stage_dir.rstrip("/"))
        raise StageError(
            f"There is no finished {stage!r} stage in {stage_dir} (no manifest.json): run it first, or name the folder of a run "
            "that has it with --input."
        ) from None
    except UnicodeDecodeError as error:
        raise StageError(
            f"{path} is not a Spanmill manifest (it is not UTF-8, byte {error.start}). Make the stage again."
        ) from None
    return Manifest.from_json(text, path)


def _uploads(fs: fsspec.AbstractFileSystem, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    marker: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
        yield from page.get("Uploads", [])
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _content(path: str, answer: Any) -> bytes | None:
    if not isinstance(answer, Exception):
        return bytes(answer)
    try:
        with reading(path):
            raise answer
    except FileNotFoundError:
        return None


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary: those whose values repeat."""
    return [name for name in ("source", "language", "kind", "repo", "license_evidence", "check", "outcome") if name in schema.names]


class _Hashing(io.RawIOBase):
    """A file that digests what is written to it."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self.digest = xxhash.xxh3_64()
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        with writing(self._path):
            self._file.write(view)
        self.digest.update(view)
        self.written += len(view)
        return len(view)

    def tell(self) -> int:
        return self.written

    def close(self) -> None:
        """The file underneath is closed by who opened it."""

"""Files through fsspec, so written that a crash never leaves one that looks finished.

On a local disk a file is written under another name, flushed to the disk and renamed. Object stores make a file visible only
when it is complete, so there it is written under its own name.
"""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO, NamedTuple, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import ConfigError, OutputError, StageError
from contracts.manifest import Manifest

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp-"
"""Part of the name of every file that is not finished."""


class Written(NamedTuple):
    """A finished file."""

    bytes: int
    xxh3_64: str


def join(base: str, *names: str) -> str:
    """A path below `base`, which may be a URL."""
    return "/".join([base.rstrip("/"), *names])


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    fs, name = fsspec.core.url_to_fs(path)
    return bool(fs.exists(name))


def names_in(folder: str) -> list[str]:
    """Sorted names of the files and folders directly in `folder`; none if it does not exist."""
    fs, root = fsspec.core.url_to_fs(folder)
    try:
        found = fs.ls(root, detail=False, refresh=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(os.path.basename(name.rstrip("/")) for name in found)


def files_below(folder: str) -> list[str]:
    """Sorted paths, relative to `folder`, of all files below it."""
    return sorted(sizes_below(folder))


def sizes_below(folder: str) -> dict[str, int]:
    """Bytes of all files below `folder` by their path relative to it; none if it does not exist."""
    fs, root = fsspec.core.url_to_fs(folder)
    try:
        found = fs.find(root, detail=True)
    except FileNotFoundError:
        return {}
    return {name[len(root.rstrip("/")) + 1 :]: int(info["size"] or 0) for name, info in found.items()}


def remove(path: str) -> None:
    """Removes a file or a folder with all that is in it; nothing happens if it is not there. Raises OutputError where it may not."""
    fs, name = fsspec.core.url_to_fs(path)
    with _explained(path), suppress(FileNotFoundError):
        fs.rm(name, recursive=True)


def read_bytes(path: str) -> bytes:
    """A whole file."""
    with fsspec.open(path, "rb") as file:
        return bytes(file.read())


def write_bytes(path: str, content: bytes) -> Written:
    """A whole small file, atomically."""
    return write_file(path, lambda file: file.write(content))


def write_file(path: str, write: Callable[[BinaryIO], Any]) -> Written:
    """Calls `write` with an open file and makes what it wrote appear at `path` all at once.

    Two workers may write the same file at the same time: both write the same bytes, and the last rename wins.
    Raises OutputError where there is no room or no permission.
    """
    with _explained(path), _committed(path) as file:
        hashing = _Hashing(file)
        write(cast(BinaryIO, hashing))
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
    with fsspec.open(path, "rb") as file:
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


@contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Holds a run's folder for this process, on a local disk; the lock goes with the process, however it ends.

    Raises OutputError if another process holds it. Object stores have no locks: there two runs in one folder are up to the user.
    """
    try:
        fs, name = fsspec.core.url_to_fs(run_dir)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"--output {run_dir!r} cannot be opened: {error}. It must be a folder, or a URL that fsspec knows."
        ) from None
    if fcntl is None or not isinstance(fs, LocalFileSystem):
        yield
        return
    with _explained(run_dir):
        os.makedirs(name, exist_ok=True)
        lock_path = os.path.join(name, ".lock")
        open(lock_path, "ab").close()
    with open(lock_path, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"Another run is at work in {run_dir}: wait for it to end, or choose another --output.") from None
        yield


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary: those whose values repeat."""
    return [name for name in ("source", "language", "kind", "repo", "license_evidence", "check", "outcome") if name in schema.names]


@contextmanager
def _committed(path: str) -> Iterator[IO[bytes]]:
    fs, name = fsspec.core.url_to_fs(path)
    parent = os.path.dirname(name)
    fs.makedirs(parent, exist_ok=True)
    if not isinstance(fs, LocalFileSystem):
        file = fs.open(name, "wb")
        try:
            yield file
        except BaseException:
            with suppress(AttributeError, NotImplementedError, OSError):
                file.discard()  # closing would make what is written so far visible
            raise
        file.close()
        return
    temporary = f"{name}{TEMPORARY}{uuid.uuid4().hex}"
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "The disk is full: free some space and run the same command again, it goes on where it stopped."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            remedy = "Choose another folder with --output, or make this one writable."
        else:
            remedy = "See that the storage is there and try the same command again; it goes on where it stopped."
        raise OutputError(f"Cannot write {path}: {error.strerror or error}. {remedy}") from error


class _Hashing(io.RawIOBase):
    """A file that digests what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = xxhash.xxh3_64()
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self.digest.update(view)
        self.written += len(view)
        return len(view)

    def tell(self) -> int:
        return self.written

    def close(self) -> None:
        """The file underneath is closed by who opened it."""

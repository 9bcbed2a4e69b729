"""Which file system a path is on, and how a finished file is made to appear there.

    disk     written under another name, flushed to the disk, renamed
    store    made whole in a temporary file of this machine, then sent: the store shows an object when all of it is there, or not at all
    other    written there under another name, then renamed; where renaming does not replace, what was there is removed first

`pipelines.storage` is what the rest of Spanmill uses.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from contracts.errors import ConfigError
from pipelines.storage.kinds import may_pass
from pipelines.storage.options import section_of

TEMPORARY = ".tmp-"
"""Part of the name of every file that is not finished."""

STORES: dict[str, dict[str, Any]] = {
    "abfs": {},
    "gs": {"chunksize": 16 * 2**20},
    "memory": {},
    "s3": {"chunksize": 16 * 2**20, "max_concurrency": 4},
}
"""Protocols that show an object whole or not at all, with options for sending a file: at most 64 MiB of it are in memory."""

TRIES = 3
"""How often a file is sent, each time with all the patience of the store's client, before a fault of the store counts."""

PAUSE = 1.0
"""Seconds before the second try; twice as many before each further one."""


def file_system(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path, without any listing that it remembers, and the path's name in it."""
    fs, name = fsspec.core.url_to_fs(path)
    if not isinstance(fs, LocalFileSystem):
        fs.invalidate_cache()
    return fs, name


def is_disk(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether it is this machine's."""
    return isinstance(fs, LocalFileSystem)


def store_of(fs: fsspec.AbstractFileSystem) -> str:
    """The protocol's name in STORES; empty for what is none."""
    names = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return next((name for name in names if name in STORES), "")


class Pending(Protocol):
    """A file that is being written."""

    file: IO[bytes]

    def finish(self) -> None:
        """Makes what was written appear."""
        ...

    def discard(self) -> None:
        """Leaves nothing of it. Does not raise."""
        ...


def refuse_hub(path: str) -> None:
    """Raises ConfigError for an output on the Hugging Face Hub."""
    if section_of(path) == "hf":
        raise ConfigError(
            f"Cannot write {path}: the Hub would make a commit of each file. Choose a folder, or a store such as s3:// or gs://, and "
            "upload what is finished with `hf upload`."
        )


def begin(path: str) -> Pending:
    """A file that will appear at `path`. Raises ConfigError where none can be written."""
    refuse_hub(path)
    fs, name = file_system(path)
    if is_disk(fs):
        return _OnDisk(name)
    return _InStore(fs, name, path) if store_of(fs) else _Elsewhere(fs, name)


class _OnDisk:
    def __init__(self, name: str) -> None:
        self._name = name
        self._temporary = f"{name}{TEMPORARY}{uuid.uuid4().hex}"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        self.file: IO[bytes] = open(self._temporary, "wb")  # noqa: SIM115  closed by finish or discard

    def finish(self) -> None:
        with self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
        os.replace(self._temporary, self._name)

    def discard(self) -> None:
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            os.unlink(self._temporary)


class _InStore:
    """Not through a file of the store's client: some finish the object when such a file is thrown away after an error."""

    def __init__(self, fs: fsspec.AbstractFileSystem, name: str, path: str) -> None:
        self._fs, self._name, self._path = fs, name, path
        self._local = tempfile.NamedTemporaryFile(prefix="spanmill-")  # noqa: SIM115  closed by finish or discard
        self.file: IO[bytes] = self._local.file

    def finish(self) -> None:
        self.file.flush()
        sent(self._put, self._path)
        self._local.close()

    def discard(self) -> None:
        with suppress(OSError):
            self._local.close()

    def _put(self) -> None:
        if isinstance(self._fs, MemoryFileSystem):  # its put_file shows the file as it grows
            with open(self._local.name, "rb") as file:
                self._fs.pipe_file(self._name, file.read())
        else:
            self._fs.put_file(self._local.name, self._name, **STORES[store_of(self._fs)])


def sent(put: Callable[[], Any], path: str) -> None:
    """Calls `put`, and again if the store at `path` fails in a way that may pass: the same bytes overwrite what came through before."""
    for attempt in range(1, TRIES):
        try:
            put()
        except Exception as error:
            if not may_pass(error, path, sending=True):
                raise
            time.sleep(PAUSE * 2 ** (attempt - 1))
        else:
            return
    put()


class _Elsewhere:
    def __init__(self, fs: fsspec.AbstractFileSystem, name: str) -> None:
        self._fs, self._name = fs, name
        self._temporary = f"{name}{TEMPORARY}{uuid.uuid4().hex}"
        fs.makedirs(name.rpartition("/")[0], exist_ok=True)
        self.file: IO[bytes] = fs.open(self._temporary, "wb")

    def finish(self) -> None:
        self.file.close()
        _rename(self._fs, self._temporary, self._name)

    def discard(self) -> None:
        with suppress(Exception):
            self.file.close()
        with suppress(Exception):
            self._fs.rm_file(self._temporary)


def _rename(fs: fsspec.AbstractFileSystem, temporary: str, name: str) -> None:
    """Some replace what is there, some raise, some return without a word: what counts is whether the temporary name is gone."""
    failed: Exception | None = None
    for _ in range(TRIES):
        try:
            fs.mv(temporary, name)
        except (PermissionError, ConnectionError, TimeoutError):
            raise
        except OSError as error:
            failed = error
        fs.invalidate_cache()
        if not fs.exists(temporary):
            return
        with suppress(FileNotFoundError):  # another worker that writes the same may be quicker
            fs.rm_file(name)
    raise failed or OSError(f"{temporary} cannot be renamed to {name}")

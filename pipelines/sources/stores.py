"""Reaching stores, which are everything that fsspec opens but the local disk: asking again where they fail, and saying what is wrong.

Their libraries ask again, too, and differ in what they bear. huggingface_hub 2.4, measured: a listing or a range is asked for 6 times,
with 1, 2, 4, 8 and 8 s between, or as long as the hub asks for; whether a repository exists is asked once; a body that stops short of
what its own header promises is taken for the whole. What they give up on is tried again here. Waiting changes no output.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.core import url_to_fs

from contracts.errors import InputError
from pipelines.sources import hub
from pipelines.sources.hub_words import hub_words
from pipelines.storage.errors import reason_of, remedy_of, unopened
from pipelines.storage.kinds import asked_wait, kind_of, may_pass, of_a_store, status_of
from pipelines.storage.systems import is_disk

LISTING = 60.0
"""Seconds from the first request to the last attempt while somebody waits at the terminal."""

READING = 600.0
"""The same for workers, so that a store may be away for ten minutes before a run stops."""

LONGEST_ASKED = 310.0
"""A server may ask for one wait this long even where it exceeds the above: the hub counts requests in windows of 300 s."""

SLOWEST = 60.0
"""Seconds between attempts at most; they begin with 1 and double."""

PIECE: int = 8 * 2**20
"""Bytes asked for at once, so that a connection that breaks costs this much and not a whole column."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class StoppedShortError(ConnectionError):
    """A store gave fewer bytes than the file has, and no reason."""


def located(path: str) -> tuple[Any, str]:
    """The file system of a path, and the path's name in it; asks for nothing yet. Raises InputError where there is none."""
    try:
        fs, name = url_to_fs(path)
    except Exception as error:
        words = unopened(error, path) or (f"{error}." if isinstance(error, ValueError) else "")
        if not words:
            raise
        raise InputError(f"The input {path!r} cannot be opened: {words}") from None
    return (hub.shared(fs) if hub.on_hub(fs) else fs), name


def is_store(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether files are anywhere but on a disk of this machine."""
    return not is_disk(fs)


def ask(fs: Any, path: str, call: Callable[[], T], patience: float = READING) -> T:
    """`call()`, which asks for something at `path`; of a store again and again while it fails in a way that may pass.

    Raises InputError with what is to be done about a store; other errors stay as they are. The first attempt and the last begin at most
    `patience` + LONGEST_ASKED seconds apart.
    """
    started, pause = time.monotonic(), 1.0
    while True:
        try:
            return call()
        except Exception as error:
            if not is_store(fs) or not of_a_store(error):
                raise
            asked = asked_wait(error)
            wait = pause if asked is None else asked
            granted = patience + (asked if asked and asked <= LONGEST_ASKED else 0)
            if not may_pass(error, path) or time.monotonic() - started + wait > granted:
                raise InputError(f"The input {path!r} cannot be read. {_words(fs, error, path)}") from error
            _log.warning("%s: %s; trying again in %.0f s", path, error, wait)
            pause = min(2 * pause, SLOWEST)
        time.sleep(wait)


def exists(fs: Any, name: str, path: str, patience: float = LISTING) -> bool:
    """Whether there is such a file or folder. fsspec's own question takes every failure of a store for a no."""
    if not is_store(fs):
        return bool(fs.exists(name))

    def look() -> bool:
        try:
            fs.info(name)
        except FileNotFoundError as error:
            refused = status_of(error) and (hub.on_hub(fs) or status_of(error) != 404)
            if refused or may_pass(error, path):  # in disguise
                raise
            return False
        return True

    return ask(fs, path, look, patience)


class StoreFile(io.RawIOBase):
    """A file of a store, read in spite of failures: it is opened again where reading stopped.

    `read` gives all the bytes asked for that there are; a store that gives fewer has failed. Raises InputError as `ask` does.
    """

    def __init__(self, fs: Any, name: str, path: str) -> None:
        """Opens the file, which asks the store for its size."""
        self._fs, self._name, self._path = fs, name, path
        self._file: Any = None
        self._position = 0
        self._size: int = ask(fs, path, lambda: self._opened().seek(0, io.SEEK_END))

    def read(self, size: int = -1, /) -> bytes:
        """As of any binary file."""
        left = max(0, self._size - self._position)
        left = left if size is None or size < 0 else min(size, left)
        pieces = []
        while left:
            piece = ask(self._fs, self._path, lambda: self._piece(min(left, PIECE)))  # noqa: B023  called at once
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any binary file; asks for nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """As of any binary file."""
        return self._position

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Closes the file."""
        self._drop()
        super().close()

    def _piece(self, size: int) -> bytes:
        """At least one byte from where reading stands."""
        try:
            file = self._opened()
            file.seek(self._position)
            data: bytes = file.read(size)
        except Exception:
            self._drop()  # its connection may be half read
            raise
        if not data:
            self._drop()
            raise StoppedShortError(f"the file ends after {self._position} of {self._size} bytes")
        return data

    def _opened(self) -> Any:
        if self._file is None:
            open_file = hub.open_file if hub.on_hub(self._fs) else lambda fs, name: fs.open(name, "rb")
            self._file = open_file(self._fs, self._name)
        return self._file

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _words(fs: Any, error: Exception, path: str) -> str:
    """What is wrong, and what to do about it."""
    if hub.on_hub(fs):
        return hub_words(error, path, fs.endpoint)
    gone = not kind_of(error, path) and (isinstance(error, FileNotFoundError) or status_of(error) in (404, 410))
    listed = "It was there when the folder was listed: restore it, and run the same command again."
    return f"{reason_of(error)}. {listed if gone else remedy_of(error, path, 'read')}"

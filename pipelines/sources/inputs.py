"""Files of a source: finding them, opening them, digesting them. Everything goes through fsspec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import xxhash
from fsspec.core import has_magic, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import InputError
from pipelines.sources.base import Input

BLOCK: int = 4 * 2**20
"""Bytes per read. Object stores want megabytes a request; more only costs memory."""

TRANSIENT = (ConnectionError, TimeoutError)
"""Failures of the network, not of the input. They are raised, so that the runner tries again instead of losing documents."""


def list_files(path: str, suffixes: Sequence[str]) -> list[str]:
    """Files at `path`: itself, what a glob matches, or all files below a folder that end in one of `suffixes`, sorted.

    Hidden files and those starting with `_` (`_SUCCESS`, `.cache`) are left out of folders. Raises InputError if there is none.
    """
    try:
        fs, root = url_to_fs(path)
        names = _names(fs, root, tuple(suffixes))
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"The input {path!r} cannot be listed: {reason_of(error)}. Check the path and the credentials.") from None
    if not names:
        kinds = ", ".join(f"*{suffix}" for suffix in suffixes)
        raise InputError(
            f"There is no input at {path!r}. It must be a file, a glob that matches files, or a folder that holds {kinds}."
        )
    return [url_of(fs, name) for name in sorted(names)]


def url_of(fs: fsspec.AbstractFileSystem, name: str) -> str:
    """A name inside a file system as something that `open_input` opens; plain for local files.

    Raises InputError for a local name that is not UTF-8, which no list of inputs could hold.
    """
    if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"The file name {name!r} is not valid UTF-8: rename the file, or leave it out of the input.")
    return name if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(name))


def open_input(path: str) -> BinaryIO:
    """The stored bytes of one input. Raises OSError, or what the file system raises."""
    fs, name = url_to_fs(path)
    file: BinaryIO = fs.open(name, "rb")
    return file


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """A file's bytes from where it stands, BLOCK at a time."""
    while block := file.read(BLOCK):
        yield block


def survey_file(path: str, units: Callable[[BinaryIO], Sequence[int]] | None = None, label: str = "") -> Input:
    """Size and digest of a file, and its pieces where `units` can tell them from the rewound file.

    Cost: one read of the file at the storage's speed (xxh3 runs at 10 GB/s and more). Does not raise for a file that is
    damaged, missing or forbidden: reading it says what is wrong.
    """
    try:
        with closing(open_input(path)) as file:
            digest, size = digest_of_stream(file)
            file.seek(0)
            return Input(path, size, digest, _units(file, units), label)
    except TRANSIENT:
        raise
    except OSError as error:
        return Input(path, 0, xxhash.xxh3_64_hexdigest(f"cannot be opened: {reason_of(error)}".encode()), (), label)


def digest_of_stream(file: BinaryIO) -> tuple[str, int]:
    """xxh3-64 in hex, and number, of the bytes of an open file."""
    hasher = xxhash.xxh3_64()
    size = 0
    for block in blocks(file):
        hasher.update(block)
        size += len(block)
    return hasher.hexdigest(), size


def reason_of(error: BaseException) -> str:
    """An error's words without the name of the file, which must not reach any output."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = words.strip().splitlines()[0] if words.strip() else "no further words"
    return f"{type(error).__name__}: {first[:200]}"


def _units(file: BinaryIO, units: Callable[[BinaryIO], Sequence[int]] | None) -> tuple[int, ...]:
    """A file whose pieces cannot be told is read whole, and `read` says what is wrong with it."""
    try:
        return tuple(units(file)) if units else ()
    except TRANSIENT:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError):
        return ()


def _names(fs: Any, root: str, suffixes: tuple[str, ...]) -> list[str]:
    if has_magic(root) and not fs.exists(root):
        return [name for name, info in fs.glob(root, detail=True).items() if info["type"] == "file"]
    if fs.isdir(root):
        return [name for name in fs.find(root) if name.endswith(suffixes) and not _hidden(name, root)]
    return [root] if fs.exists(root) else []


def _hidden(name: str, root: str) -> bool:
    below = name[len(root) :].strip("/")
    return any(step.startswith((".", "_")) for step in below.split("/"))

"""Files of a source: finding them, opening them, digesting them. Everything goes through fsspec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import dropwhile
from typing import Any, BinaryIO, Protocol

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


class ByteReader(Protocol):
    """What reading asks of a binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, or all; none at the end."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """The new position."""
        ...


def list_files(path: str, suffixes: Sequence[str]) -> list[str]:
    """Files at `path`: itself, what a glob matches, or all files below a folder that end in one of `suffixes`, sorted.

    Hidden files and those starting with `_` (`_SUCCESS`, `.cache`) are left out of folders; pipes, sockets and devices
    everywhere. Raises InputError if there is none.
    """
    check_name(path)
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
    """A name inside a file system as something that `open_input` opens; plain for local files."""
    return name if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(name))


def escaped(name: str) -> str:
    r"""A file's name as any table can hold it: what is no UTF-8 in it becomes \udcXX, as Python prints it."""
    return name.encode(errors="backslashreplace").decode()


def check_name(path: str) -> None:
    """Raises InputError for a configured path that is not UTF-8, since every name below it would be lost."""
    if escaped(path) != path:
        raise InputError(f"The input '{escaped(path)}' is not valid UTF-8: rename it.")


def is_regular(fs: fsspec.AbstractFileSystem, info: dict[str, Any]) -> bool:
    """Whether a listed name is a file, a link to one, or a link to nothing, which the survey has to tell of.

    Pipes, sockets and devices are not: opening one may wait for ever.
    """
    if info.get("islink"):
        return bool(fs.isfile(info["name"]) or not fs.exists(info["name"]))
    return bool(info["type"] == "file")


def open_input(path: str) -> BinaryIO:
    """The stored bytes of one input. Raises OSError, or what the file system raises."""
    fs, name = url_to_fs(path)
    file: BinaryIO = fs.open(name, "rb")
    return file


def blocks(file: ByteReader) -> Iterator[bytes]:
    """A file's bytes from where it stands, BLOCK at a time."""
    while block := file.read(BLOCK):
        yield block


def survey_file(path: str, units: Callable[[BinaryIO], Sequence[int]] | None = None, label: str = "") -> Input:
    """Size and digest of a file, and its pieces where `units` can tell them from the rewound file.

    Cost: one read of the file at the storage's speed (xxh3 runs at 10 GB/s and more). Does not raise for a file that is
    damaged, missing, forbidden or not named in UTF-8: `Input.unreadable`, or reading it, says what is wrong.
    """
    if escaped(path) != path:
        return _unreadable(path, label, f"the file's name is not valid UTF-8: '{_from_bad_step(path)}'; rename the file")
    try:
        with closing(open_input(path)) as file:
            digest, size = digest_of_stream(file)
            file.seek(0)
            return Input(path, size, digest, _units(file, units), label)
    except TRANSIENT:
        raise
    except OSError as error:
        return _unreadable(path, label, f"the file cannot be read: {reason_of(error)}")


def digest_of_stream(file: ByteReader) -> tuple[str, int]:
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


def _unreadable(path: str, label: str, why: str) -> Input:
    return Input(escaped(path), 0, xxhash.xxh3_64_hexdigest(why.encode()), (), escaped(label), why)


def _from_bad_step(path: str) -> str:
    """The path from its first step that is not UTF-8 on, escaped: what lies above it must not reach any output."""
    steps = path.split("/")
    return escaped("/".join(dropwhile(lambda step: escaped(step) == step, steps)))


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
        return [name for name, info in fs.glob(root, detail=True).items() if is_regular(fs, info)]
    if fs.isdir(root):
        found = ((name, info) for name, info in fs.find(root, detail=True).items() if name.endswith(suffixes))
        return [name for name, info in found if not _hidden(name, root) and is_regular(fs, info)]
    return [root] if fs.isfile(root) else []


def _hidden(name: str, root: str) -> bool:
    below = name[len(root) :].strip("/")
    return any(step.startswith((".", "_")) for step in below.split("/"))

"""Files of a source: finding them, opening them, digesting them. Everything goes through fsspec.

Local files and those of stores differ in what a failure means. A local file that cannot be opened is one document's bad luck, and is
quarantined. A store that fails, or grants no access, fails for all its files: that stops the run (pipelines.sources.stores), so that
no document is lost for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import dropwhile
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import fsspec
import pyarrow as pa
import xxhash
from fsspec.core import has_magic

from contracts.errors import InputError
from pipelines.sources import hub
from pipelines.sources.base import DIGEST_LENGTH, Input
from pipelines.sources.stores import LISTING, StoreFile, ask, exists, is_store, located
from pipelines.storage.errors import reason_of

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
    fs, root = settled(path)
    try:
        names = _names(fs, root, tuple(suffixes))
    except (OSError, ValueError) as error:
        raise InputError(f"The input {path!r} cannot be listed: {reason_of(error)}. Check the path and the credentials.") from None
    if not names:
        kinds = ", ".join(f"*{suffix}" for suffix in suffixes)
        raise InputError(
            f"There is no input at {path!r}. It must be a file, a glob that matches files, or a folder that holds {kinds}."
        )
    return [url_of(fs, name) for name in sorted(names)]


def settled(path: str) -> tuple[Any, str]:
    """The file system of a configured path and its name there, at one commit where the store has such. Raises InputError."""
    fs, root = located(path)
    return fs, ask(fs, path, lambda: hub.pinned(fs, root), LISTING) if hub.on_hub(fs) else root


def url_of(fs: fsspec.AbstractFileSystem, name: str) -> str:
    """A name inside a file system as something that `open_input` opens; plain for local files."""
    return str(fs.unstrip_protocol(name)) if is_store(fs) else name


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
    """The stored bytes of one input. Raises OSError for a local file, InputError for one of a store."""
    fs, name = located(path)
    return cast(BinaryIO, StoreFile(fs, name, path) if is_store(fs) else fs.open(name, "rb"))


def blocks(file: ByteReader) -> Iterator[bytes]:
    """A file's bytes from where it stands, BLOCK at a time."""
    while block := file.read(BLOCK):
        yield block


def survey_file(path: str, units: Callable[[BinaryIO], Sequence[int]] | None = None, label: str = "") -> Input:
    """Size and digest of a file, and its pieces where `units` can tell them from the rewound file.

    Cost: one read of the file at the storage's speed, at most 1 GB/s (sha256); none where the hub tells the digest. Does not raise for
    a local file that is damaged, missing, forbidden or not named in UTF-8: `Input.unreadable`, or reading it, says what is wrong.
    """
    if escaped(path) != path:
        return _unreadable(path, label, f"the file's name is not valid UTF-8: '{_from_bad_step(path)}'; rename the file")
    try:
        with closing(open_input(path)) as file:
            found = _told_digests(path, file) or digests_of(file)
            file.seek(0)
            return Input(path, found.size, found.digest, _units(file, units), label, xxh3=found.xxh3)
    except TRANSIENT:
        raise
    except OSError as error:
        return _unreadable(path, label, f"the file cannot be read: {reason_of(error)}")


class Digests(NamedTuple):
    """What a file's bytes are known by; as in Input."""

    digest: str
    xxh3: str
    size: int


def digests_of(file: ByteReader) -> Digests:
    """Of the bytes of an open file, from where it stands."""
    sha256, xxh3, size = hashlib.sha256(), xxhash.xxh3_64(), 0
    for block in blocks(file):
        sha256.update(block)
        xxh3.update(block)
        size += len(block)
    return Digests(sha256.hexdigest()[:DIGEST_LENGTH], xxh3.hexdigest(), size)


def _told_digests(path: str, file: BinaryIO) -> Digests | None:
    """Those of a file whose sha256 the hub keeps; None where it does not, and for other stores."""
    fs, name = located(path)
    sha256 = ask(fs, path, lambda: hub.stored_sha256(fs, name)) if hub.on_hub(fs) else ""
    return Digests(sha256[:DIGEST_LENGTH], "", file.seek(0, 2)) if sha256 else None


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
    path = url_of(fs, root)
    there = exists(fs, root, path)
    if has_magic(root) and not there:
        globbed = ask(fs, path, lambda: fs.glob(root, detail=True), LISTING)
        return [name for name, info in globbed.items() if is_regular(fs, info)]
    if there and fs.isdir(root):
        below = ask(fs, path, lambda: fs.find(root, detail=True), LISTING)
        found = ((name, info) for name, info in below.items() if name.endswith(suffixes))
        return [name for name, info in found if not _hidden(name, root) and is_regular(fs, info)]
    return [root] if there and fs.isfile(root) else []


def _hidden(name: str, root: str) -> bool:
    below = name[len(root) :].strip("/")
    return any(step.startswith((".", "_")) for step in below.split("/"))

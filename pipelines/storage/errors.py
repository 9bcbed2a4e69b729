"""What went wrong with a disk or a store, in words on what to do. The kinds of trouble are in `pipelines.storage.kinds`."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from contracts.errors import ConfigError, InputError, OutputError, SpanmillError
from pipelines.storage.kinds import AGAIN, KINDS, find_kind, kind_of, of_a_store
from pipelines.storage.options import PACKAGES, WHERE, protocol_of, section_of


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns errors of the storage into OutputError, or ConfigError where the recipe is at fault."""
    try:
        yield
    except SpanmillError:
        raise
    except Exception as error:
        _raise_explained(error, path, "write")


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns errors of the storage into InputError, or ConfigError where the recipe is at fault.

    FileNotFoundError goes through, unless the whole bucket is missing: a missing file is for the caller to judge.
    """
    try:
        yield
    except SpanmillError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and kind_of(error, path) != "bucket":
            raise
        _raise_explained(error, path, "read")


def remedy_of(error: BaseException, path: str, doing: str) -> str:
    """What to do about a failure of the disk or store at `path`; `doing` is "read" or "write"."""
    found = find_kind(error, path)
    if found is None and isinstance(error, FileNotFoundError) and doing == "write" and protocol_of(path):
        found = next(kind for kind in KINDS if kind.name == "bucket")  # what else could be missing where there are no folders
    if found:
        section = section_of(path)
        credentials = WHERE.get(section, WHERE[""])
        return found.remedy.format(bucket=_bucket(path), section=f"storage.{section}", credentials=credentials, doing=doing)
    if isinstance(error, OSError):
        return _of_a_disk(error, protocol_of(path), doing)
    return "See that the storage is there. " + AGAIN


def unopened(error: BaseException, path: str) -> str:
    """What to change where there is no file system for `path`: a package, an option or the URL; empty for any other error."""
    section = section_of(path)
    if isinstance(error, ImportError):
        how = PACKAGES.get(section, f"see fsspec's documentation of {section}")
        return f"a package is missing or broken ({words_of(error)}). Here and on every worker: {how}"
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return f"the recipe's section [storage.{section}] has an unknown option: {error}."
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return f"{error}. It must be a path, or a URL that fsspec knows."
    return ""


def words_of(error: BaseException) -> str:
    """The line of an error's own words that tells most, without the name of the file, which must not reach any output."""
    return _line(error) or type(error).__name__


def reason_of(error: BaseException) -> str:
    """The same with the kind of error in front."""
    return f"{type(error).__name__}: {_line(error) or 'no further words'}"


def _line(error: BaseException) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = words.strip().splitlines() or [""]
    from_gcsfs = lines[0].startswith(("Bad Request: ", "Forbidden: "))  # an address; the store's words follow
    return lines[-1 if from_gcsfs else 0][:300].rstrip(".")


def _raise_explained(error: Exception, path: str, doing: str) -> NoReturn:
    explained = _explained(error, path, doing)
    if explained is None:
        raise error
    raise explained from error


def _explained(error: Exception, path: str, doing: str) -> SpanmillError | None:
    """The error to raise in its place; None if it is not the storage's."""
    cannot = f"Cannot {doing} {path}"
    if why := unopened(error, path):
        return ConfigError(f"{cannot}: {why}")
    if isinstance(error, NotImplementedError):
        protocol = protocol_of(path)
        return ConfigError(
            f"{cannot}: what fsspec knows of {protocol}:// cannot {doing}. Choose a folder, or a store such as s3:// or gs://."
        )
    if not (find_kind(error, path) or of_a_store(error)):
        return None
    made = OutputError if doing == "write" else InputError
    return made(f"{cannot}: {words_of(error)}. {remedy_of(error, path, doing)}")


def _of_a_disk(error: OSError, protocol: str, doing: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = f"The folder for temporary files, {tempfile.gettempdir()} (TMPDIR)," if protocol else "The disk"
        return f"{full} is full: free some space and run the same command again, it goes on where it stopped."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return "Choose another folder with --output, or make this one writable." if doing == "write" else "Make it readable."
    return "See that the storage is there and try the same command again; it goes on where it stopped."


def _bucket(path: str) -> str:
    return path.rpartition("://")[2].partition("/")[0]

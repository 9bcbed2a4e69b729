"""What went wrong with a disk or a store, and what to do about it: the one place that knows the exceptions of all of them.

No store's package is imported for it. An error is known by its marks: names of its classes, and the code in the store's answer, of
itself and of the errors behind it. The first kind in KINDS that one of the marks belongs to gives the remedy.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

from contracts.errors import ConfigError, InputError, OutputError, SpanmillError
from pipelines.storage_options import PACKAGES, WHERE

AGAIN = "The same command goes on where it stopped."


class Kind(NamedTuple):
    """A kind of trouble."""

    name: str
    marks: frozenset[str]
    remedy: str
    """May use {bucket}, {section} (the recipe's, such as storage.s3), {credentials} and {doing} ("read", "write")."""


def _kind(name: str, marks: str, remedy: str) -> Kind:
    return Kind(name, frozenset(marks.split()), remedy)


KINDS = (
    _kind(
        "credentials",
        "NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound TokenRetrievalError SSOError "
        "UnauthorizedSSOTokenError DefaultCredentialsError RefreshError ClientAuthenticationError InvalidAccessKeyId "
        "SignatureDoesNotMatch ExpiredToken InvalidToken TokenRefreshRequired 401",
        "Credentials are missing, wrong or out of date. The machine that submits and every worker must find their own. {credentials} "
        "A public bucket needs none if the recipe says so: [storage.s3] anon = true, [storage.gs] token = 'anon'.",
    ),
    _kind("clock", "RequestTimeTooSkewed", "The clock of the machine is wrong: set it."),
    _kind(
        "bucket",
        "NoSuchBucket ContainerNotFound RepositoryNotFoundError",
        "There is no bucket {bucket!r}: create it first, Spanmill never does, or correct the name.",
    ),
    _kind(
        "name",
        "InvalidBucketName ParamValidationError InvalidURI",
        "{bucket!r} cannot be the name of a bucket: a path there is PROTOCOL://BUCKET/FOLDER.",
    ),
    _kind(
        "region",
        "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException 301 307",
        "The bucket lies in another region: name it in the recipe, [{section}] client_kwargs = {{ region_name = '…' }}.",
    ),
    _kind(
        "throttled",
        "SlowDown Throttling ThrottlingException RequestLimitExceeded TooManyRequests TooManyRequestsException ServerBusy 429 503",
        "The store asked to slow down until its client gave up. Run fewer workers, or let S3 clients try longer: [storage.s3] "
        "config_kwargs = {{ retries = {{ mode = 'adaptive', max_attempts = 20 }} }}. " + AGAIN,
    ),
    _kind(
        "denied",
        "PermissionError AccessDenied AllAccessDisabled InvalidPayer AuthorizationFailure AuthorizationPermissionMismatch 403",
        "The credentials that this machine found are not known there, or may not {doing}. To read, they must be allowed to get objects "
        "and to list the bucket (else what is missing looks forbidden); to write, also to put and delete objects and to abort uploads.",
    ),
    _kind(
        "endpoint",
        "EndpointConnectionError ConnectTimeoutError ClientConnectorError gaierror InvalidURL ConnectionRefusedError SSLError "
        "ClientSSLError SSLCertVerificationError",
        "Nothing that can be used answers there. See that this machine reaches the network, and that endpoint_url in the recipe's section "
        "[{section}] is right for every worker.",
    ),
    _kind(
        "server",
        "InternalError RequestTimeout OperationAborted NoSuchUpload HTTPClientError ConnectionClosedError ReadTimeoutError "
        "ResponseStreamingError IncompleteRead ClientConnectionError ClientPayloadError ProxyError FSTimeoutError TimeoutError "
        "ConnectionError ChecksumError 408 410 500 502 504",
        "The store or the network failed, again and again. " + AGAIN,
    ),
)
"""In this order, since an error bears the marks of several: a refused key is also a PermissionError."""

PASSING_KINDS = frozenset({"server", "throttled"})

PASSING_CODES = frozenset({"400", "BadDigest", "IncompleteBody", "InvalidPart", "XAmzContentSHA256Mismatch"})
"""Sending a file anew may help: stores answer so, too, when the client repeats a part whose arrival it missed."""

FAMILIES = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "requests", "urllib3", "azure", "huggingface_hub"})
"""Packages whose errors are a store's, though they are no OSError."""

_SECTIONS = {"s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "ssh": "sftp", "https": "http"}


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


def kind_of(error: BaseException, path: str) -> str:
    """The name of the kind that an error of the store at `path` belongs to; empty if it is of none, or if `path` is on a disk."""
    found = _find(error, path)
    return found.name if found else ""


def may_pass(error: BaseException, path: str) -> bool:
    """Whether sending the whole file once more may help."""
    return kind_of(error, path) in PASSING_KINDS or bool(PASSING_CODES & _marks(error))


def words_of(error: BaseException) -> str:
    """The line of an error's own words that tells most."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = words.strip().splitlines() or [type(error).__name__]
    from_gcsfs = lines[0].startswith(("Bad Request: ", "Forbidden: "))  # an address; the store's words follow
    return lines[-1 if from_gcsfs else 0][:300].rstrip(".")


def _raise_explained(error: Exception, path: str, doing: str) -> NoReturn:
    explained = _explained(error, path, doing)
    if explained is None:
        raise error
    raise explained from error


def _explained(error: Exception, path: str, doing: str) -> SpanmillError | None:
    """The error to raise in its place; None if it is not the storage's."""
    protocol = _protocol(path)
    section = _SECTIONS.get(protocol, protocol)
    cannot = f"Cannot {doing} {path}"
    if isinstance(error, ImportError):
        how = PACKAGES.get(protocol, f"see fsspec's documentation of {protocol}")
        return ConfigError(f"{cannot}: a package is missing or broken ({words_of(error)}). Here and on every worker: {how}")
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return ConfigError(f"{cannot}: the recipe's section [storage.{section}] has an unknown option: {error}.")
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return ConfigError(f"{cannot}: {error}. It must be a folder, or a URL that fsspec knows.")
    if isinstance(error, NotImplementedError):
        return ConfigError(
            f"{cannot}: what fsspec knows of {protocol}:// cannot {doing}. Choose a folder, or a store such as s3:// or gs://."
        )
    found = _find(error, path)
    if found is None and isinstance(error, FileNotFoundError) and doing == "write" and protocol:
        found = next(kind for kind in KINDS if kind.name == "bucket")  # what else could be missing where there are no folders
    if found:
        credentials = WHERE.get(section, WHERE[""])
        remedy = found.remedy.format(bucket=_bucket(path), section=f"storage.{section}", credentials=credentials, doing=doing)
    elif isinstance(error, OSError):
        remedy = _of_a_disk(error, protocol, doing)
    elif _is_foreign(error):
        remedy = "See that the storage is there. " + AGAIN
    else:
        return None
    made = OutputError if doing == "write" else InputError
    return made(f"{cannot}: {words_of(error)}. {remedy}")


def _of_a_disk(error: OSError, protocol: str, doing: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = f"The folder for temporary files, {tempfile.gettempdir()} (TMPDIR)," if protocol else "The disk"
        return f"{full} is full: free some space and run the same command again, it goes on where it stopped."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return "Choose another folder with --output, or make this one writable." if doing == "write" else "Make it readable."
    return "See that the storage is there and try the same command again; it goes on where it stopped."


def _find(error: BaseException, path: str) -> Kind | None:
    if not _protocol(path):
        return None
    marks = _marks(error)
    return next((kind for kind in KINDS if kind.marks & marks), None)


def _marks(error: BaseException) -> set[str]:
    """Names of the classes and codes of an error and of those behind it."""
    marks: set[str] = set()
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        marks |= {kind.__name__ for kind in type(behind).__mro__} | _codes(behind)
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return marks


def _codes(error: BaseException) -> set[str]:
    """Codes in the store's answer, where each client keeps them."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found = [answer.get("Error", {}).get("Code"), answer.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        found = [getattr(error, name, None) for name in ("status", "status_code", "error_code")]
        found.append(getattr(answer, "status_code", None))
        if not any(found):  # aiohttp warns of this name
            found.append(getattr(error, "code", None))
    words = str(error)
    if words.startswith("Forbidden: "):  # gcsfs, an OSError without a number
        found.append(403)
    if isinstance(error, FileNotFoundError) and "upload_id=" in words:  # gcsfs again, the address of an upload
        found.append("NoSuchUpload")
    return {str(int(code) if isinstance(code, int) else code) for code in found if isinstance(code, int | str)}


def _is_foreign(error: BaseException) -> bool:
    families = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(families & FAMILIES) or (isinstance(error, ValueError) and str(error).startswith("Bad Request: "))  # gcsfs again


def _protocol(path: str) -> str:
    """Empty for a disk; the innermost of a chain such as simplecache::s3://bucket."""
    before, found, _ = path.rpartition("://")
    protocol = before.rpartition("::")[2] if found else ""
    return "" if protocol in ("file", "local") else protocol


def _bucket(path: str) -> str:
    return path.rpartition("://")[2].partition("/")[0]

"""Kinds of trouble with a store: by which marks each is known, whether it may pass, and what to do about it.

No store's package is imported for it. An error is known by its marks: names of its classes, and the code in the store's answer, of
itself and of the errors behind it. The first kind in KINDS that one of the marks belongs to counts. Both sides judge by it: outputs
and stage files (`pipelines.storage`), which send a file again, and inputs (`pipelines.sources.stores`), which ask again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipelines.storage.options import EVERYWHERE, protocol_of

AGAIN = "The same command goes on where it stopped."

_FAILED = "The store or the network failed, again and again. " + AGAIN


class Kind(NamedTuple):
    """A kind of trouble."""

    name: str
    marks: frozenset[str]
    remedy: str
    """May use {bucket}, {section} (the recipe's, such as storage.s3), {credentials} and {doing} ("read", "write")."""
    passes: bool
    """Whether trying again may help."""


def _kind(name: str, marks: str, remedy: str, passes: bool = False) -> Kind:
    return Kind(name, frozenset(marks.split()), remedy, passes)


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
        passes=True,
    ),
    _kind(
        "denied",
        "PermissionError AccessDenied AllAccessDisabled InvalidPayer AuthorizationFailure AuthorizationPermissionMismatch 403",
        "The credentials that this machine found are not known there, or may not {doing}. To read, they must be allowed to get objects "
        "and to list the bucket (else what is missing looks forbidden); to write, also to put and delete objects and to abort uploads.",
    ),
    _kind("offline", "OfflineModeIsEnabled", f"HF_HUB_OFFLINE is set. Unset it {EVERYWHERE}, or name a local copy."),
    _kind("cut", "SSLEOFError SSLZeroReturnError", _FAILED, passes=True),
    _kind(
        "address",
        "InvalidURL UnsupportedProtocol SSLError ClientSSLError SSLCertVerificationError",
        "Nothing that can be trusted answers there. See that endpoint_url in the recipe's section [{section}] is right, and that this "
        "machine and every worker know who signed the server's certificate.",
    ),
    _kind(
        "endpoint",
        "EndpointConnectionError ConnectTimeoutError ClientConnectorError gaierror ConnectionRefusedError",
        "Nothing that can be used answers there. See that this machine reaches the network, and that endpoint_url in the recipe's section "
        "[{section}] is right for every worker. " + AGAIN,
        passes=True,
    ),
    _kind(
        "server",
        "InternalError RequestTimeout OperationAborted NoSuchUpload HTTPClientError ConnectionClosedError ReadTimeoutError "
        "ResponseStreamingError IncompleteRead IncompleteReadError ClientConnectionError ClientPayloadError ProxyError FSTimeoutError "
        "TimeoutError Timeout ConnectionError ChunkedEncodingError ProtocolError TransportError ChecksumError 408 425 500 502 504",
        _FAILED,
        passes=True,
    ),
)
"""In this order, since an error bears the marks of several: a refused key is also a PermissionError."""

PASSING_WHEN_SENT = frozenset({"400", "410", "BadDigest", "IncompleteBody", "InvalidPart", "XAmzContentSHA256Mismatch"})
"""Sending a file anew may help: stores answer so, too, when the client repeats a part whose arrival it missed."""

_FAMILIES = (
    "adlfs aiobotocore aiohttp azure botocore fsspec gcsfs google httpcore httpcore2 httpx httpx2 huggingface_hub requests s3fs "
    "urllib3"
)

FAMILIES = frozenset(_FAMILIES.split())
"""Packages whose errors are a store's, though they are no OSError."""


def find_kind(error: BaseException, path: str) -> Kind | None:
    """The kind that an error of the store at `path` belongs to; None if it is of none, or if `path` is on a disk."""
    if not protocol_of(path):
        return None
    marks = _marks(error)
    return next((kind for kind in KINDS if kind.marks & marks), None)


def kind_of(error: BaseException, path: str) -> str:
    """The name of that kind; empty if it is of none."""
    found = find_kind(error, path)
    return found.name if found else ""


def may_pass(error: BaseException, path: str, sending: bool = False) -> bool:
    """Whether trying again may help: the network, a busy server, a limit of requests; `sending`: the whole file is sent again."""
    found = find_kind(error, path)
    return bool(found and found.passes) or (sending and bool(PASSING_WHEN_SENT & _marks(error)))


def of_a_store(error: BaseException) -> bool:
    """Whether it is a failure of a store, a disk or the way there, and no bug of ours."""
    families = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    from_gcsfs = isinstance(error, ValueError) and str(error).startswith("Bad Request: ")
    return isinstance(error, OSError) or bool(families & FAMILIES) or from_gcsfs


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those behind it, each once."""
    seen: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        yield behind
        seen.append(behind)
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)


def status_of(error: BaseException) -> int:
    """HTTP status of the store's refusal, 0 if there is none."""
    codes = (code for each in chain(error) for code in _codes(each))
    return next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), 0)


def response_of(error: BaseException) -> Any:
    """The HTTP response behind an error of huggingface_hub or requests, None if there is none."""
    found = (getattr(each, "response", None) for each in chain(error))
    return next((each for each in found if getattr(each, "status_code", None)), None)


def asked_wait(error: BaseException) -> float | None:
    """Seconds that the server wants to be left alone for, None if it does not say.

    `RateLimit` is the hub's header, `"resolvers";r=0;t=55`: nothing remains for the next 55 s. `Retry-After` may hold a date, too; that
    is not heeded, since the clocks may differ.
    """
    headers = getattr(response_of(error), "headers", None) or {}
    limit = re.search(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit") or "")
    after = re.fullmatch(r"\s*(\d+)\s*", headers.get("retry-after") or "")
    found = limit or after
    return float(found[1]) + 1 if found else None


def _marks(error: BaseException) -> set[str]:
    """Names of the classes and codes of an error and of those behind it."""
    marks: set[str] = set()
    for each in chain(error):
        marks.update(kind.__name__ for kind in type(each).__mro__)
        marks.update(_codes(each))
    return marks


def _codes(error: BaseException) -> list[str]:
    """Codes in the store's answer, where each client keeps them."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        found = [answer.get("Error", {}).get("Code"), answer.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        found = [getattr(answer, "status_code", None)]
        found += [getattr(error, name, None) for name in ("status", "status_code", "error_code")]
        if not any(found):  # aiohttp warns of this name
            found.append(getattr(error, "code", None))
    words = str(error)
    if words.startswith("Forbidden: "):  # gcsfs, an OSError without a number
        found.append(403)
    if isinstance(error, FileNotFoundError) and "upload_id=" in words:  # gcsfs again, the address of an upload
        found.append("NoSuchUpload")
    return [str(int(code) if isinstance(code, int) else code) for code in found if isinstance(code, int | str)]

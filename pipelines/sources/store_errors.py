"""What a store's failure is: a fault that passes, or one that somebody has to mend; and the words for it.

Stores are everything that fsspec reaches but the local disk. Their libraries raise what they like: OSError, errors of the HTTP library
below them, FileNotFoundError with the true cause behind it. They are told apart by HTTP status and by the names of their classes, so
that no library has to be imported for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LIBRARIES = frozenset(
    [
        "adlfs",
        "aiobotocore",
        "aiohttp",
        "azure",
        "botocore",
        "fsspec",
        "gcsfs",
        "google",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "huggingface_hub",
        "requests",
        "s3fs",
        "urllib3",
    ]
)
"""Packages whose errors are failures of a store, and not bugs of ours."""

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

PASSING_NAMES = frozenset(
    {
        *("ChunkedEncodingError", "ConnectionError", "Timeout", "IncompleteRead", "ProtocolError"),  # requests, urllib3
        *("ClientConnectionError", "ClientPayloadError"),  # aiohttp
        *("HTTPClientError", "IncompleteReadError", "ResponseStreamingError"),  # botocore
        "TransportError",  # httpx
    }
)
"""Classes of LIBRARIES, or bases of theirs, that stand for a connection that failed or broke off."""

LASTING_NAMES = frozenset({"OfflineModeIsEnabled", "UnsupportedProtocol", "SSLError", "SSLCertVerificationError"})
"""Classes of errors that no waiting mends, whatever they are wrapped in."""

LOGIN = "give this machine and every worker the store's credentials"


class StoppedShortError(ConnectionError):
    """A store gave fewer bytes than the file has, and no reason."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def of_the_store(error: BaseException) -> bool:
    """Whether it is a failure of the store or the way to it."""
    return isinstance(error, OSError) or bool(_packages(error) & LIBRARIES)


def is_passing(error: BaseException) -> bool:
    """Whether trying again may help: the network, a busy server, a limit of requests."""
    if {type(each).__name__ for each in chain(error)} & LASTING_NAMES:
        return False
    if status := status_of(error):
        return status in PASSING_STATUS
    names = {cls.__name__ for cls in type(error).__mro__} if _packages(error) & LIBRARIES else set()
    return isinstance(error, (ConnectionError, TimeoutError)) or bool(names & PASSING_NAMES)


def response_of(error: BaseException) -> Any:
    """The HTTP response behind an error, None if there is none."""
    found = (getattr(each, "response", None) for each in chain(error))
    return next((each for each in found if getattr(each, "status_code", None)), None)


def status_of(error: BaseException) -> int:
    """HTTP status behind an error, 0 if there is none."""
    response = response_of(error)
    if response is not None:
        return int(response.status_code)
    for each in chain(error):
        boto = getattr(each, "response", None)
        boto = boto.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(boto, dict) else None
        for value in (boto, getattr(each, "status", None), getattr(each, "code", None)):  # botocore's, aiohttp's, gcsfs's
            if str(value).isdigit() and 400 <= int(str(value)) < 600:
                return int(str(value))
    return 0


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


def reason_of(error: BaseException) -> str:
    """An error's words without the name of the file, which must not reach any output."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = words.strip().splitlines()[0] if words.strip() else "no further words"
    return f"{type(error).__name__}: {first[:200]}"


def words_for(error: BaseException) -> str:
    """What is wrong, and what to do about it, of any store; two sentences."""
    status = status_of(error)
    if is_passing(error):
        return (
            f"{reason_of(error)}. The store or the way to it failed and did not recover while it was tried again. When it is back, "
            "run the same command again: what is done is kept."
        )
    if isinstance(error, PermissionError) or status in (401, 403) or "Credentials" in type(error).__name__:
        return f"{reason_of(error)}. The store does not grant access: {LOGIN}, of an account that may read it."
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return f"{reason_of(error)}. It was there when the folder was listed: restore it, and run the same command again."
    return f"{reason_of(error)}. Check the path, the credentials and the store, and run the same command again."


def _packages(error: BaseException) -> set[str]:
    return {cls.__module__.partition(".")[0] for cls in type(error).__mro__}

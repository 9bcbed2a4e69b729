"""The hub's failures in words that say what to do."""

from __future__ import annotations

from typing import Any

from pipelines.sources.hub import NAMING, Place, place_of
from pipelines.storage.errors import reason_of, remedy_of
from pipelines.storage.kinds import chain, kind_of, may_pass, response_of, status_of
from pipelines.storage.options import EVERYWHERE, HUB_LOGIN

LOGIN = f"{HUB_LOGIN} {EVERYWHERE}"


def hub_words(error: BaseException, path: str, endpoint: str) -> str:
    """What is wrong with a path of the hub, and what to do about it. The cases are the hub's answers: status and X-Error-Code."""
    place = place_of(path)
    if place is None or any(isinstance(each, ValueError) for each in chain(error)):  # the library's own check of names
        return f"{reason_of(error)}. {NAMING}"
    response = response_of(error)
    code = _header(response, "x-error-code")
    told = _told(error, response)
    what = f"the data set {place.name!r}" if place.kind == "datasets/" else f"{place.kind or 'models/'}{place.name}"
    page = f"{endpoint}/{place.kind.removeprefix('models/')}{place.name}"
    if kind_of(error, path) == "offline":
        return f"The hub cannot be asked for {what}. {remedy_of(error, path, 'read')}"
    if code == "GatedRepo":
        return _gated(what, page, _has_token(response), told)
    status = status_of(error)
    if code == "RevisionNotFound":
        return (
            f"The hub has no branch, tag or commit {place.revision or 'main'!r} of {what}. {page} lists them. A commit may have been "
            "squashed away: name another after '@', or none for the newest state, and start the run anew."
        )
    if code == "RepoNotFound" or (status == 401 and not _has_token(response)):
        return _unknown(place, what, endpoint, _has_token(response))
    if status == 401:
        return (
            f"The hub refuses the token{told}. It may have expired or been mistyped: make a new one at {endpoint}/settings/tokens and "
            f"run {LOGIN}."
        )
    if status == 403:
        return (
            f"The hub forbids reading {what}{told}. Give the token the right to read it at {endpoint}/settings/tokens, or log in as an "
            f"account that may: {LOGIN}."
        )
    if status == 429:
        return _limited(place, told)
    if may_pass(error, path):
        return (
            f"The hub ({endpoint}) cannot be reached, or fails: {reason_of(error)}. It was tried again for minutes. When the "
            "network and the hub are back, run the same command again: what is done is kept."
        )
    if isinstance(error, FileNotFoundError) or status == 404:
        return f"It is not in {what} at {place.revision or 'main'!r}. {page} shows what is there."
    return f"{reason_of(error)}{told}. See {page}, and run the same command again."


def _gated(what: str, page: str, has_token: bool, told: str) -> str:
    if not has_token:
        return (
            f"{_capital(what)} is gated: accept its terms at {page}, then {LOGIN}, with the account that "
            "accepted them, and run the same command again."
        )
    return (
        f"{_capital(what)} is gated, and the account of this token has not been let in{told}. Open {page} with that account, accept the "
        "terms (some owners answer by hand, which takes days), see that a fine-grained token may read gated repositories, and run the "
        "same command again."
    )


def _unknown(place: Place, what: str, endpoint: str, has_token: bool) -> str:
    hidden = "this token may not see it" if has_token else f"it is private and nobody is logged in: {LOGIN}"
    missing = f" Data sets are named hf://datasets/{place.name}, with 'datasets/'." if not place.kind else ""
    return f"The hub ({endpoint}) knows no such thing as {what}, or {hidden}. Check the spelling of OWNER/NAME.{missing}"


def _limited(place: Place, told: str) -> str:
    kind = f" --repo-type {place.kind.removesuffix('s/')}" if place.kind else ""
    return (
        f"The hub's limit of requests is used up{told}. It counts requests of 5 minutes, for each account, or for each address where no "
        f"token is sent. Any of these helps: {LOGIN}, since accounts are allowed more; fewer workers; or a copy "
        f"of your own, with the same results: `hf download {place.name}{kind} --local-dir FOLDER`, and path = FOLDER "
        "(or that folder copied to a bucket)."
    )


def _told(error: BaseException, response: Any) -> str:
    """The server's own words, in brackets."""
    words = next((getattr(each, "server_message", None) for each in chain(error) if getattr(each, "server_message", None)), None)
    if words is None and "rate limit" in str(error):  # the library puts the limit's numbers into words
        words = " ".join(str(error).split("\n\n")[-1].splitlines()[:2]).removeprefix("429 Too Many Requests: ")
    words = words or _header(response, "x-error-message")
    return f" ({' '.join(words.split())[:300].rstrip('.')})" if words else ""


def _has_token(response: Any) -> bool:
    return bool(_header(getattr(response, "request", None), "authorization"))


def _header(message: Any, name: str) -> str:
    headers = getattr(message, "headers", None)
    return str((headers or {}).get(name) or "")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

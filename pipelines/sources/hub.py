"""Data sets of the Hugging Face hub: held at one commit, and known by the digests that the hub keeps.

    hf://datasets/OWNER/NAME            becomes, when it is listed,
    hf://datasets/OWNER/NAME@COMMIT     so that every worker reads the same bytes, whatever is pushed meanwhile

Everything goes through huggingface_hub's own file system. What it asks of the hub, counted: listing a data set takes one request for
the commit, one for the file system to know it by, and one for every 1,000 files and folders. A process that reads takes one, and one for
every folder that it opens files of; then one for every block, which the hub redirects to its store.
"""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple
from urllib.parse import unquote

import fsspec

from contracts.errors import InputError

PROTOCOL = "hf"

BLOCK: int = 8 * 2**20
"""Bytes that are read ahead. The hub counts requests, not bytes (5,000 to its store in 5 minutes for a free account), so that more
would be cheaper yet; but what is read ahead of the last column wanted is read in vain."""

NAMING = (
    "A data set is named as hf://datasets/OWNER/NAME, then @BRANCH or @COMMIT where it should not be the newest state, then the folder or "
    "file in it."
)

DIGEST = re.compile(r"[0-9a-f]{64}")

_COMMIT = re.compile(r"[0-9a-f]{40}")

_KIND = "(?:datasets|models|spaces|kernels|buckets)/"

_PLACE = re.compile(
    rf"(?P<kind>{_KIND})?(?!{_KIND})(?P<name>[^/@]+/[^/@]+)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(?P<inside>.*))?"
)

_QUESTIONS = {"datasets/": "dataset_info", "models/": "model_info", "spaces/": "space_info", "": "model_info"}
"""Methods of HfApi that tell a repository's commit, by how its path begins. Others have no commits, or nothing to read from."""

_instances: dict[str, Any] = {}
_lock = threading.RLock()


class Place(NamedTuple):
    """A path inside the hub's file system, taken apart."""

    kind: str
    """Beginning of the path, with its slash: "datasets/", or "" for a model."""
    name: str
    """OWNER/NAME"""
    revision: str
    """Branch, tag or commit; "" where none is named."""
    inside: str
    """Path in the repository; "" for its root."""


def on_hub(fs: fsspec.AbstractFileSystem) -> bool:
    """Whether the files lie on the hub."""
    return PROTOCOL in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def place_of(path: str) -> Place | None:
    """The parts of a path with or without `hf://`; None if it is not one of the hub."""
    found = _PLACE.fullmatch(path.removeprefix(f"{PROTOCOL}://").strip("/"))
    if not found:
        return None
    return Place(found["kind"] or "", found["name"], unquote(found["revision"] or ""), found["inside"] or "")


def shared(fs: Any) -> Any:
    """One file system for all threads of a process. The library makes one a thread, and each would ask the hub for the same lists."""
    key = repr((fs.endpoint, fs.token))
    with _lock:
        return _instances.setdefault(key, fs)


def pinned(fs: Any, path: str) -> str:
    """The same path at the commit that its branch or tag stands for now (`main` where none is named).

    One request. Paths of buckets, which have no commits, stay as they are. Raises InputError for a path that names nothing.
    """
    place = place_of(path)
    if place is None:
        raise InputError(f"{PROTOCOL}://{path} names no data set. {NAMING}")
    if place.kind not in _QUESTIONS or _COMMIT.fullmatch(place.revision):
        return path
    from huggingface_hub import HfApi

    ask = getattr(HfApi(endpoint=fs.endpoint, token=fs.token), _QUESTIONS[place.kind])
    info = ask(place.name, revision=place.revision or None, expand=["sha"])
    return f"{place.kind}{place.name}@{info.sha}/{place.inside}".rstrip("/")


def without_commit(path: str) -> str:
    """A URL of the hub as it is at any commit, for what is made of names; other paths stay as they are."""
    place = place_of(path) if path.startswith(f"{PROTOCOL}://") else None
    return f"{PROTOCOL}://{place.kind}{place.name}/{place.inside}".rstrip("/") if place else path


def list_at_once(fs: Any, root: str) -> None:
    """Fills the file system's memory with everything below `root`, so that walking it asks the hub for nothing more."""
    fs.find(root)


def open_file(fs: Any, name: str) -> Any:
    """A file for reading ranges. One thread at a time: what the first asks the hub for, the others find remembered."""
    with _lock:
        return fs.open(name, "rb", block_size=BLOCK)


def stored_sha256(fs: Any, name: str) -> str:
    """sha256 of a file's bytes as the hub knows it, 64 hex digits; "" where it does not (small files, buckets).

    The hub keeps large files under their sha256, and lists it: it needs no more requests than opening the file.
    """
    with _lock:
        large = fs.info(name).get("lfs") or {}
    digest = str(large.get("sha256") or "")
    return digest if DIGEST.fullmatch(digest) else ""

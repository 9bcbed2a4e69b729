"""What the hub on this machine holds, and what can befall a request; see hub_server.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

LARGE_SUFFIXES = (".parquet", ".gz", ".zst", ".bin")
"""Kept as large files (LFS), as the hub's default .gitattributes do; others are plain git blobs."""


@dataclass(frozen=True)
class Stored:
    """One file of one commit."""

    content: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def blob_id(self) -> str:
        """Git's name of the blob; of the pointer for a large file."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        blob = pointer.encode() if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()

    def entry(self, path: str) -> dict[str, object]:
        """As a tree listing tells of it."""
        common = {"type": "file", "path": path, "size": len(self.content), "oid": self.blob_id}
        large = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return {**common, "lfs": large, "xetHash": hashlib.sha256(b"xet" + self.content).hexdigest()} if self.large else common


@dataclass
class Dataset:
    """One repository."""

    name: str
    gated: bool = False
    lists_are_gated: bool = False
    """Whether the gate stands before listings too, and not only before contents; repo info is always open."""
    private: bool = False
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Replaces a branch's files; returns the commit."""
        tree = {path: Stored(content, path.endswith(LARGE_SUFFIXES)) for path, content in sorted(files.items())}
        words = repr((len(self.commits), [(path, each.sha256) for path, each in tree.items()]))
        sha = hashlib.sha1(words.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha], self.branches[branch] = tree, sha
        return sha

    def at(self, revision: str) -> str | None:
        """The commit that a branch or a commit's own name stands for."""
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class Fault:
    """What becomes of requests instead of, or during, their answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    cut_after: int = -1
    """Bytes of the body after which the connection breaks."""
    short_by: int = 0
    """Bytes missing at the end of a body whose length is declared accordingly, so that HTTP notices nothing."""
    alter: bool = False
    """Other bytes 4 to 60 of the body."""
    hang_up: bool = False
    """Closes the connection without an answer."""
    stall: bool = False
    """Sends the head and then nothing."""
    times: int = 1
    """Requests that it befalls; -1 for all."""


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    range: str
    token: str
    status: int = 0
    sent: int = 0
    """Bytes of the body."""

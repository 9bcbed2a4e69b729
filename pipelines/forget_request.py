"""What `spanmill forget` is asked: ids, repositories and paths, read from files that people write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.errors import ConfigError, InputError
from pipelines.named import Place
from pipelines.storage import read_bytes


@dataclass(frozen=True)
class Request:
    """What is to be forgotten."""

    doc_ids: frozenset[bytes] = frozenset()
    repos: frozenset[str] = frozenset()
    with_keepers: bool = False
    """Also the documents for which dedup removed one of those that are named."""
    paths: frozenset[Place] = frozenset()

    def words(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "doc_ids": sorted(doc_id.hex() for doc_id in self.doc_ids),
            "repos": sorted(self.repos),
            "with_keepers": self.with_keepers,
            **({"paths": sorted(map(list, self.paths))} if self.paths else {}),
        }


def read_request(doc_ids: str, repos: str, with_keepers: bool, paths: str = "") -> Request:
    """The question that three files ask; any path may be empty. Raises ConfigError for a line that is no id, or if nothing is asked."""
    ids = frozenset(_to_id(line, number, doc_ids) for number, line in _lines(doc_ids))
    names, places = frozenset(line for _, line in _lines(repos)), frozenset(Place.of(line) for _, line in _lines(paths, whole=True))
    if not ids and not names and not places:
        raise ConfigError(
            "Nothing to forget: give --doc-ids FILE, --repos FILE or --paths FILE, with one id (32 hex digits), one repository name, or "
            "one path (or repository, tab, path) a line."
        )
    return Request(ids, names, with_keepers, places)


def _lines(path: str, *, whole: bool = False) -> Iterator[tuple[int, str]]:
    """(number from 1, content) of the lines that say something. A `#` at the start of a line or behind a space begins a comment.

    `whole`: only at the start of a line, since a path may hold ` #`; blanks at its ends belong to no path.
    """
    if not path:
        return
    try:
        text = read_bytes(path).decode().removeprefix("\ufeff")  # some editors begin a file with this mark of its encoding
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): convert it first.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. It should hold one id, one repository name or one path a line.") from None
    for number, line in enumerate(text.split("\n"), 1):
        if content := re.sub(r"^#.*" if whole else r"(^|\s)#.*", "", line).strip():
            yield number, content


def _to_id(line: str, number: int, path: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", line):
        raise ConfigError(
            f"{path}, line {number}: {line[:80]!r} is no document id; 32 hex digits are allowed, as `spanmill trace` prints them."
        )
    return bytes.fromhex(line)

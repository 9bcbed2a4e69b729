"""Licences of files on disk: from a header of their own, or from the nearest licence file.

Licence texts are recognised by `identify`, which holds the 35 texts of choosealicense.com and accepts an edit distance below 5 %. It
answers nothing for a text that it does not know, such as several licences in one file: then the licence is unrecognised, never guessed.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from typing import Final, NamedTuple

from identify.identify import license_id
from license_expression import Licensing, get_spdx_licensing

UNRECOGNIZED: Final = "LicenseRef-unrecognized"
"""Stands for a licence text that was found but not recognised; no allow-list should name it."""

HEADER_BYTES: Final = 4096
"""How much of a file is searched for a header. SPDX asks for it "near the top"; the longest licence headers are about 2 KB."""

_HEADER: Final = re.compile(rb"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() \t-]{1,200})")

_FILE_NAME: Final = re.compile(r"(licen[cs]e|copying|unlicense)([-._][\w.+-]+)?", re.IGNORECASE)


_RIDERS: Final = re.compile(rb"for\s+good,\s+not\s+evil|commons\s+clause", re.IGNORECASE)
"""Restrictions short enough to hide within the edit distance: the JSON licence's, and the Commons Clause by reference."""


class Licenses(NamedTuple):
    """What is known of a document's licence."""

    expressions: tuple[str, ...]
    """SPDX expressions, all of which hold; empty if there is none."""
    evidence: str
    """Where they were found."""


@cache
def licensing() -> Licensing:
    """The SPDX licence list that comes with `license-expression`. About 0.1 s, once a process."""
    return get_spdx_licensing()


def from_header(text: bytes) -> Licenses | None:
    """The SPDX-License-Identifier of a file's first lines. Several of them must all hold."""
    found = [match.decode().strip(" \t-") for match in _HEADER.findall(text[:HEADER_BYTES])]
    expressions = tuple(dict.fromkeys(expression for expression in found if expression))
    return Licenses(expressions, "SPDX-License-Identifier header") if expressions else None


def is_license_file(name: str) -> bool:
    """Whether a file name is one that licence texts go by, such as LICENSE, LICENCE.md, COPYING or LICENSE-MIT."""
    return _FILE_NAME.fullmatch(name) is not None and not name.lower().endswith((".py", ".js", ".go", ".rs", ".c", ".h", ".java"))


def recognize(text: bytes) -> str:
    """SPDX id of a licence's text, or UNRECOGNIZED. About 20 ms."""
    if _RIDERS.search(text):
        return UNRECOGNIZED
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(text)
        file.flush()
        try:
            return license_id(file.name) or UNRECOGNIZED
        except UnicodeDecodeError:
            return UNRECOGNIZED

"""Which column or JSON field is what, for sources whose layout is not known beforehand.

A document is one text, or, by the source's `shape`, put together from several fields (pipelines.sources.shapes).
"""

from __future__ import annotations

from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from contracts.settings import Settings

Shape = Literal["text", "chat", "commit", "issue", "notebook"]

Role = Literal["system", "user", "assistant"]

_COMMON: Final = ("id", "language", "repo", "path", "stars", "licenses")

_OF_SHAPE: Final[dict[Shape, tuple[str, ...]]] = {
    "text": ("text",),
    "chat": ("messages",),
    "commit": ("before", "subject", "after"),
    "issue": ("title", "comments", "closed"),
    "notebook": ("cells",),
}
"""The fields that a document of each shape is made of."""


class Fields(Settings):
    """Names of the corpus's columns or fields; "" where it has none. Which of them are read depends on `shape`."""

    text: str = Field(default="text", min_length=1)
    """Shape "text": the document itself."""

    id: str = ""
    """The corpus's own id. With an id or a path, documents keep their ids when the corpus is re-partitioned."""

    language: str = ""
    """Programming or natural language."""

    repo: str = ""
    """Repository or package."""

    path: str = ""
    """Path in the repository."""

    stars: str = ""
    """Stars of the repository, a whole number."""

    licenses: str = ""
    """SPDX ids or expressions, all of which hold: a list, or a string with commas between."""

    messages: str = Field(default="messages", min_length=1)
    """Shape "chat": a list of objects, one a turn."""

    role: str = Field(default="role", min_length=1)
    """Of each message: who speaks."""

    content: str = Field(default="content", min_length=1)
    """Of each message: what is said."""

    roles: dict[str, Role] = Field(default={"system": "system", "user": "user", "assistant": "assistant"}, min_length=1)
    """What the corpus calls the roles, for example `{human = "user", gpt = "assistant"}`. A chat with any other is quarantined."""

    before: str = Field(default="old_contents", min_length=1)
    """Shape "commit": the file before it."""

    subject: str = Field(default="subject", min_length=1)
    """The commit's message, or its first line."""

    after: str = Field(default="new_contents", min_length=1)
    """The file after it."""

    title: str = Field(default="title", min_length=1)
    """Shape "issue": its title."""

    comments: str = Field(default="comments", min_length=1)
    """What was said about it, first the issue itself: a list of objects."""

    author: str = Field(default="author", min_length=1)
    """Of each comment: who wrote it. Documents hold username_0, username_1, … instead."""

    body: str = Field(default="body", min_length=1)
    """Of each comment: its text."""

    closed: str = ""
    """Whether the issue was closed: true, or the word "closed"."""

    cells: str = Field(default="cells", min_length=1)
    """Shape "notebook": a list of objects as in .ipynb files."""

    cell_type: str = Field(default="cell_type", min_length=1)
    """Of each cell: "markdown", "code" or "raw"."""

    cell_source: str = Field(default="source", min_length=1)
    """Of each cell: its text, a string or a list of strings."""

    cell_outputs: str = Field(default="outputs", min_length=1)
    """Of each code cell: a string, or a list of strings or of outputs as in .ipynb files; it may be missing."""

    def named(self, shape: Shape) -> list[tuple[str, str]]:
        """(setting, name) of the columns that the corpus has and that are read."""
        names = {setting: getattr(self, setting) for setting in (*_OF_SHAPE[shape], *_COMMON)}
        return [(setting, name) for setting, name in names.items() if name]

    def texts(self, shape: Shape) -> list[str]:
        """Names of the fields that a document's text is made of."""
        return [name for setting, name in self.named(shape) if setting in _OF_SHAPE[shape]]

    def evidence(self, licenses: pa.ListArray, otherwise: str, what: str) -> pa.StringArray:
        """string[n]: where each document's licences were found; `what` is "column" or "field"."""
        found = pc.greater(pc.list_value_length(licenses), 0)
        return pc.if_else(found, f"{what} {self.licenses!r}", otherwise)

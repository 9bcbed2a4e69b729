r"""Documents put together from several fields, with control tokens between them.

    chat      {USER} Hello {END_OF_TURN} {ASSISTANT} Hi! {END_OF_TURN}
    commit    <commit_before> OLD <commit_msg> SUBJECT <commit_after> NEW
    issue     <issue_start> Title: T\nusername_0: C <issue_comment> username_1: C … <issue_closed>, where it was closed
    notebook  <jupyter_start>, then in the order of its cells <jupyter_text> TEXT and <jupyter_code> CODE <jupyter_output> OUTPUT

(without the blanks; the tokens are marks). Those of commits, issues and notebooks are StarCoder's; the one of chats is ours. Values come
from JSON or from Arrow, and may be anything: what does not fit raises UnfitError, and the document is quarantined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from contracts.special_tokens import ASSISTANT, END_OF_TURN, MARKS_OF_KIND, SYSTEM, USER
from pipelines.sources.fields import Fields, Role, Shape
from pipelines.sources.marks import Mark, Marked

ISSUE_START, ISSUE_COMMENT, ISSUE_CLOSED = MARKS_OF_KIND["issue"]
COMMIT_BEFORE, COMMIT_MSG, COMMIT_AFTER = MARKS_OF_KIND["commit"]
JUPYTER_START, JUPYTER_TEXT, JUPYTER_CODE, JUPYTER_OUTPUT, EMPTY_OUTPUT = MARKS_OF_KIND["notebook"]

ROLE_TOKENS: Final[dict[Role, str]] = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}

OUTPUT_CHARACTERS: Final = 1000
"""What is kept of a cell's output; "[...]" follows where more was there. StarCoder's preprocessing has the same."""

CELL_TYPES: Final = ("markdown", "code", "raw")

Found = Mapping[str, Any]
"""One object: a row's fields, a message, a comment, a cell."""


class UnfitError(Exception):
    """A value that cannot be used: check and reason of its Problem."""


def marked_of(shape: Shape, found: Found, fields: Fields) -> Marked:
    """The document that a row's fields make. Raises UnfitError. `shape` is not "text"."""
    writer = _Writer()
    _SHAPES[shape](found, fields, writer)
    return writer.written()


class _Writer:
    """A document in the making."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._marks: list[Mark] = []
        self._size = 0

    def mark(self, token: str) -> None:
        self._marks.append((self._size, token))

    def text(self, words: str) -> None:
        """Raises UnfitError for what is no Unicode text."""
        piece = encoded(words, "text")
        self._pieces.append(piece)
        self._size += len(piece)

    def written(self) -> Marked:
        return Marked(b"".join(self._pieces), tuple(self._marks))


def encoded(words: str, what: str) -> bytes:
    """UTF-8. Raises UnfitError for lone surrogates, which JSON can spell."""
    try:
        return words.encode()
    except UnicodeEncodeError:
        raise UnfitError("utf8", f"{what} holds a lone surrogate, which is not text") from None


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON."""
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
        type(None): "null",
        str: "a string",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")


def _chat(found: Found, fields: Fields, writer: _Writer) -> None:
    messages = _objects(found, fields.messages, "chat")
    if not messages:
        raise UnfitError("chat", f"field {fields.messages!r} holds no message")
    for i, message in enumerate(messages):
        where = f"message {i + 1}"
        role = fields.roles.get(_words(message, fields.role, "chat", where))
        if role is None:
            known = ", ".join(fields.roles)
            raise UnfitError("chat", f"{where} has a role that is none of {known} (setting 'roles')")
        writer.mark(ROLE_TOKENS[role])
        writer.text(_words(message, fields.content, "chat", where))
        writer.mark(END_OF_TURN)


def _commit(found: Found, fields: Fields, writer: _Writer) -> None:
    """The file before may be null or missing: the commit made it."""
    writer.mark(COMMIT_BEFORE)
    writer.text(_words(found, fields.before, "commit", optional=True))
    writer.mark(COMMIT_MSG)
    writer.text(_words(found, fields.subject, "commit"))
    writer.mark(COMMIT_AFTER)
    writer.text(_words(found, fields.after, "commit"))


def _issue(found: Found, fields: Fields, writer: _Writer) -> None:
    """Names become username_0, … in the order of their first comment, before the comments and where one is spoken to as @name."""
    comments = _objects(found, fields.comments, "issue")
    authors = [
        _words(comment, fields.author, "issue", f"comment {i + 1}", optional=True).lower() for i, comment in enumerate(comments)
    ]
    names = {author: f"username_{i}" for i, author in enumerate(dict.fromkeys(authors))}
    hidden = _Hidden(names)
    writer.mark(ISSUE_START)
    writer.text(hidden(f"Title: {_words(found, fields.title, 'issue')}\n"))
    for i, (author, comment) in enumerate(zip(authors, comments, strict=True)):
        if i > 0:
            writer.mark(ISSUE_COMMENT)
        body = _words(comment, fields.body, "issue", f"comment {i + 1}", optional=True)
        writer.text(f"{names[author]}: {hidden(body)}")
    if fields.closed and found.get(fields.closed) in (True, "closed"):
        writer.mark(ISSUE_CLOSED)


class _Hidden:
    """Puts others' names for the authors' where a text speaks to them. GitHub's names do not tell letters' cases apart."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        words = "|".join(re.escape(name) for name in names if name)
        self._spoken_to = re.compile(rf"(?<![\w.])@({words})(?![\w-])", re.IGNORECASE) if words else None

    def __call__(self, text: str) -> str:
        return self._spoken_to.sub(lambda match: f"@{self._names[match[1].lower()]}", text) if self._spoken_to else text


def _notebook(found: Found, fields: Fields, writer: _Writer) -> None:
    """Neighbouring cells of one type become one, and so do their outputs; raw cells are left out.

    Texts stay as they are: StarCoder's preprocessing took tags and newlines out of them, which runs words together.
    """
    cells = [_Cell.of(cell, fields, f"cell {i + 1}") for i, cell in enumerate(_objects(found, fields.cells, "notebook"))]
    writer.mark(JUPYTER_START)
    for kind, group in groupby((cell for cell in cells if cell.kind != "raw"), attrgetter("kind")):
        members = list(group)
        writer.mark(JUPYTER_CODE if kind == "code" else JUPYTER_TEXT)
        writer.text("\n".join(cell.source for cell in members))
        if kind == "code":
            _outputs("\n".join(cell.output for cell in members if cell.output), writer)


class _Cell(NamedTuple):
    """One cell of a notebook."""

    kind: str
    source: str
    output: str

    @staticmethod
    def of(cell: Found, fields: Fields, where: str) -> _Cell:
        """Raises UnfitError."""
        kind = _words(cell, fields.cell_type, "notebook", where)
        if kind not in CELL_TYPES:
            raise UnfitError("notebook", f"{where} has a type that is none of {', '.join(CELL_TYPES)}")
        output = _output(cell.get(fields.cell_outputs), where) if kind == "code" else ""
        return _Cell(kind, _joined(cell.get(fields.cell_source), where), output)


def _outputs(words: str, writer: _Writer) -> None:
    writer.mark(JUPYTER_OUTPUT)
    if words:
        writer.text(words if len(words) <= OUTPUT_CHARACTERS else words[:OUTPUT_CHARACTERS] + "[...]")
    else:
        writer.mark(EMPTY_OUTPUT)


def _output(value: Any, where: str) -> str:
    """What a code cell printed, the plain text of what it showed, the last line of its error; "" for none."""
    if not isinstance(value, list) or all(isinstance(each, str) for each in value):
        return _joined(value, where) if value is not None else ""
    return "".join(_output_of(_object(each, "an output", where, "notebook"), where) for each in value)


def _output_of(output: Found, where: str) -> str:
    if isinstance(output.get("ename"), str):
        return f"{output['ename']}: {output.get('evalue') or ''}"
    data = output.get("data")
    value = output.get("text") if output.get("text") is not None or not isinstance(data, Mapping) else data.get("text/plain")
    return _joined(value, where) if value is not None else ""


def _joined(value: Any, where: str) -> str:
    """A string, or a list of strings, as .ipynb files hold texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "".join(value)
    raise UnfitError("notebook", f"{where} holds {kind_of(value)} where a string or a list of strings should be")


def _words(found: Found, name: str, check: str, where: str = "", optional: bool = False) -> str:
    """A string; "" for null where that is allowed."""
    value = found.get(name)
    if value is None and optional:
        return ""
    of = f" of {where}" if where else ""
    if name not in found:
        raise UnfitError(check, f"there is no field {name!r}{of}")
    if not isinstance(value, str):
        raise UnfitError(check, f"field {name!r}{of} holds {kind_of(value)}, not a string")
    return value


def _objects(found: Found, name: str, check: str) -> list[Found]:
    value = found.get(name)
    if name not in found:
        raise UnfitError(check, f"there is no field {name!r}")
    if not isinstance(value, list):
        raise UnfitError(check, f"field {name!r} holds {kind_of(value)}, not a list of objects")
    return [_object(each, f"entry {i + 1}", f"field {name!r}", check) for i, each in enumerate(value)]


def _object(value: Any, what: str, where: str, check: str) -> Found:
    if not isinstance(value, Mapping):
        raise UnfitError(check, f"{what} of {where} is {kind_of(value)}, not an object")
    return value


_SHAPES: Final[Mapping[Shape, Callable[[Found, Fields, _Writer], None]]] = {
    "chat": _chat,
    "commit": _commit,
    "issue": _issue,
    "notebook": _notebook,
}

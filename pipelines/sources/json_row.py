"""From a JSON object to a document's row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pipelines.sources.columns import Problem
from pipelines.sources.fields import Fields
from pipelines.sources.row_buffer import Row
from pipelines.sources.settings import Kind, SourceBase

T = TypeVar("T")


class JsonFields(SourceBase):
    """Settings that say what an object means."""

    fields: Fields = Fields()
    """Which field is what."""

    kind: Kind = "code"
    """What the documents are."""

    language: str = "unknown"
    """Language of documents whose language field says nothing."""


class _BadValueError(Exception):
    """A field's value that cannot be used: check and reason of its Problem."""


def row_of(found: dict[str, Any], settings: JsonFields) -> Row | Problem:
    """The object's row, or what is wrong with it."""
    names = settings.fields
    try:
        licenses: tuple[str, ...] = _get(found, names.licenses, _licenses, ())
        return Row(
            text=_text(found, names.text),
            language=_get(found, names.language, _name, "") or settings.language,
            kind=settings.kind,
            licenses=licenses,
            evidence=f"field {names.licenses!r}" if licenses else settings.no_license_evidence,
            repo=_get(found, names.repo, _name, ""),
            path=_get(found, names.path, _name, ""),
            id=_get(found, names.id, _name, ""),
            stars=_get(found, names.stars, _count, None),
        )
    except _BadValueError as error:
        return Problem(*error.args)


def _get(found: dict[str, Any], name: str, convert: Callable[[Any, str], T], otherwise: T) -> T:
    value = found.get(name) if name else None
    return otherwise if value is None else convert(value, name)


def _text(found: dict[str, Any], name: str) -> bytes:
    if name not in found:
        raise _BadValueError("text", f"the object has no field {name!r} (setting 'fields.text')")
    value = found[name]
    if not isinstance(value, str):
        raise _BadValueError("text", f"field {name!r} holds {_kind_of(value)}, not a string")
    return _encoded(value, name)


def _name(value: Any, name: str) -> str:
    if isinstance(value, str):
        _encoded(value, name)
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _BadValueError("field", f"field {name!r} holds {_kind_of(value)}, not a string or a whole number")


def _count(value: Any, _: str) -> int | None:
    """A whole number that int64 holds; as in Parquet columns, anything else counts as not known."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and abs(value) < 2**63 else None


def _licenses(value: Any, name: str) -> tuple[str, ...]:
    """A string is split at commas, which no SPDX expression contains."""
    entries = value if isinstance(value, list) else _name(value, name).split(",")
    return tuple(text for entry in entries if (text := _name(entry, name).strip()))


def _encoded(value: str, name: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _BadValueError("utf8", f"field {name!r} holds a lone surrogate, which is not text") from None


def _kind_of(value: Any) -> str:
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
        type(None): "null",
        str: "a string",
    }
    return kinds[type(value)]

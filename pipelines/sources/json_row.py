"""From a JSON object to a document's row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pipelines.sources.columns import Problem
from pipelines.sources.fields import Fields
from pipelines.sources.marks import Marked
from pipelines.sources.row_buffer import Row
from pipelines.sources.shaped import ShapedSource
from pipelines.sources.shapes import UnfitError, encoded, kind_of, marked_of

T = TypeVar("T")


class JsonFields(ShapedSource):
    """Settings that say what an object means."""

    fields: Fields = Fields()
    """Which field is what."""


def row_of(found: dict[str, Any], settings: JsonFields) -> Row | Problem:
    """The object's row, or what is wrong with it."""
    names = settings.fields
    try:
        marked = _marked(found, settings)
        licenses: tuple[str, ...] = _get(found, names.licenses, _licenses, ())
        return Row(
            text=marked.text,
            marks=marked.marks,
            language=_get(found, names.language, _name, "") or settings.language,
            kind=settings.kind,
            licenses=licenses,
            evidence=f"field {names.licenses!r}" if licenses else settings.no_license_evidence,
            repo=_get(found, names.repo, _name, ""),
            path=_get(found, names.path, _name, ""),
            id=_get(found, names.id, _name, ""),
            stars=_get(found, names.stars, _count, None),
        )
    except UnfitError as error:
        return Problem(*error.args)


def _get(found: dict[str, Any], name: str, convert: Callable[[Any, str], T], otherwise: T) -> T:
    value = found.get(name) if name else None
    return otherwise if value is None else convert(value, name)


def _marked(found: dict[str, Any], settings: JsonFields) -> Marked:
    names = settings.fields
    return Marked(_text(found, names.text)) if settings.shape == "text" else marked_of(settings.shape, found, names)


def _text(found: dict[str, Any], name: str) -> bytes:
    if name not in found:
        raise UnfitError("text", f"the object has no field {name!r} (setting 'fields.text')")
    value = found[name]
    if not isinstance(value, str):
        raise UnfitError("text", f"field {name!r} holds {kind_of(value)}, not a string")
    return encoded(value, f"field {name!r}")


def _name(value: Any, name: str) -> str:
    if isinstance(value, str):
        encoded(value, f"field {name!r}")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UnfitError("field", f"field {name!r} holds {kind_of(value)}, not a string or a whole number")


def _count(value: Any, _: str) -> int | None:
    """A whole number that int64 holds; as in Parquet columns, anything else counts as not known."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and abs(value) < 2**63 else None


def _licenses(value: Any, name: str) -> tuple[str, ...]:
    """A string is split at commas, which no SPDX expression contains."""
    entries = value if isinstance(value, list) else _name(value, name).split(",")
    return tuple(text for entry in entries if (text := _name(entry, name).strip()))

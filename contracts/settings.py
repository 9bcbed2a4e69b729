"""The base of every settings class, and words for settings that do not fit."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from contracts.errors import ConfigError, unknown_name


class Settings(BaseModel):
    """A frozen, strict group of settings: unknown keys and wrong types are refused, each field is documented below itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


SettingsT = TypeVar("SettingsT", bound=Settings)


def build(kind: type[SettingsT], values: dict[str, Any], where: str) -> SettingsT:
    """`kind(**values)`, or a ConfigError that names each bad setting, the value seen and what is allowed.

    `where` is the place for the message, such as a file's name.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(kind, detail) for detail in error.errors()]
        raise ConfigError(f"{where}: " + "\n  ".join(lines)) from None


def _explain(kind: type[Settings], detail: ErrorDetails) -> str:
    place = [str(step) for step in detail["loc"]]
    dotted = ".".join(place)
    if detail["type"] == "extra_forbidden":
        return unknown_name("setting", dotted, _siblings(kind, place))
    if detail["type"] == "missing":
        return f"setting {dotted!r} is missing; it has no default."
    return f"setting {dotted!r} = {detail['input']!r}: {detail['msg']}."


def _siblings(kind: type[Settings], place: list[str]) -> list[str]:
    """Dotted names of the settings allowed beside `place`, as far as the types say."""
    model: Any = kind
    for step in place[:-1]:
        field = model.model_fields.get(step) if hasattr(model, "model_fields") else None
        model = field.annotation if field is not None else None
    names = list(getattr(model, "model_fields", {}))
    prefix = ".".join(place[:-1])
    return [f"{prefix}.{name}" if prefix else name for name in names]

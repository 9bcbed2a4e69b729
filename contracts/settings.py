"""The base of every settings class, and words for settings that do not fit."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

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
    place, siblings, inner = _walk(kind, detail["loc"])
    dotted = ".".join(place)
    if detail["type"] == "extra_forbidden":
        return unknown_name("setting", dotted, siblings)
    if detail["type"] == "missing":
        return f"setting {dotted!r} is missing; it has no default."
    if detail["type"] == "value_error":  # of a validator of ours, which names setting and value
        return f"{dotted}: {detail['ctx']['error']}.".removeprefix(": ")
    if detail["type"] == "list_type" and inner and isinstance(detail["input"], dict):
        return f"setting {dotted!r} is one table: there may be several, so write [[{dotted}]] instead of [{dotted}]."
    if inner and detail["type"] in ("model_type", "model_attributes_type", "list_type"):
        return f"setting {dotted!r} = {detail['input']!r}: must be a table of settings."
    return f"setting {dotted!r} = {detail['input']!r}: {detail['msg']}."


def _walk(kind: Any, steps: tuple[int | str, ...]) -> tuple[list[str], list[str], list[type[BaseModel]]]:
    """(the place as the user wrote it, dotted names of the settings allowed beside its last step, the classes that may stand there).

    It follows the types of `kind`. Where one is a choice of classes, pydantic puts the choice made into the place; the user never wrote
    it.
    """
    place: list[str] = []
    choices = _classes(kind)
    siblings: list[str] = []
    for step in steps:
        chosen = [each for each in choices if "type" in each.model_fields and each.model_fields["type"].default == step]
        if len(choices) > 1 and chosen:
            choices = chosen
            continue
        names = sorted({name for each in choices for name in each.model_fields}) if isinstance(step, str) else []
        siblings = [".".join([*place, name]) for name in names]
        place.append(str(step))
        if isinstance(step, str):
            fields = [each.model_fields[step] for each in choices if step in each.model_fields]
            choices = [inner for field in fields for inner in _classes(field.annotation)]
    return place, siblings, choices


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) for found in _classes(each)]

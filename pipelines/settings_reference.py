"""Every setting of a recipe, told from the classes that declare them: for `spanmill settings` and docs/settings.md.

Recipe, SOURCES, TrainSettings  ──▶  sections()  ──▶  as_text()      spanmill settings
fields and their docstrings          by TOML path     as_markdown()  docs/settings.md
"""

from __future__ import annotations

import difflib
import json
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from inspect import cleandoc
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from contracts.errors import ConfigError
from contracts.settings import Settings
from pipelines.recipe import Recipe
from pipelines.sources import SOURCES

WIDTH: Final = 100
"""Of the plain text."""

LONGEST_DEFAULT: Final = 80
"""Characters of a default that is shown whole."""

HEAD: Final = """# Settings

Every setting of a recipe, as `spanmill settings` prints them; a setting without a default must be set. This page is made by
`make docs/settings.md` from the classes that declare the settings: change their docstrings, not this page.
"""

_TYPES: Final[dict[Any, tuple[str, str]]] = {
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("string", "strings"),
    Any: ("any value", "values"),
}
"""In the singular and in the plural."""


@dataclass(frozen=True)
class Setting:
    """One setting, in words."""

    name: str
    default: str
    """As TOML; "" where there is none, "unset" where leaving it out means something that no value does."""
    allowed: str
    words: str


@dataclass(frozen=True)
class Section:
    """One table of a recipe."""

    name: str
    """Its TOML path; `source:TYPE` for a source; "" for what stands above all tables."""
    title: str
    words: str
    settings: tuple[Setting, ...]


def sections(train: type[Settings]) -> list[Section]:
    """All of them, in the order of the recipe's classes. `train` is the trainer's, which `pipelines` does not know."""
    return [each for each in _recipe(train) if each.settings]


def find(among: Sequence[Section], name: str) -> list[Section]:
    """A section and those below it, or one setting of one. Raises ConfigError for an unknown name, and guesses the one meant."""
    plain = name.strip("[]")
    found = [each for each in among if each.name == plain or each.name.startswith((f"{plain}.", f"{plain}:"))]
    if found:
        return found
    paths = {f"{each.name}.{one.name}".lstrip("."): replace(each, settings=(one,)) for each in among for one in each.settings}
    if plain in paths:
        return [paths[plain]]
    names = [each.name for each in among if each.name]
    close = difflib.get_close_matches(plain, [*names, *paths], n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"there is no section or setting {name!r} in a recipe.{guess} Sections: {', '.join(names)}.")


def as_text(chosen: Sequence[Section]) -> str:
    """For a terminal."""
    return "\n".join(line for section in chosen for line in _text(section))


def as_markdown(chosen: Sequence[Section]) -> str:
    """For docs/settings.md."""
    return HEAD + "".join(line for section in chosen for line in _markdown(section))


def _recipe(train: type[Settings]) -> Iterator[Section]:
    yield _section("", "above all tables", Recipe.__doc__ or "", Recipe, without=("train",))
    for kind, settings in SOURCES.items():
        name = f"source:{kind}"
        yield _section(name, f'[[source]] with type = "{kind}"', _module_words(settings), settings, without=("type",))
        yield from _below(name, settings)
    yield from _below("", Recipe)
    yield _section("train", "[train]", _doc(train), train)
    yield from _below("train", train)


def _below(name: str, model: type[Settings]) -> Iterator[Section]:
    """The tables that a model's fields are, and those below them."""
    for field, info in model.model_fields.items():
        inner, form = _table(info)
        if inner is None:
            continue
        path = f"{name}.{field}".lstrip(".") + form
        title = f"[{path}]" if form or get_origin(info.annotation) is not list else f"[[{path}]]"
        if path.startswith("source:"):
            kind, _, rest = path.removeprefix("source:").partition(".")
            title = f'[source.{rest}] with type = "{kind}"'
        yield _section(path, title, info.description or _doc(inner), inner)
        yield from _below(path, inner)


def _section(name: str, title: str, words: str, model: type[Settings], without: Sequence[str] = ()) -> Section:
    fields = {field: info for field, info in model.model_fields.items() if field not in without and _table(info)[0] is None}
    if name == "":
        fields.pop("source")
    return Section(name, title, _flat(words), tuple(_setting(field, info) for field, info in fields.items()))


def _table(info: FieldInfo) -> tuple[type[Settings] | None, str]:
    """(the class of the table that a field is, or each of its list or by name; what follows its path)."""
    annotation, form = info.annotation, ""
    if get_origin(annotation) is dict:
        annotation, form = get_args(annotation)[1], ".NAME"
    elif get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    return (annotation, form) if isinstance(annotation, type) and issubclass(annotation, Settings) else (None, "")


def _setting(name: str, info: FieldInfo) -> Setting:
    default = "" if info.is_required() else _value(info.get_default(call_default_factory=True))
    allowed = ", ".join(part for part in (_type(info.annotation), *_bounds(info)) if part)
    return Setting(name, default, allowed, _flat(info.description or ""))


def _type(annotation: Any, plural: bool = False) -> str:
    if annotation in _TYPES:
        return _TYPES[annotation][plural]
    origin, inner = get_origin(annotation), [each for each in get_args(annotation) if each is not type(None)]
    if origin is Literal:
        *first, last = (json.dumps(each) for each in inner)
        return f"{', '.join(first)} or {last}" if first else last
    if origin in (Union, types.UnionType) and len(inner) == 1:
        return _type(inner[0], plural)
    if origin is list:
        return f"{'lists' if plural else 'list'} of {_type(inner[0], plural=True)}"
    if origin is dict:
        return f"{'tables' if plural else 'table'} of {_type(inner[1], plural=True)}"
    if origin is tuple:
        return f"{len(inner)} {_type(inner[0], plural=True)}"
    return "a [[source]] table, see source:TYPE"


def _bounds(info: FieldInfo) -> Iterator[str]:
    """Of numbers, lengths and texts."""
    kinds = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for each in info.metadata:
        for mark, words in kinds.items():
            if (bound := getattr(each, mark, None)) is not None:
                yield f"{words} {_value(bound)}"
        if getattr(each, "min_length", None):
            yield "not empty"
        if pattern := getattr(each, "pattern", None):
            yield f"matching {pattern}"


def _value(value: Any) -> str:
    """A value as TOML has it, shortened where it is long."""
    if value is None:
        return "unset"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        whole = f"[{', '.join(_value(each) for each in value)}]"
        return whole if len(whole) <= LONGEST_DEFAULT else f"[{_value(value[0])}, … {len(value)} in all]"
    return str(value)


def _text(section: Section) -> Iterator[str]:
    yield from (section.title, *textwrap.wrap(section.words, WIDTH), "")
    for each in section.settings:
        yield f"  {each.name} = {each.default}" if each.default else f"  {each.name}  (must be set)"
        yield from textwrap.wrap(each.allowed, WIDTH, initial_indent="      ", subsequent_indent="      ")
        yield from textwrap.wrap(each.words, WIDTH, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False)
        yield ""


def _markdown(section: Section) -> Iterator[str]:
    yield f"\n## `{section.title}`\n\n{_escaped(section.words)}\n\n"
    for each in section.settings:
        default = f" = `{each.default}`" if each.default else ""
        yield f"- **`{each.name}`**{default}: {_escaped(each.allowed)}. {_escaped(each.words)}\n"


def _escaped(words: str) -> str:
    """What is not between backticks is shown as it is."""
    pieces = words.split("`")
    for i in range(0, len(pieces), 2):
        for mark in "\\<*[|":
            pieces[i] = pieces[i].replace(mark, f"\\{mark}")
    return "`".join(pieces)


def _flat(words: str) -> str:
    return " ".join(words.split())


def _doc(model: type[Settings]) -> str:
    return cleandoc(model.__doc__ or "")


def _module_words(model: type[Settings]) -> str:
    """The first paragraph of the file that declares a source."""
    return cleandoc(sys.modules[model.__module__].__doc__ or "").partition("\n\n")[0]

"""Settings on the command line: `--set section.key=value`.

Keys are TOML's: `shard.objectives_of."code/c++".causal=1`. Names that TOML would have in quotes may go without where they hold no dot and
no `=`. A number is a place in a list: `source.0.path=…`. Values are TOML's too; what is no TOML is taken for a string.
"""

from __future__ import annotations

import tomllib
from typing import Any

from contracts.errors import ConfigError


def apply(values: dict[str, Any], override: str) -> None:
    """Changes one setting of a recipe's values. Raises ConfigError, quoting the option, for what cannot be."""
    steps, text = _parse(override)
    place: Any = values
    for step in steps[:-1]:
        place = _entry(place, step, override)
    _put(place, steps[-1], _value(text), override)


def _parse(override: str) -> tuple[list[str], str]:
    """The steps of the key, and the text of the value. The first `=` that is not in quotes parts them."""
    at = override.find("=")
    while at > 0:
        if steps := _steps(override[:at]):
            return steps, override[at + 1 :]
        at = override.find("=", at + 1)
    key, _, text = override.partition("=")
    steps = key.strip().split(".")
    if "=" not in override or not all(steps) or any(mark in key for mark in "\"'"):
        raise ConfigError(
            f"--set {override!r}: must be section.key=value, for instance --set dedup.threshold=0.8; names with dots or slashes are quoted "
            "as in TOML: --set 'shard.objectives_of.\"code/python\".causal=1'"
        )
    return steps, text


def _steps(key: str) -> list[str]:
    """The steps of a key as TOML reads them; none where it is none of TOML's."""
    if "\n" in key:
        return []
    try:
        found: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return []
    steps = []
    while isinstance(found, dict) and found:
        ((step, found),) = found.items()
        steps.append(step)
    return steps


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return found["value"] if len(found) == 1 else text.strip()


def _entry(place: Any, step: str, override: str) -> Any:
    inner = place[_index(place, step, override)] if isinstance(place, list) else place.setdefault(step, {})
    if not isinstance(inner, dict | list):
        raise ConfigError(f"--set {override!r}: {step!r} is a value, it has no settings below it")
    return inner


def _put(place: Any, last: str, value: Any, override: str) -> None:
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    else:
        place[last] = value


def _index(place: list[Any], step: str, override: str) -> int:
    if not (step.isascii() and step.isdigit()) or int(step) >= len(place):
        raise ConfigError(f"--set {override!r}: {step!r} must be a number below {len(place)}")
    return int(step)

"""Statistics that add up: nested dictionaries of numbers and equally long lists of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def add_up(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of all parts, key by key. Independent of their order."""
    total: dict[str, Any] = {}
    for part in parts:
        _add(total, part)
    return total


def _add(total: dict[str, Any], part: dict[str, Any]) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            _add(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            have = total.setdefault(key, [0] * len(value))
            total[key] = [a + b for a, b in zip(have, value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value

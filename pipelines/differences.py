"""Words for what differs between the settings of two runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

MADE_FROM: Final = {f"upstream.{stage}": stage for stage in ("curate", "signatures", "dedup", "tokenizer")}
"""Stages that others are made from, by the places of their digests, which would tell nobody anything."""


AGAIN: Final = " was made again"


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The first settings that differ, at most three; empty if none does."""
    changes = list(_differences(old, new, ""))
    shown = "; ".join(changes[:3])
    return shown + (f"; and {len(changes) - 3} more" if len(changes) > 3 else "")


def why(change: str) -> str:
    """A difference as the end of a sentence: " because curate was made again", ": threshold was 0.7, is 0.8"."""
    changes = change.split("; ")
    if not all(each.endswith(AGAIN) for each in changes):
        return f": {change}"
    *names, last = (each.removesuffix(AGAIN) for each in changes)
    return f" because {', '.join(names)} and {last} were made again" if names else f" because {change}"


def _differences(old: Any, new: Any, where: str) -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif _are_tables(old) and _are_tables(new) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, f"{where}.{index}")
    elif old != new and where in MADE_FROM:
        yield f"{MADE_FROM[where]}{AGAIN}"
    elif old != new:
        yield f"{where.removeprefix('config.')} was {_brief(old)}, is {_brief(new)}"


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"

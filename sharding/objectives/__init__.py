"""What a model is asked to learn from a document: one file an objective, one line here.

An objective turns chunks into examples and can turn them back:

    examples(chunks) -> Examples          restore(example ids, control ids) -> the chunk's ids

Its code in shards is its place in contracts.schemas.OBJECTIVES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from contracts.errors import ConfigError, unknown_name
from sharding.objectives import causal, chat, fim, prefix_lm, span_corruption
from sharding.objectives.base import Chunks, Controls, Examples, Objective, Restored
from sharding.objectives.causal import Causal
from sharding.objectives.chat import Chat
from sharding.objectives.fim import Fim, FimSettings
from sharding.objectives.prefix_lm import PrefixLm
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.objectives.text import Codec, TextTable

OBJECTIVES = {"causal": causal, "span_corruption": span_corruption, "fim": fim, "prefix_lm": prefix_lm, "chat": chat}
"""Name to module; each has `restore(ids, controls) -> Restored`."""


class ObjectiveSettings(Protocol):
    """Settings of those objectives that have some; of sharding.config.ShardSettings, for example."""

    @property
    def span_corruption(self) -> SpanCorruptionSettings:
        """Of span corruption."""
        ...

    @property
    def fim(self) -> FimSettings:
        """Of filling in the middle."""
        ...


_MAKE: dict[str, Callable[[ObjectiveSettings, Controls, Codec], Objective]] = {
    "causal": lambda settings, controls, codec: Causal(controls),
    "span_corruption": lambda settings, controls, codec: SpanCorruption(settings.span_corruption, controls),
    "fim": lambda settings, controls, codec: Fim(settings.fim, controls, codec),
    "prefix_lm": lambda settings, controls, codec: PrefixLm(controls),
    "chat": lambda settings, controls, codec: Chat(controls),
}


def build(names: Iterable[str], settings: ObjectiveSettings, controls: Controls, codec: Codec) -> dict[str, Objective]:
    """The objectives of these names with their settings, in the order of their codes, whatever that of `names`.

    Raises ConfigError for an unknown name, ShardError where the vocabulary lacks a control token that one needs.
    """
    wanted = set(names)
    for name in sorted(wanted - set(_MAKE)):
        raise ConfigError(unknown_name("objective", name, _MAKE))
    return {name: make(settings, controls, codec) for name, make in _MAKE.items() if name in wanted}


def check_controls(names: Iterable[str], settings: ObjectiveSettings, controls: Controls) -> None:
    """Raises as `build` does, before any work is done and any text is there."""
    nothing = TextTable(np.zeros(1, np.int64), np.zeros(0, np.uint8))
    build(names, settings, controls, Codec(nothing, lambda texts: (np.zeros(0, np.uint32), np.zeros(len(texts) + 1, np.int64))))


__all__ = [
    "OBJECTIVES", "Chunks", "Codec", "Controls", "Examples", "Objective", "ObjectiveSettings", "Restored", "TextTable", "build",
    "check_controls",
]  # fmt: skip

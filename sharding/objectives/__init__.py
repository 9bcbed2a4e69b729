"""What a model is asked to learn from a document: one file an objective, one line here.

An objective turns chunks into examples and can turn them back:

    examples(chunks) -> Examples          restore(example ids, control ids) -> the chunk's ids

Its code in shards is its place in contracts.schemas.OBJECTIVES.
"""

from __future__ import annotations

from sharding.objectives import causal, span_corruption
from sharding.objectives.base import Chunks, Examples, Objective, Restored

OBJECTIVES = {"causal": causal, "span_corruption": span_corruption}
"""Name to module; each has `restore(ids, controls) -> Restored`."""

__all__ = ["OBJECTIVES", "Chunks", "Examples", "Objective", "Restored"]

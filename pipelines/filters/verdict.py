"""Building verdicts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipelines.filters.base import Verdict


def verdict(n: int, reasons: Mapping[int, str]) -> Verdict:
    """Keeps all of n documents but those with a reason."""
    keep = np.ones(n, np.bool_)
    keep[list(reasons)] = False
    return Verdict(keep, pa.array([reasons.get(i) for i in range(n)], pa.string()))

"""What a filter is: a rule that keeps a document, or gives the reason why not."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Verdict(NamedTuple):
    """A filter's answer for one batch of n documents."""

    keep: npt.NDArray[np.bool_]
    """bool[n]"""
    reasons: pa.StringArray
    """string[n]: what was measured and what is allowed, for documents that are not kept; null for kept ones. Never quotes the text."""


class Filter(Protocol):
    """One entry of FILTERS, built from its settings and the settings of the sources."""

    def check(self, documents: pa.RecordBatch) -> Verdict:
        """Judges each document of a batch (schema contracts.schemas.DOCUMENT) by itself, whatever its neighbours are."""
        ...

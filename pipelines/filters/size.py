"""Size of the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.filters.base import Verdict
from pipelines.filters.settings import FilterBase
from pipelines.filters.verdict import verdict
from pipelines.sources.settings import SourceBase


class SizeSettings(FilterBase):
    """Bounds in bytes of UTF-8; both ends are allowed."""

    min_bytes: int = Field(default=1, ge=0)
    """Least size. 1 drops empty files, as The Stack does; `__init__.py` files make many of them."""

    max_bytes: int = Field(default=1_000_000, ge=1)
    """Greatest size of anything but prose. 1 MB is the bound of The Stack (permissive set)."""

    prose_max_bytes: int = Field(default=10_000_000, ge=1)
    """Greatest size of prose. 10 MB is our choice: it admits whole books, and keeps a document from outgrowing a worker."""


class SizeFilter:
    """Drops texts that are empty or too large."""

    Settings = SizeSettings

    def __init__(self, settings: SizeSettings, sources: Sequence[SourceBase]) -> None:
        """`sources` are not looked at."""
        self._settings = settings

    def check(self, documents: pa.RecordBatch) -> Verdict:
        """See pipelines.filters.base.Filter."""
        sizes = np.asarray(pc.binary_length(documents["text"]))
        prose = np.asarray(pc.equal(documents["kind"], "prose"))
        most = np.where(prose, self._settings.prose_max_bytes, self._settings.max_bytes)
        small, large = sizes < self._settings.min_bytes, sizes > most
        reasons = {int(i): self._too_small(int(sizes[i])) for i in np.flatnonzero(small)}
        reasons |= {int(i): _too_large(int(sizes[i]), int(most[i]), bool(prose[i])) for i in np.flatnonzero(large)}
        return verdict(documents.num_rows, reasons)

    def _too_small(self, size: int) -> str:
        return f"text has {size} bytes; at least {self._settings.min_bytes} are wanted (filters.size.min_bytes)"


def _too_large(size: int, most: int, prose: bool) -> str:
    setting = "prose_max_bytes" if prose else "max_bytes"
    return f"text has {size} bytes; at most {most} are allowed (filters.size.{setting})"

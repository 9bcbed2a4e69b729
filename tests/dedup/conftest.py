"""Real files for the tests of dedup/, where the corpora are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dedup_truth import Truth, column, read_truth


@pytest.fixture(scope="session")
def files(corpora: Path) -> pa.LargeStringArray:
    """1,000 source files in 53 languages."""
    paths = sorted(path for path in (corpora / "small").glob("*/*.parquet") if path.parent.name != "nl")
    every = pa.concat_arrays([column(path, "content") for path in paths])
    return every.take(pa.array(np.linspace(0, len(every) - 1, 1000).astype(np.int64)))


@pytest.fixture(scope="session")
def truth(corpora: Path) -> Truth:
    return read_truth(corpora / "dedup_truth")

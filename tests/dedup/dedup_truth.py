"""Real files whose similar pairs are all known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


class Truth(NamedTuple):
    """n files, and every pair of them with a Jaccard similarity of 0.5 or more, found by brute force."""

    text: pa.LargeStringArray
    pairs: npt.NDArray[np.int64]
    jaccard: npt.NDArray[np.float64]


def read_truth(folder: Path) -> Truth:
    table = pq.read_table(folder / "pairs.parquet")
    pairs = np.stack([table["i"].to_numpy(), table["j"].to_numpy()], axis=1).astype(np.int64)
    return Truth(column(folder / "docs.parquet", "content"), pairs, table["jaccard"].to_numpy())


def column(path: Path, name: str) -> pa.LargeStringArray:
    return pa.concat_arrays(pq.read_table(path, columns=[name])[name].cast(pa.large_string()).chunks)

"""How similar removed documents are to kept ones, exactly, by shingles that someone else made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

AT_ONCE = 200
"""Removed documents that are compared with all kept ones at a time."""

Shingles = Mapping[int, npt.NDArray[np.uint64]]
"""Distinct shingles of each document, ascending."""


def nearest_kept(shingles: Shingles, removed: Set[int]) -> dict[int, float]:
    """Jaccard similarity of each removed document with the kept one that it resembles most.

    Cost: 5 s of CPU time for 3,400 removed ones of 20,000 documents with 12 million shingles.
    """
    kept, gone = [sorted(shingles.keys() - removed), sorted(removed)]
    known = np.unique(np.concatenate([shingles[each] for each in gone]))
    of_kept, sizes = _incidence(shingles, kept, known).T.tocsr(), _sizes(shingles, kept)
    nearest: dict[int, float] = {}
    for at in range(0, len(gone), AT_ONCE):
        some = gone[at : at + AT_ONCE]
        common = (_incidence(shingles, some, known) @ of_kept).tocoo()
        jaccard = common.data / (_sizes(shingles, some)[common.row] + sizes[common.col] - common.data)
        best = np.zeros(len(some))
        np.maximum.at(best, common.row, jaccard)
        nearest |= zip(some, best.tolist(), strict=True)
    return nearest


def _incidence(shingles: Shingles, documents: Sequence[int], known: npt.NDArray[np.uint64]) -> csr_array:
    """int32[documents, known]: 1 where a document holds a shingle."""
    columns = [np.searchsorted(known, _among(shingles[each], known)) for each in documents]
    ends = np.cumsum([0, *map(len, columns)])
    return csr_array((np.ones(ends[-1], np.int32), np.concatenate(columns), ends), shape=(len(documents), len(known)))


def _among(values: npt.NDArray[np.uint64], known: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    common: npt.NDArray[np.uint64] = values[known[place] == values]
    return common


def _sizes(shingles: Shingles, documents: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.array([len(shingles[each]) for each in documents])

"""What dedup made of a run of benchmarks/synthetic_run.py, held against what was planted.

wanted   documents that go if the greedy rule knows the estimate of every pair of variants: all copies but the one to keep, then,
         from the highest priority down, each variant that is similar enough to one that stays
found    of those, how many went
left     documents that the rule would still remove from what was kept
wrong    removals that do not say the truth: the keeper is gone too, or is no variant of the same document, or their estimate is
         below the threshold or another than the row's; or removed_rows has another document than removals
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from synthetic_run import AT_ONCE, Int64, Planted, UInt32

from contracts.manifest import Manifest
from pipelines.storage import read_manifest

Bool = npt.NDArray[np.bool_]

FLOAT32 = 1e-6
"""Largest difference between a row's similarity, a float32, and ours."""


class Score(NamedTuple):
    """Numbers of documents."""

    removed: int
    wanted: int
    found: int
    left: int
    wrong: int

    @property
    def recall(self) -> float:
        """Share of the wanted that were found."""
        return self.found / max(1, self.wanted)


def score(run_dir: Path, planted: Planted, threshold: float) -> Score:
    """Reads RUN/dedup. Memory: about 50 bytes a planted document, and 1 KB a document of the largest cluster."""
    manifest = read_manifest(str(run_dir / "dedup"))
    gone = _removed_rows(run_dir, planted, manifest)
    removed, wrong = 0, 0
    for path in sorted((run_dir / "dedup" / "removals").glob("*.parquet")):
        table = pq.read_table(path, columns=["doc_id", "keeper_id", "jaccard", "kind"])
        removed += table.num_rows
        wrong += _wrong(table, planted, gone, threshold)
    wrong += abs(int(gone.sum()) - removed)
    members, starts, copies = _families(planted)
    wanted = np.zeros(planted.documents, np.bool_)
    wanted[copies] = True
    wanted[members[_greedy_rule(planted, members, starts, np.ones(len(members), np.bool_), threshold)]] = True
    left = _greedy_rule(planted, members, starts, ~gone[members], threshold)
    stayed = int(np.count_nonzero(~gone[copies]))
    return Score(removed, int(wanted.sum()), int((wanted & gone).sum()), int(left.sum()) + stayed, wrong)


def _removed_rows(run_dir: Path, planted: Planted, manifest: Manifest) -> Bool:
    """bool[documents]. Row r of part p is document p + r × parts."""
    files = [entry.path for entry in manifest.files if entry.path.startswith("removed_rows/")]
    gone = np.zeros(planted.documents, np.bool_)
    for part, name in enumerate(files):
        gone[part + np.load(run_dir / "dedup" / name) * len(files)] = True
    return gone


def _wrong(table: pa.Table, planted: Planted, gone: Bool, threshold: float) -> int:
    document, keeper = (_ids(table[name], planted) for name in ("doc_id", "keeper_id"))
    jaccard, exact = table["jaccard"].to_numpy(), np.asarray(table["kind"]) == "exact"
    true = planted.estimates(document, keeper)
    ok = gone[document] & ~gone[keeper] & (planted.family(document) == planted.family(keeper))
    ok &= (true >= threshold) & (np.abs(true - jaccard) <= FLOAT32)
    ok &= ~exact | (planted.text(document) == planted.text(keeper))
    return int(np.count_nonzero(~ok))


def _ids(column: pa.ChunkedArray, planted: Planted) -> Int64:
    fixed = column.combine_chunks()
    fixed = fixed.chunk(0) if isinstance(fixed, pa.ChunkedArray) else fixed
    return planted.ids(np.frombuffer(fixed.buffers()[1], np.uint64, 2 * len(fixed), 16 * fixed.offset).reshape(-1, 2))


def _families(planted: Planted) -> tuple[Int64, Int64, Int64]:
    """Documents of families, where each family begins, and documents whose text a document of higher priority has too.

    A family are all that vary one another, from the highest priority down. The best of equal documents stands for all of them.
    """
    copies = np.asarray(planted.section("copies"))
    equal = np.unique(np.concatenate([copies, planted.text(copies)]))
    equal = equal[_by_priority(planted, equal, planted.text(equal))]
    first = np.ones(len(equal), np.bool_)
    first[1:] = planted.text(equal)[1:] != planted.text(equal)[:-1]
    members = np.arange(planted.section("alone").start)
    best = equal[first]
    stands = planted.text(best) < len(members)
    members[planted.text(best)[stands]] = best[stands]
    family = planted.family(members)
    members = members[_by_priority(planted, members, family)]
    return members, np.flatnonzero(np.diff(planted.family(members), prepend=-1)), equal[~first]


def _by_priority(planted: Planted, ids: Int64, group: Int64) -> Int64:
    """Order by group, in it by stars, length and doc_id, as the default priority has it."""
    high, low = planted.doc_id(ids).byteswap().T
    return np.lexsort((low, high, -planted.length(ids), -planted.stars(ids), group))


def _greedy_rule(planted: Planted, members: Int64, starts: Int64, here: Bool, threshold: float) -> Bool:
    """bool[n]: which members the rule removes from those that are here."""
    removed = np.zeros(len(members), np.bool_)
    at = 0
    while at < len(starts):
        begin = starts[at]
        at = max(at + 1, int(np.searchsorted(starts, begin + AT_ONCE, side="right")) - 1)
        end = starts[at] if at < len(starts) else len(members)
        some = members[begin:end]
        values = np.concatenate([planted.signatures(some[k : k + AT_ONCE]) for k in range(0, len(some), AT_ONCE)])
        removed[begin:end] = _greedy(values, planted.family(some), here[begin:end], threshold)
    return removed


@njit(cache=True)
def _greedy(values: UInt32, family: Int64, here: Bool, threshold: float) -> Bool:
    removed = np.zeros(len(values), np.bool_)
    kept = np.empty(len(values), np.int64)
    count = 0
    for i in range(len(values)):
        if i == 0 or family[i] != family[i - 1]:
            count = 0
        if not here[i]:
            continue
        for j in range(count):
            equal = 0
            for k in range(values.shape[1]):
                equal += int(values[i, k] == values[kept[j], k])
            if equal / values.shape[1] >= threshold:
                removed[i] = True
                break
        if not removed[i]:
            kept[count] = i
            count += 1
    return removed

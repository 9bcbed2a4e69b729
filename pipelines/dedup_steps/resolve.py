"""From candidate pairs to verdicts: components, exact similarities, keepers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.config import DedupSettings
from dedup.keepers import components, greedy
from dedup.lsh import unique_pairs
from dedup.shingles import shingle_sets
from dedup.verify import jaccard
from pipelines.corpus import Committed, column, load_array, read_part, save_array
from pipelines.graph import Once
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes

RESOLVED = np.dtype([("node", "<i8"), ("keeper", "<i8"), ("jaccard", "<f8")])

BATCH_SHINGLES = 20_000_000
"""Shingles that one batch of components holds in memory: 160 MB."""


@dataclass
class GroupPairs(Once):
    """Connected components of the candidate pairs, dealt to batches; the single item of its step."""

    stage: Stage
    parts: int
    pair_files: Sequence[str]
    """What the exchanges wrote, relative to the work folder."""

    def __call__(self, number: int) -> Receipt:
        """Writes batches/BATCH.npy and each part's members."""
        pairs = unique_pairs(*(np.asarray(load_array(self.stage.work_path(name))) for name in self.pair_files))
        place = np.asarray(load_array(self.stage.work_path("places.npy")))
        labels = components(pairs, len(place))
        members = np.unique(pairs)
        shingles = self._shingles(place, members)
        batch_of, batch_shingles = _deal(labels[members], shingles)
        of_pair = batch_of[np.searchsorted(members, pairs[:, 0])] if len(pairs) else np.zeros(0, np.int64)
        for batch in range(len(batch_shingles)):
            write_bytes(self.stage.work_path("batches", f"{batch:05d}.npy"), save_array(pairs[of_pair == batch]))
        for part in range(self.parts):
            write_bytes(self.stage.work_path(f"{part:05d}.members.npy"), save_array(members[place[members, 0] == part]))
        return {"pairs": len(pairs), "batches": len(batch_shingles), "batch_shingles": batch_shingles}

    def _shingles(self, place: npt.NDArray[np.int64], members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        counts = np.zeros(len(members), np.int64)
        for part in np.unique(place[members, 0]).tolist():
            rows = load_array(self.stage.work_path(f"{part:05d}.documents.npy"))
            mine = np.flatnonzero(place[members, 0] == part)
            counts[mine] = rows["shingles"][place[members[mine], 1]]
        return counts


@dataclass
class MakeSets:
    """Shingle sets of a part's documents that are in any candidate pair."""

    stage: Stage
    curated: Committed
    settings: DedupSettings

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.curated.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes PART.sets.npy and PART.set_offsets.npy, in the order of PART.members.npy."""
        part = self.curated.parts()[number]
        members = np.asarray(load_array(self.stage.work_path(f"{number:05d}.members.npy")))
        values, offsets = np.zeros(0, np.uint64), np.zeros(1, np.int64)
        if len(members):
            rows = load_array(self.stage.work_path("places.npy"))[members, 1]
            table = read_part(self.curated.folder, part, ("text",)).take(pa.array(np.asarray(rows)))
            values, offsets = shingle_sets(column(table, "text"), self.settings)
        write_bytes(self.stage.work_path(f"{number:05d}.sets.npy"), save_array(values))
        write_bytes(self.stage.work_path(f"{number:05d}.set_offsets.npy"), save_array(offsets))
        return {"sets": len(members)}


@dataclass
class ResolveBatch:
    """Exact Jaccard of a batch's pairs, and who keeps whom."""

    stage: Stage
    threshold: float

    def sizes(self) -> list[int]:
        """Bytes of the shingle sets of each batch."""
        return [8 * shingles for shingles in self.stage.all_receipts("group", 1)[0]["batch_shingles"]]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes resolved/BATCH.npy."""
        pairs = np.asarray(load_array(self.stage.work_path("batches", f"{number:05d}.npy")))
        members, local = np.unique(pairs, return_inverse=True)
        local = local.reshape(pairs.shape).astype(np.int64)
        values, offsets = self._sets(members)
        similar = jaccard(values, offsets, local)
        keeper, measured = greedy(local, similar, len(members), self.threshold)
        gone = np.flatnonzero(keeper >= 0)
        out = np.zeros(len(gone), RESOLVED)
        out["node"], out["keeper"], out["jaccard"] = members[gone], members[keeper[gone]], measured[gone]
        write_bytes(self.stage.work_path("resolved", f"{number:05d}.npy"), save_array(out))
        return {"pairs": len(pairs), "verified": int(np.sum(similar >= self.threshold)), "removed": len(gone)}

    def _sets(self, members: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Sets of the members, in their order."""
        place = load_array(self.stage.work_path("places.npy"))[members]
        found: list[npt.NDArray[np.uint64]] = [np.zeros(0, np.uint64)] * len(members)
        for part in np.unique(place[:, 0]).tolist():
            mine = np.flatnonzero(place[:, 0] == part)
            known = load_array(self.stage.work_path(f"{part:05d}.members.npy"))
            values: Any = load_array(self.stage.work_path(f"{part:05d}.sets.npy"))
            offsets = load_array(self.stage.work_path(f"{part:05d}.set_offsets.npy"))
            for at, index in zip(mine.tolist(), np.searchsorted(known, members[mine]).tolist(), strict=True):
                found[at] = values[offsets[index] : offsets[index + 1]]
        offsets = np.zeros(len(members) + 1, np.int64)
        np.cumsum([len(each) for each in found], out=offsets[1:])
        return np.concatenate(found), offsets


def _deal(labels: npt.NDArray[np.int64], shingles: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Whole components to batches of about BATCH_SHINGLES: (batch of each member, shingles of each batch)."""
    names, component = np.unique(labels, return_inverse=True)
    sizes = np.bincount(component, weights=shingles, minlength=len(names)).astype(np.int64)
    batch = np.zeros(len(names), np.int64)
    totals: list[int] = []
    for index, size in enumerate(sizes.tolist()):
        if not totals or totals[-1] + size > BATCH_SHINGLES:
            totals.append(0)
        totals[-1] += size
        batch[index] = len(totals) - 1
    return batch[component], totals

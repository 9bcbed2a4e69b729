"""The exchange of the dedup stage: documents that share a band key come together in the same key range.

A key range is an equal share of the 64-bit band keys. Its worker sees every document of the range, finds those that share a key,
and drops the pairs whose signatures say that they are well below the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.banding import Banding
from dedup.config import DedupSettings
from dedup.lsh import band_keys, candidate_pairs
from dedup.verify import estimate, worth_measuring
from pipelines.corpus import Committed, load_array, save_array
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes

BLOCK_ROW = 16
"""Bytes of a block for each document and band: a key and a node."""

KEY_RANGES = 16
"""Ranges that band keys are dealt to: the parallelism of the matching, and the share of an exchange that one worker holds."""

PAIRS_AT_ONCE = 100_000
"""Pairs whose signatures are held at a time: 200 MB at 256 permutations."""


@dataclass
class EmitBlocks:
    """A part's signatures to blocks of (band key, node) by key range."""

    stage: Stage
    curated: Committed
    bands: Banding
    chosen: range

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.curated.parts()]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of one part for the wanted ranges: (range, uint64[2, k] keys and nodes)."""
        node = np.asarray(load_array(self.stage.work_path(f"{place:05d}.nodes.npy")))
        rows = np.flatnonzero(node >= 0)
        values = np.asarray(load_array(self.stage.work_path(f"{place:05d}.signatures.npy")))[rows].astype(np.uint32, copy=False)
        keys = np.concatenate([band_keys(values, self.bands, band) for band in self.chosen])
        nodes = np.tile(node[rows].astype(np.uint64), len(self.chosen))
        number = (keys >> np.uint64(60)).astype(np.int64)  # KEY_RANGES = 2^4
        for each in wanted:
            mine = number == each
            if mine.any():
                yield each, np.stack([keys[mine], nodes[mine]]).tobytes()


@dataclass
class MatchRange:
    """All blocks of a key range to its candidate pairs."""

    stage: Stage
    settings: DedupSettings
    step: str
    parts: int
    rows: int
    """Documents times bands."""

    def sizes(self) -> list[int]:
        """Bytes of the blocks of each range, about."""
        return [self.rows * BLOCK_ROW // KEY_RANGES] * KEY_RANGES

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes the pairs of one range: int64[p, 2], nodes in priority order, ascending."""
        arrays = [np.frombuffer(block, np.uint64).reshape(2, -1) for block in blocks]
        joined = np.concatenate(arrays, axis=1)
        found = candidate_pairs(joined[0], joined[1].astype(np.int64), self.settings.bucket_cap)
        near = found[self._near(found)]
        write_bytes(self.stage.work_path(pairs_file(self.step, number)), save_array(near))
        return {"found": len(found), "near": len(near)}

    def _near(self, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool[p]: whether the signatures allow the threshold."""
        signatures = Signatures(self.stage, self.parts)
        keep = np.empty(len(pairs), np.bool_)
        for at in range(0, len(pairs), PAIRS_AT_ONCE):
            some = pairs[at : at + PAIRS_AT_ONCE]
            similar = estimate(signatures.of(some[:, 0]), signatures.of(some[:, 1]))
            keep[at : at + PAIRS_AT_ONCE] = worth_measuring(similar, self.settings)
        return keep


class Signatures:
    """Signatures of any documents by node number; parts are mapped when first needed."""

    def __init__(self, stage: Stage, parts: int) -> None:
        self._stage = stage
        self._place = load_array(stage.work_path("places.npy"))
        self._parts: dict[int, npt.NDArray[np.generic]] = {}

    def of(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Signatures uint32[k, num_perm]."""
        place = np.asarray(self._place[nodes])
        out = np.empty((len(nodes), self._part(int(place[0, 0])).shape[1]), np.uint32)
        for part in np.unique(place[:, 0]).tolist():
            mine = np.flatnonzero(place[:, 0] == part)
            out[mine] = self._part(part)[place[mine, 1]]
        return out

    def _part(self, part: int) -> npt.NDArray[np.generic]:
        if part not in self._parts:
            self._parts[part] = load_array(self._stage.work_path(f"{part:05d}.signatures.npy"))
        return self._parts[part]


def pairs_file(step: str, number: int) -> str:
    """Where a range leaves its pairs, relative to the work folder."""
    return f"pairs/{step}-{number:02d}.npy"

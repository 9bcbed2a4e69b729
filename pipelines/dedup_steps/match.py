"""The bands: documents that share a band key come together in the same key range.

A key range is an equal share of the 64-bit band keys. Its worker sees every document of the range, and writes the pairs that share a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dedup.hashing import fmix64_array
from dedup.lsh import matches
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.copies import keys_of
from pipelines.dedup_steps.layout import KEY_ROW, Passes, deal, gathered, share_of
from pipelines.rows import Array, load, save, save_plain
from pipelines.stage import Receipt, Stage

BAND_SHIFT = 48
"""A node and its band travel in one value: nodes are below 2^48, bands below 2^15."""


@dataclass
class EmitKeys:
    """A part's band keys to key ranges."""

    stage: Stage
    collection: Collection
    bands: range
    ranges: int

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 2 columns: key, and node with band."""
        nodes = load(self.stage.work_path(f"{place:05d}.banded.npy"))
        keys = keys_of(self.stage, place, self.bands, len(nodes))
        bands = np.arange(self.bands.start, self.bands.stop, dtype=np.int64) << BAND_SHIFT
        yield from deal(share_of(keys, self.ranges), [keys, (bands[:, None] | nodes).reshape(-1)], wanted)


@dataclass
class MatchRange:
    """All blocks of a key range to its pairs."""

    stage: Stage
    passes: Passes
    rows: int
    """Documents times bands."""
    bucket_cap: int
    pair_ranges: int

    def sizes(self) -> list[int]:
        """Bytes of the blocks of each range, about."""
        return [self.rows * KEY_ROW // self.passes.items] * self.passes.items

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes matches/PASS-RANGE MATCH[p] by pair range, plain, and where each pair range begins."""
        keys, packed = gathered(blocks, 2)
        nodes = (packed & np.uint64(2**BAND_SHIFT - 1)).view(np.int64)
        bands = (packed >> np.uint64(BAND_SHIFT)).astype(np.uint16)
        del packed
        references = self.stage.all_receipts("splitters", 1)[0]["references"]
        found = matches(keys, nodes, bands, self.bucket_cap, references)
        range_of = pair_range(found, self.pair_ranges)
        starts = np.searchsorted(range_of, np.arange(self.pair_ranges + 1), sorter=(order := np.argsort(range_of, kind="stable")))
        path = match_file(self.stage, self.passes.name, number)
        save_plain(path, found[order])
        save(f"{path}.starts.npy", starts)
        return {"pairs": len(found)}


def pair_range(found: Array, ranges: int) -> Array:
    """int64[p]: the range of a pair. All pairs in which a document is the worse one are in one range, and there are not many of them."""
    return share_of(fmix64_array(found["worse"].astype(np.uint64)), ranges)


def match_file(stage: Stage, name: str, number: int) -> str:
    """Where a key range leaves its pairs."""
    return stage.work_path("matches", f"{name}-{number:05d}")

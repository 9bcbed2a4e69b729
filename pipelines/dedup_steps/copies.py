"""Documents of one text: all but the first are exact duplicates, and go no further.

same    exchange by content hash ─▶ groups of equal documents
copies  exchange back to the parts ─▶ which documents are copies; band keys of all others
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dedup.banding import Banding
from dedup.exact import first_of_equals
from dedup.lsh import all_band_keys
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.layout import HASH_ROW, Passes, deal, gathered, share_of
from pipelines.rows import addresses, load, parts_of, read_span, rows_of, save
from pipelines.stage import Receipt, Stage

COPY = np.dtype([("node", "<i8"), ("address", "<i8"), ("keeper", "<i8")])
"""An exact duplicate: its node and address, and the node of the first document of the same text."""


@dataclass
class EmitHashes:
    """A part's content hashes to the ranges of hashes."""

    stage: Stage
    collection: Collection
    ranges: int

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 4 columns: content hash (two), node, address."""
        nodes = load(self.stage.work_path(f"{place:05d}.nodes.npy"))
        rows = np.flatnonzero(nodes >= 0)
        hashes = np.ascontiguousarray(self.collection.places[place].documents()["content_hash"][rows])
        high, low = hashes.view(np.uint64).reshape(len(rows), 2).T
        yield from deal(share_of(high, self.ranges), [high, low, nodes[rows], addresses(place, rows)], wanted)


@dataclass
class FindCopies:
    """Groups of equal documents of one range."""

    stage: Stage
    ranges: int
    documents: int

    def sizes(self) -> list[int]:
        """Bytes of the blocks of each range, about."""
        return [self.documents * HASH_ROW // self.ranges] * self.ranges

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes same/RANGE.npy COPY[k]. Nothing is looked for among references."""
        high, low, node, address = gathered(blocks, 4)
        node = node.view(np.int64)
        keeper = first_of_equals(high, low, node)
        references = self.stage.all_receipts("splitters", 1)[0]["references"]
        mine = np.flatnonzero((keeper != node) & (node >= references))
        copies = np.empty(len(mine), COPY)
        copies["node"], copies["address"], copies["keeper"] = node[mine], address.view(np.int64)[mine], keeper[mine]
        save(same_file(self.stage, number), copies)
        return {"copies": len(copies)}


@dataclass
class EmitCopies:
    """A range's copies to the parts that they are of."""

    stage: Stage
    same: Passes

    def sizes(self) -> list[int]:
        """Copies of each range."""
        return [receipt["copies"] for receipt in self.same.receipts(self.stage)]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of one column: row."""
        address = load(same_file(self.stage, place))["address"]
        yield from deal(parts_of(address), [rows_of(address)], wanted)


@dataclass
class MakeKeys:
    """Band keys of a part's documents that may have near-duplicates."""

    stage: Stage
    collection: Collection
    bands: Banding

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes PART.copies.npy int64[k] rows; PART.banded.npy int64[m] nodes; PART.keys.npy uint64[bands × m], band by band."""
        place = self.collection.places[number]
        copies = np.sort(gathered(blocks, 1)[0].view(np.int64))
        nodes = load(self.stage.work_path(f"{number:05d}.nodes.npy"))
        alone = (nodes >= 0) & (place.documents()["shingles"] > 0)
        alone[copies] = False
        rows = np.flatnonzero(alone)
        keys = all_band_keys(place.signatures()[rows], self.bands)
        save(self.stage.work_path(f"{number:05d}.copies.npy"), copies)
        save(self.stage.work_path(f"{number:05d}.banded.npy"), nodes[rows])
        save(self.stage.work_path(f"{number:05d}.keys.npy"), keys.reshape(-1))
        return {"copies": len(copies), "banded": len(rows)}


def keys_of(stage: Stage, part: int, bands: range, banded: int) -> np.ndarray:
    """uint64[len(bands) × banded]: keys of some bands of a part."""
    return read_span(stage.work_path(f"{part:05d}.keys.npy"), bands.start * banded, bands.stop * banded)


def same_file(stage: Stage, number: int) -> str:
    """Where a range of content hashes leaves its copies."""
    return stage.work_path("same", f"{number:05d}.npy")

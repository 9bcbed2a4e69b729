"""Candidate pairs to verified edges: once each, estimated, measured.

    pairs    a pair range ─▶ its distinct pairs whose estimated similarity leaves a chance
    sets     exchange: documents of these pairs back to their parts ─▶ their shingle sets
    measure  a pair range ─▶ exact similarities ─▶ edges at or above the threshold

How many pairs there will be is not known when the job is built, so they travel by files, of which a pair range reads its slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.banding import Banding
from dedup.config import DedupSettings
from dedup.lsh import MATCH, agreeing_bands, joined
from dedup.recall import similarity_histogram
from dedup.shingles import shingle_sets
from dedup.verify import estimate_pairs, jaccard, worth_measuring
from pipelines.corpus import column, read_part
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.layout import MATCH_BYTES, Passes, deal, gathered
from pipelines.dedup_steps.match import match_file
from pipelines.dedup_steps.rank import Order
from pipelines.rows import Array, gather, load, load_many, parts_of, read_plains, read_slices, rows_of, save
from pipelines.stage import Receipt, Stage

Int64 = npt.NDArray[np.int64]

EDGE = np.dtype([*MATCH.descr, ("hits", "<i2"), ("jaccard", "<f8")])
"""A pair, in how many bands it agrees, and its similarity."""

PLACED = np.dtype([*EDGE.descr, ("better_address", "<i8"), ("worse_address", "<i8")])
"""An edge and where its documents are."""

PAIRS_AT_ONCE = 100_000
"""Pairs whose signatures are held at a time: 200 MB at 256 permutations at worst, where no two pairs share a document."""

SHINGLES_AT_ONCE = 20_000_000
"""Shingles that are held at a time: 160 MB."""


@dataclass
class JoinPairs:
    """Distinct pairs of a pair range, with estimates."""

    stage: Stage
    collection: Collection
    settings: DedupSettings
    order: Order
    bands: Banding
    matches: Sequence[Passes]
    ranges: int
    documents: int

    def sizes(self) -> list[int]:
        """Bytes of the pairs of each range, about."""
        return [self.documents * MATCH_BYTES // self.ranges] * self.ranges

    def setup(self) -> None:
        """Reads where in each file the pairs of each range begin: 8 bytes a file and range."""
        self._files = [match_file(self.stage, passes.name, each) for passes in self.matches for each in range(passes.items)]
        self._starts = load_many([f"{path}.starts.npy" for path in self._files])

    def __call__(self, number: int) -> Receipt:
        """Writes pairs/RANGE.npy PLACED[p], the similarity estimated."""
        files = zip(self._files, self._starts, strict=True)
        slices = [(path, int(starts[number]), int(starts[number + 1])) for path, starts in files]
        found = joined(*read_plains(slices, MATCH))
        nodes, place = np.unique(np.concatenate([found["better"], found["worse"]]), return_inverse=True)
        address = self.order.addresses(nodes)[place].reshape(2, len(found))
        kept = [np.empty(0, PLACED)]
        for at in range(0, len(found), PAIRS_AT_ONCE):
            some = slice(at, at + PAIRS_AT_ONCE)
            every, numbers = np.unique(address[:, some], return_inverse=True)
            numbers = numbers.reshape(2, -1).T
            values = gather(every, self.collection.signature_file, np.uint32, (self.settings.num_perm,))
            similar = estimate_pairs(values, numbers)
            near = np.flatnonzero(worth_measuring(similar, self.settings))
            rows = np.empty(len(near), PLACED)
            for name in MATCH.names or ():
                rows[name] = found[some][name][near]
            rows["jaccard"], rows["hits"] = similar[near], agreeing_bands(values, numbers[near], self.bands)
            rows["better_address"], rows["worse_address"] = address[:, some][:, near]
            kept.append(rows)
        near_pairs = np.concatenate(kept)
        save(self.stage.work_path("pairs", f"{number:05d}.npy"), near_pairs)
        return {"pairs": len(found), "near": len(near_pairs)}


@dataclass
class EmitMembers:
    """The documents of a range's pairs to the parts that they are of."""

    stage: Stage
    ranges: int

    def sizes(self) -> list[int]:
        """Pairs of each range."""
        return [receipt["near"] for receipt in self.stage.all_receipts("pairs", self.ranges)]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of one column: row."""
        pairs = load(self.stage.work_path("pairs", f"{place:05d}.npy"))
        address = np.unique(np.concatenate([pairs["better_address"], pairs["worse_address"]]))
        yield from deal(parts_of(address), [rows_of(address)], wanted)


@dataclass
class MakeSets:
    """Shingle sets of a part's documents that are in any pair."""

    stage: Stage
    collection: Collection
    settings: DedupSettings

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return self.collection.sizes()

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes PART.sets.npy uint64[m], and PART.bounds.npy int64[n, 2]: where in it the set of each document lies."""
        place = self.collection.places[number]
        rows = np.unique(gathered(blocks, 1)[0]).view(np.int64)
        values = np.zeros(0, np.uint64)
        bounds = np.zeros((place.part.rows, 2), np.int64)
        if len(rows):
            table = read_part(place.corpus.curate.folder, place.part, ("text",)).take(pa.array(rows))
            values, offsets = shingle_sets(column(table, "text"), self.settings)
            bounds[rows] = np.stack([offsets[:-1], offsets[1:]], axis=1)
        save(sets_file(self.stage, number), values)
        save(self.stage.work_path(f"{number:05d}.bounds.npy"), bounds)
        return {"sets": len(rows)}


@dataclass
class MeasurePairs:
    """Exact similarities of a range's pairs, or their estimates."""

    stage: Stage
    settings: DedupSettings
    ranges: int
    bands: int

    def sizes(self) -> list[int]:
        """Pairs of each range."""
        return [receipt["near"] for receipt in self.stage.all_receipts("pairs", self.ranges)]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes edges/RANGE.npy EDGE[p], ordered by (worse, better)."""
        pairs = load(self.stage.work_path("pairs", f"{number:05d}.npy"))
        if self.settings.verify == "exact":
            pairs["jaccard"] = self._measured(pairs)
        pairs = pairs[pairs["jaccard"] >= self.settings.threshold]
        edges = np.empty(len(pairs), EDGE)
        for name in EDGE.names or ():
            edges[name] = pairs[name]
        save(edge_file(self.stage, number), edges)
        hits = np.bincount(edges["hits"], minlength=self.bands + 1)[1:]
        return {"edges": len(edges), "hits": hits.tolist(), "similarity": similarity_histogram(edges["jaccard"])}

    def _measured(self, pairs: Array) -> npt.NDArray[np.float64]:
        """float64[p]. Pairs go by their better document, so that in a chunk its set is read once."""
        bounds = {
            side: gather(pairs[f"{side}_address"], lambda part: self.stage.work_path(f"{part:05d}.bounds.npy"), np.int64, (2,))
            for side in ("better", "worse")
        }
        order = np.lexsort((pairs["worse"], pairs["better"]))
        cost = np.diff(bounds["worse"][order])[:, 0]
        fresh = np.ones(len(pairs), np.bool_)
        fresh[1:] = pairs["better"][order[1:]] != pairs["better"][order[:-1]]
        chunk = np.cumsum(cost + np.where(fresh, np.diff(bounds["better"][order])[:, 0], 0)) // SHINGLES_AT_ONCE
        out = np.empty(len(pairs), np.float64)
        for mine in np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(order) else []:
            out[mine] = self._chunk(pairs[mine], bounds["better"][mine], bounds["worse"][mine])
        return out

    def _chunk(self, pairs: Array, better: Int64, worse: Int64) -> npt.NDArray[np.float64]:
        address, first, place = np.unique(
            np.concatenate([pairs["better_address"], pairs["worse_address"]]), return_index=True, return_inverse=True
        )
        bounds = np.concatenate([better, worse])[first]
        offsets = np.concatenate([[0], np.cumsum(np.diff(bounds)[:, 0])])
        slices = zip(parts_of(address).tolist(), bounds.tolist(), strict=True)
        sets = read_slices([(sets_file(self.stage, part), *span) for part, span in slices], np.dtype(np.uint64))
        values = np.concatenate([np.empty(0, np.uint64), *sets])
        return jaccard(values, offsets, place.reshape(2, len(pairs)).T)


def sets_file(stage: Stage, part: int) -> str:
    """Where the shingle sets of a part lie."""
    return stage.work_path(f"{part:05d}.sets.npy")


def edge_file(stage: Stage, number: int) -> str:
    """Where a pair range leaves its edges."""
    return stage.work_path("edges", f"{number:05d}.npy")

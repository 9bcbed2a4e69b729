"""One priority order over all documents, in which nodes are numbered.

describe   a part ─▶ sort key of each document, and a sample of the keys
splitters  all samples ─▶ keys that cut the order into ranges of about equal size
rank       exchange: a range ─▶ its documents in order; a document's node is its place over all ranges
number     exchange: back to the parts ─▶ node of each document
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.config import DedupSettings
from dedup.priority import KEY, doc_ids, license_places, priority_keys
from pipelines.corpus import column, read_part
from pipelines.dedup_steps.collection import Collection, Place
from pipelines.dedup_steps.layout import Passes, deal, gathered
from pipelines.graph import Once
from pipelines.rows import Array, addresses, load, load_many, parts_of, read_rows_of, rows_of, save
from pipelines.stage import Receipt, Stage

Int64 = npt.NDArray[np.int64]

ORDERED = np.dtype([("address", "<i8"), ("doc_id", "V16")])
"""A document of the order: where it is, and its name."""

SAMPLE_EVERY = 1024
"""Documents for each of the sample that ranges are cut by. A range is then within a few parts in a hundred of its share."""


@dataclass
class DescribePart:
    """What ranks the documents of a part."""

    stage: Stage
    collection: Collection
    settings: DedupSettings
    sources: Sequence[str]
    """By the recipe, for the criterion "source"."""

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes PART.priority.npy KEY[n] and PART.sample.npy."""
        place = self.collection.places[number]
        documents, reference = place.documents(), place.corpus.reference
        keys = priority_keys(
            [self._criterion(name, place, documents) for name in self.settings.priority],
            np.ascontiguousarray(documents["doc_id"]).view(np.uint8).reshape(len(documents), 16),
            reference=bool(reference),
            place=[each.reference for each in self.collection.references].index(reference) if reference else 0,
        )
        save(self.stage.work_path(f"{number:05d}.priority.npy"), keys)
        keys = np.sort(np.delete(keys, place.removed()))
        save(self.stage.work_path(f"{number:05d}.sample.npy"), keys[SAMPLE_EVERY // 2 :: SAMPLE_EVERY])
        return {"documents": len(keys)}

    def _criterion(self, name: str, place: Place, documents: Array) -> Int64:
        """int64[n], larger is better."""
        if name == "length":
            return np.asarray(documents["length"])
        if name == "source":
            order = {source: at for at, source in enumerate(self.settings.source_order or self.sources)}
            return np.full(len(documents), len(order) - order.get(place.part.stratum, len(order)))
        table = read_part(place.corpus.curate.folder, place.part, ("stars" if name == "stars" else "licenses",))
        if not table.num_rows:
            return np.zeros(0, np.int64)
        if name == "stars":
            return np.asarray(column(table, "stars").fill_null(-1))
        order = {each: at for at, each in enumerate(self.settings.license_order)}
        return license_places(table["licenses"].to_pylist(), order)


@dataclass
class ChooseSplitters(Once):
    """Where the order is cut; the single item of its step."""

    stage: Stage
    collection: Collection
    ranges: int

    def __call__(self, number: int) -> Receipt:
        """Writes splitters.npy KEY[ranges - 1]."""
        places = self.collection.places
        described = self.stage.all_receipts("describe", len(places))
        samples = load_many([self.stage.work_path(f"{part:05d}.sample.npy") for part in range(len(places))])
        every = np.sort(np.concatenate([np.empty(0, KEY), *samples]))
        cuts = np.arange(1, self.ranges) * len(every) // self.ranges
        save(self.stage.work_path("splitters.npy"), every[cuts] if len(every) else np.empty(0, KEY))
        counts = [receipt["documents"] for receipt in described]
        return {"documents": sum(counts), "references": sum(counts[self.collection.own_parts :])}


@dataclass
class EmitPriorities:
    """A part's sort keys and addresses to the ranges of the order."""

    stage: Stage
    collection: Collection

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 8 columns: the sort key and the address."""
        keys = load(self.stage.work_path(f"{place:05d}.priority.npy"))
        rows = np.delete(np.arange(len(keys)), self.collection.places[place].removed())
        keys = keys[rows]
        range_of = np.searchsorted(load(self.stage.work_path("splitters.npy")), keys, side="right")
        words = keys.view(np.uint64).reshape(len(keys), KEY.itemsize // 8)
        yield from deal(range_of, [*words.T, addresses(place, rows)], wanted)


@dataclass
class RankRange:
    """A range of the order, put in order."""

    stage: Stage
    ranges: int
    documents: int

    def sizes(self) -> list[int]:
        """Bytes of each range, about."""
        return [self.documents * 64 // self.ranges] * self.ranges

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes order/RANGE.npy ORDERED[n]: its documents, the highest priority first.

        Documents of one doc_id, which have one name and one text, go by their addresses: blocks come in any order.
        """
        rows = gathered(blocks, KEY.itemsize // 8 + 1)
        rows = rows[:, np.argsort(rows[-1])]
        keys = np.ascontiguousarray(rows[:-1].T).view(KEY).reshape(-1)
        order = np.argsort(keys, kind="stable")
        ordered = np.empty(len(keys), ORDERED)
        ordered["address"], ordered["doc_id"] = rows[-1].view(np.int64)[order], doc_ids(keys[order])
        save(_order_file(self.stage, number), ordered)
        return {"documents": len(keys)}


@dataclass(frozen=True)
class Order:
    """The order of all nodes, as its ranges hold it."""

    stage: Stage
    ranges: Passes

    def firsts(self) -> Int64:
        """int64[ranges + 1]: the first node of each range. Read once in each process."""
        key = (self.stage.progress, self.ranges)
        if key not in _firsts:
            counts = [receipt["documents"] for receipt in self.ranges.receipts(self.stage)]
            _firsts[key] = np.cumsum([0, *counts], dtype=np.int64)
        return _firsts[key]

    def addresses(self, nodes: Int64) -> Int64:
        """int64[k]: where each node's document is."""
        return np.ascontiguousarray(self.documents(nodes)["address"])

    def documents(self, nodes: Int64) -> Array:
        """ORDERED[k]: each node's document."""
        firsts = self.firsts()
        out = np.empty(len(nodes), ORDERED)
        range_of = np.searchsorted(firsts, nodes, side="right") - 1
        order = np.argsort(range_of, kind="stable")
        numbers, starts = np.unique(range_of[order], return_index=True)
        places = np.split(order, starts[1:]) if len(numbers) else []
        ranges = zip(numbers.tolist(), places, strict=True)
        files = [(_order_file(self.stage, number), nodes[mine] - firsts[number]) for number, mine in ranges]
        for mine, found in zip(places, read_rows_of(files, ORDERED), strict=True):
            out[mine] = found
        return out


_firsts: dict[tuple[str, Passes], Int64] = {}


@dataclass
class EmitNumbers:
    """A range's nodes to the parts that their documents are of."""

    order: Order

    def sizes(self) -> list[int]:
        """Documents of each range."""
        return list(np.diff(self.order.firsts()).tolist())

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 2 columns: row and node."""
        address = np.ascontiguousarray(load(_order_file(self.order.stage, place))["address"])
        nodes = self.order.firsts()[place] + np.arange(len(address))
        yield from deal(parts_of(address), [rows_of(address), nodes], wanted)


@dataclass
class NumberPart:
    """Nodes of a part's documents."""

    stage: Stage
    collection: Collection

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes PART.nodes.npy int64[n]: the node of each document, -1 for those that a reference's own dedup removed."""
        row, node = gathered(blocks, 2).view(np.int64)
        nodes = np.full(self.collection.places[number].part.rows, -1, np.int64)
        nodes[row] = node
        save(self.stage.work_path(f"{number:05d}.nodes.npy"), nodes)
        return {"documents": len(row)}


def _order_file(stage: Stage, number: int) -> str:
    return stage.work_path("order", f"{number:05d}.npy")

"""From verdicts to removals.

    settle  exchange by part of the deciding document ─▶ what keeps each duplicate in the end; rows that are gone

A near-duplicate is settled in its own part, a copy in the part of the document that it is a copy of: only there is it known whether that
document itself goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.manifest import FileEntry
from pipelines.corpus import REMOVED_ROWS
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.copies import COPY, same_file
from pipelines.dedup_steps.layout import Passes, deal_rows, records
from pipelines.dedup_steps.rank import Order
from pipelines.dedup_steps.resolve import RESOLVED, batches, resolved_file
from pipelines.rows import Array, load, parts_of, rows_of, save, to_bytes
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes

PLACED_COPY = np.dtype([*COPY.descr, ("keeper_address", "<i8")])

SETTLED = np.dtype(
    [
        *(("doc_id", "V16"), ("keeper_id", "V16"), ("address", "<i8"), ("keeper_address", "<i8")),
        *(("jaccard", "<f8"), ("band", "<i2"), ("near", "?"), ("reference", "?")),
    ]
)
"""A removal: names of the document and its keeper, and where they are; their similarity, the first band that they share (-1: exact),
whether it is a near-duplicate, and whether the keeper is of a reference."""

NEAR_KIND, COPY_KIND = b"n", b"c"


@dataclass
class EmitVerdicts:
    """Near-duplicates to their parts, copies to those of their keepers. Places are batches, then ranges of content hashes."""

    order: Order
    same: Passes

    def sizes(self) -> list[int]:
        """Removals of each place."""
        stage, count = self.order.stage, batches(self.order.stage)
        near = [receipt["removed"] for receipt in stage.all_receipts("resolve", count)] if count else []
        return near + [receipt["copies"] for receipt in self.same.receipts(stage)]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of RESOLVED or PLACED_COPY rows, marked."""
        stage, count = self.order.stage, batches(self.order.stage)
        if place < count:
            near = load(resolved_file(stage, place))
            yield from deal_rows(parts_of(near["address"]), NEAR_KIND, near, wanted)
            return
        found = load(same_file(stage, place - count))
        copies = np.empty(len(found), PLACED_COPY)
        for name in COPY.names or ():
            copies[name] = found[name]
        copies["keeper_address"] = self.order.addresses(found["keeper"])
        yield from deal_rows(parts_of(copies["keeper_address"]), COPY_KIND, copies, wanted)


@dataclass
class SettlePart:
    """All removals that a part decides on, and the rows that it loses."""

    order: Order
    collection: Collection

    def sizes(self) -> list[int]:
        """Documents of each part."""
        return [place.part.rows for place in self.collection.places]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes settled/PART.npy SETTLED[k] and, of this run's own parts, removed_rows/PART.npy."""
        every = list(blocks)
        near = records((block[1:] for block in every if block[:1] == NEAR_KIND), RESOLVED)
        copies = records((block[1:] for block in every if block[:1] == COPY_KIND), PLACED_COPY)
        near = near[np.argsort(near["node"])]
        names = self.collection.places[number].documents()["doc_id"] if len(near) + len(copies) else np.empty(0, "V16")
        save(settled_file(self.order.stage, number), self._settled(near, copies, names))
        files = []
        if number < self.collection.own_parts:
            gone = np.concatenate([rows_of(near["address"]), load(self.order.stage.work_path(f"{number:05d}.copies.npy"))])
            name = f"{REMOVED_ROWS}/{number:05d}.npy"
            written = write_bytes(self.order.stage.path(name), to_bytes(np.sort(gone)))
            files.append(vars(FileEntry(name, len(gone), *written)))
        return {"files": files, "removals": len(near) + len(copies)}

    def _settled(self, near: Array, copies: Array, names: Array) -> Array:
        """A copy of a document that goes as a near-duplicate belongs to that document's keeper, at that similarity.

        `names` V16[n] are the part's doc_ids. All others come from the order, which has fewer files than there are parts.
        """
        out = np.empty(len(near) + len(copies), SETTLED)
        of_near, of_copies = out[: len(near)], out[len(near) :]
        of_near["address"], of_near["jaccard"], of_near["band"], of_near["near"] = (
            near["address"],
            near["jaccard"],
            near["band"],
            True,
        )
        keepers = self.order.documents(near["keeper"])
        of_near["doc_id"] = names[rows_of(near["address"])]
        of_near["keeper_address"], of_near["keeper_id"] = keepers["address"], keepers["doc_id"]
        of_near["reference"] = self._of_reference(of_near["keeper_address"])
        of_copies["address"], of_copies["keeper_address"] = copies["address"], copies["keeper_address"]
        of_copies["doc_id"] = self.order.documents(copies["node"])["doc_id"]
        of_copies["keeper_id"] = names[rows_of(copies["keeper_address"])]
        of_copies["jaccard"], of_copies["band"], of_copies["near"] = 1.0, -1, False
        of_copies["reference"] = self._of_reference(copies["keeper_address"])
        place = np.minimum(np.searchsorted(near["node"], copies["keeper"]), max(0, len(near) - 1))
        gone = near["node"][place] == copies["keeper"] if len(near) else np.zeros(len(copies), np.bool_)
        for name in ("keeper_id", "keeper_address", "jaccard", "band", "near", "reference"):
            of_copies[name][gone] = of_near[name][place[gone]]
        return out

    def _of_reference(self, address: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return parts_of(address) >= self.collection.own_parts


def settled_file(stage: Stage, number: int) -> str:
    """Where a part leaves its removals."""
    return stage.work_path("settled", f"{number:05d}.npy")

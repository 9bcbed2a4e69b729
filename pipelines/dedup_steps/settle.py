"""From verdicts to what the stage commits: removal rows, rows that are gone, and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.manifest import FileEntry
from contracts.schemas import REMOVAL
from pipelines.corpus import REMOVED_ROWS, Committed, load_array, read_part, save_array
from pipelines.dedup_steps.resolve import RESOLVED
from pipelines.graph import Once
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes, write_parquet

REMOVALS_A_FILE = 1_000_000


@dataclass
class SettleRemovals(Once):
    """All verdicts to removal rows; the single item of its step."""

    stage: Stage
    parts: int

    def __call__(self, number: int) -> Receipt:
        """Writes removals/*.parquet, ordered by doc_id, and removed_rows/PART.npy."""
        batches = self.stage.all_receipts("group", 1)[0]["batches"]
        near = np.concatenate(
            [np.zeros(0, RESOLVED)]
            + [np.asarray(load_array(self.stage.work_path("resolved", f"{batch:05d}.npy"))) for batch in range(batches)]
        )
        place = np.asarray(load_array(self.stage.work_path("places.npy"))).reshape(-1, 2)
        exact = np.asarray(load_array(self.stage.work_path("exact.npy"))).reshape(-1, 4)
        gone = np.concatenate([place[near["node"]], exact[:, :2]])
        keeper = np.concatenate([place[near["keeper"]], exact[:, 2:]])
        similar = np.concatenate([near["jaccard"], np.ones(len(exact))])
        kind = np.array(["near"] * len(near) + ["exact"] * len(exact), dtype=object)
        keeper, similar, kind = _follow(
            keeper, similar, kind, place[near["node"]], place[near["keeper"]], near["jaccard"], len(near)
        )
        files = self._write_rows(gone) + self._write_removals(gone, keeper, similar, kind)
        sizes = np.unique(keeper, axis=0, return_counts=True)[1] + 1 if len(keeper) else np.zeros(0, np.int64)
        return {
            "files": files,
            "jaccard_histogram": np.bincount(np.minimum(19, (similar * 20).astype(np.int64)), minlength=20).tolist(),
            "cluster_size_log2_histogram": np.bincount(np.log2(np.maximum(sizes, 1)).astype(np.int64), minlength=32).tolist(),
        }

    def _write_rows(self, gone: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        files = []
        for part in range(self.parts):
            rows = np.sort(gone[gone[:, 0] == part, 1])
            name = f"{REMOVED_ROWS}/{part:05d}.npy"
            written = write_bytes(self.stage.path(name), save_array(rows))
            files.append(vars(FileEntry(name, len(rows), *written)))
        return files

    def _write_removals(
        self, gone: npt.NDArray[np.int64], keeper: npt.NDArray[np.int64], similar: npt.NDArray[np.float64], kind: npt.NDArray[Any]
    ) -> list[dict[str, Any]]:
        ids = [load_array(self.stage.work_path(f"{part:05d}.documents.npy"))["doc_id"] for part in range(self.parts)]
        doc_id = [ids[part][row].tobytes() for part, row in gone.tolist()]
        keeper_id = [ids[part][row].tobytes() for part, row in keeper.tolist()]
        table = pa.table([doc_id, keeper_id, similar.astype(np.float32), kind.tolist()], schema=REMOVAL)
        table = table.sort_by([("doc_id", "ascending"), ("keeper_id", "ascending")])
        files = []
        for index in range(max(1, -(-table.num_rows // REMOVALS_A_FILE))):
            rows = table.slice(index * REMOVALS_A_FILE, REMOVALS_A_FILE).combine_chunks()
            name = f"removals/{index:05d}.parquet"
            written = write_parquet(self.stage.path(name), iter(rows.to_batches()), REMOVAL)
            files.append(vars(FileEntry(name, rows.num_rows, *written)))
        return files


@dataclass
class MarkPart:
    """Counts of what is kept and what is not, by source and language."""

    stage: Stage
    curated: Committed

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.curated.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """One part."""
        part = self.curated.parts()[number]
        table = read_part(self.curated.folder, part, ("source", "language", "text"))
        gone = np.zeros(table.num_rows, np.bool_)
        gone[load_array(self.stage.path(REMOVED_ROWS, f"{number:05d}.npy"))] = True
        lengths = np.asarray(pc.binary_length(table["text"]).cast(pa.int64()))
        cells: dict[str, Any] = {}
        names = zip(table["source"].to_pylist(), table["language"].to_pylist(), gone.tolist(), lengths.tolist(), strict=True)
        for source, language, removed, length in names:
            cell = cells.setdefault(source, {}).setdefault(language or "unknown", dict.fromkeys(("in", "removed", "bytes_kept"), 0))
            cell["in"] += 1
            cell["removed"] += removed
            cell["bytes_kept"] += 0 if removed else length
        totals = {
            "in": table.num_rows,
            "kept": int(np.sum(~gone)),
            "removed": int(np.sum(gone)),
            "bytes_in": int(lengths.sum()),
            "bytes_kept": int(lengths[~gone].sum()),
        }
        return {"totals": totals, "statistics": {"sources": cells}}


def _follow(
    keeper: npt.NDArray[np.int64],
    similar: npt.NDArray[np.float64],
    kind: npt.NDArray[Any],
    near: npt.NDArray[np.int64],
    near_keeper: npt.NDArray[np.int64],
    near_similar: npt.NDArray[np.float64],
    first_exact: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[Any]]:
    """A copy of a document that was itself removed as a near-duplicate belongs to that document's keeper, at that similarity."""
    moved = {tuple(place): index for index, place in enumerate(near.tolist())}
    for at in range(first_exact, len(keeper)):
        index = moved.get(tuple(keeper[at].tolist()))
        if index is not None:
            keeper[at], similar[at], kind[at] = near_keeper[index], near_similar[index], "near"
    return keeper, similar, kind

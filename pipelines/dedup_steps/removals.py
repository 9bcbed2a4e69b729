"""What the stage commits: removal rows, and counts.

removals  exchange by doc_id ─▶ removals/BUCKET.parquet; and by keeper: the sizes of clusters
mark      exchange back to the parts ─▶ counts by source, language and cause
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.manifest import FileEntry
from contracts.schemas import DOC_ID, REMOVAL
from pipelines.corpus import read_part
from pipelines.dedup_steps.collection import Collection
from pipelines.dedup_steps.layout import Passes, deal, deal_rows, gathered, records, share_of
from pipelines.dedup_steps.settle import SETTLED, settled_file
from pipelines.rows import Array, load, parts_of, rows_of, save
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_parquet

KEPT = np.dtype([("keeper_id", "V16"), ("keeper_address", "<i8")])

REMOVED_KIND, KEPT_KIND = b"r", b"k"

CAUSES = ("exact", "near", "reference")
"""Why a document is gone: "reference" where its keeper, exact or near, is of a reference."""

FATE = np.dtype([("address", "<i8"), ("cause", "<i8")])
"""Where a removed document is, and the number of its cause."""

LARGEST = 10
"""Clusters that the manifest names."""


@dataclass
class EmitRemovals:
    """A part's removals to the bucket of their doc_id, and their keepers to that of the keeper's."""

    stage: Stage
    collection: Collection
    settle: Passes
    buckets: int

    def sizes(self) -> list[int]:
        """Removals of each part."""
        return [receipt["removals"] for receipt in self.settle.receipts(self.stage)]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of SETTLED or KEPT rows, marked."""
        settled = load(settled_file(self.stage, place))
        kept = np.empty(len(settled), KEPT)
        kept["keeper_id"], kept["keeper_address"] = settled["keeper_id"], settled["keeper_address"]
        yield from deal_rows(share_of(_halves(settled["doc_id"])[0], self.buckets), REMOVED_KIND, settled, wanted)
        yield from deal_rows(share_of(_halves(kept["keeper_id"])[0], self.buckets), KEPT_KIND, kept, wanted)


@dataclass
class WriteBucket:
    """Removal rows of a range of doc_ids, and clusters of a range of keepers."""

    stage: Stage
    collection: Collection
    buckets: int

    def sizes(self) -> list[int]:
        """Of equal size, about."""
        return [1] * self.buckets

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes removals/BUCKET.parquet, ordered by doc_id; and fates/BUCKET.npy FATE[k], for the parts."""
        every = list(blocks)
        rows = records((block[1:] for block in every if block[:1] == REMOVED_KIND), SETTLED)
        high, low = _halves(rows["doc_id"])
        rows = rows[np.lexsort((low, high))]
        name = f"removals/{number:05d}.parquet"
        written = write_parquet(self.stage.path(name), iter(self._table(rows).to_batches()), REMOVAL)
        fates = np.empty(len(rows), FATE)
        fates["address"] = rows["address"]
        fates["cause"] = np.where(rows["reference"], CAUSES.index("reference"), rows["near"].astype(np.int64))
        save(_fates_file(self.stage, number), fates)
        kept = records((block[1:] for block in every if block[:1] == KEPT_KIND), KEPT)
        similarity = np.minimum(19, (rows["jaccard"] * 20).astype(np.int64))
        return {
            "files": [vars(FileEntry(name, len(rows), *written))],
            "jaccard_histogram": np.bincount(similarity, minlength=20).tolist(),
            **_clusters(kept),
        }

    def _table(self, rows: Array) -> pa.Table:
        names = [place.corpus.reference for place in self.collection.places]
        columns = [
            _binary(rows["doc_id"]),
            _binary(rows["keeper_id"]),
            rows["jaccard"].astype(np.float32),
            np.where(rows["near"], "near", "exact"),
            rows["band"],
            [names[part] for part in parts_of(rows["keeper_address"]).tolist()],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, REMOVAL, strict=True)]
        return pa.Table.from_arrays(arrays, schema=REMOVAL)


@dataclass
class EmitFates:
    """A bucket's removals to the parts of the removed documents. From part to part there would be as many blocks as their square."""

    stage: Stage
    removals: Passes

    def sizes(self) -> list[int]:
        """Removals of each bucket."""
        return [receipt["files"][0]["rows"] for receipt in self.removals.receipts(self.stage)]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 2 columns: row and cause."""
        fates = load(_fates_file(self.stage, place))
        yield from deal(parts_of(fates["address"]), [rows_of(fates["address"]), np.ascontiguousarray(fates["cause"])], wanted)


@dataclass
class MarkPart:
    """Counts of what is kept and what is not, by source and language."""

    stage: Stage
    collection: Collection

    def sizes(self) -> list[int]:
        """Documents of each of this run's parts."""
        return [place.part.rows for place in self.collection.places[: self.collection.own_parts]]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """One part."""
        place = self.collection.places[number]
        row, cause = gathered(blocks, 2).view(np.int64)
        fate = np.full(place.part.rows, len(CAUSES), np.int64)
        fate[row] = cause
        length = place.documents()["length"]
        counts = np.zeros((len(fate), 3 + len(CAUSES)), np.int64)
        counts[:, 0], counts[:, 1], counts[:, 2] = 1, length, length * (fate == len(CAUSES))
        counts[np.arange(len(fate)), 3 + np.minimum(fate, len(CAUSES) - 1)] = fate < len(CAUSES)
        table = read_part(place.corpus.curate.folder, place.part, ("source", "language"))
        names = pc.binary_join_element_wise(table["source"], table["language"], "\0").combine_chunks().dictionary_encode()
        names = names.chunk(0) if isinstance(names, pa.ChunkedArray) else names
        cells: dict[str, Any] = {}
        sums = np.zeros((len(names.dictionary), counts.shape[1]), np.int64)
        np.add.at(sums, np.asarray(names.indices), counts)
        for name, values in zip(names.dictionary.to_pylist(), sums, strict=True):
            source, language = name.split("\0", 1)
            cells.setdefault(source, {})[language or "unknown"] = _counted(values)
        return {"totals": _kept(_counted(counts.sum(axis=0))), "statistics": {"sources": cells}}


def _fates_file(stage: Stage, bucket: int) -> str:
    return stage.work_path("fates", f"{bucket:05d}.npy")


def _counted(values: Array) -> dict[str, int]:
    documents, bytes_in, bytes_kept, *causes = values.tolist()
    by_cause = dict(zip(CAUSES, causes, strict=True))
    return {"in": documents, "removed": sum(causes), **by_cause, "bytes_in": bytes_in, "bytes_kept": bytes_kept}


def _kept(counts: dict[str, int]) -> dict[str, int]:
    return {**counts, "kept": counts["in"] - counts["removed"]}


def _clusters(kept: Array) -> dict[str, Any]:
    """Sizes of clusters, their keepers included, and the largest by (documents, keeper_id)."""
    high, low = _halves(kept["keeper_id"])
    order = np.lexsort((low, high))
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (high[order[1:]] != high[order[:-1]]) | (low[order[1:]] != low[order[:-1]])
    starts = np.flatnonzero(fresh)
    sizes = np.diff([*starts, len(order)]) + 1 if len(order) else np.zeros(0, np.int64)
    largest = np.argsort(-sizes, kind="stable")[:LARGEST]
    firsts = kept[order[starts[largest]]]
    return {
        "cluster_size_log2_histogram": np.bincount(np.log2(sizes).astype(np.int64), minlength=32).tolist(),
        "largest": [
            [-size, row["keeper_id"].tobytes().hex(), int(row["keeper_address"])]
            for size, row in zip(sizes[largest].tolist(), firsts, strict=True)
        ],
    }


def _halves(ids: Array) -> tuple[Array, Array]:
    """uint64[n] twice: the halves of V16, which order as the bytes do."""
    high, low = np.ascontiguousarray(ids).view(">u8").reshape(len(ids), 2).T
    return high.astype(np.uint64), low.astype(np.uint64)


def _binary(ids: Array) -> pa.Array:
    return pa.Array.from_buffers(DOC_ID, len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids).tobytes())])

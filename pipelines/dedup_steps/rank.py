"""Signatures, and one priority order over all documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup.config import DedupSettings
from dedup.exact import exact_keepers
from dedup.keepers import priority_order
from dedup.minhash import signatures
from pipelines.corpus import Committed, column, load_array, read_part, save_array
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes

DOCUMENT_ROW = np.dtype([("doc_id", "V16"), ("content_hash", "V16"), ("stars", "<i8"), ("length", "<i8"), ("shingles", "<i8")])
"""What ranks a document. `stars` is -1 where unknown, `length` is in bytes."""


@dataclass
class SignPart:
    """Signatures of a part."""

    stage: Stage
    curated: Committed
    settings: DedupSettings

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.curated.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes work/PART.signatures.npy and work/PART.documents.npy."""
        part = self.curated.parts()[number]
        table = read_part(self.curated.folder, part, ("doc_id", "content_hash", "stars", "text"))
        rows = np.zeros(table.num_rows, DOCUMENT_ROW)
        values = np.zeros((0, self.settings.num_perm), np.uint32)
        if table.num_rows:
            text = column(table, "text")
            made = signatures(text, self.settings)
            values = made.values
            rows["doc_id"] = np.frombuffer(b"".join(table["doc_id"].to_pylist()), "V16")
            rows["content_hash"] = np.frombuffer(b"".join(table["content_hash"].to_pylist()), "V16")
            rows["stars"] = np.asarray(column(table, "stars").fill_null(-1))
            rows["length"] = np.asarray(pc.binary_length(text).cast(pa.int64()))
            rows["shingles"] = made.shingles
        write_bytes(self.stage.work_path(f"{number:05d}.signatures.npy"), save_array(values))
        write_bytes(self.stage.work_path(f"{number:05d}.documents.npy"), save_array(rows))
        return {"documents": len(rows)}


@dataclass
class RankDocuments:
    """One priority order over all documents; the single item of its step.

    Cost: 56 bytes a document in memory, and a sort.
    """

    stage: Stage
    parts: int
    documents: int

    def sizes(self) -> list[int]:
        """One item; bytes of what is ranked."""
        return [self.documents * DOCUMENT_ROW.itemsize]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes exact.npy, places.npy and each part's nodes."""
        tables = [np.asarray(load_array(self.stage.work_path(f"{part:05d}.documents.npy"))) for part in range(self.parts)]
        counts = [len(table) for table in tables]
        rows = np.concatenate(tables) if tables else np.zeros(0, DOCUMENT_ROW)
        part_of = np.repeat(np.arange(self.parts), counts)
        first = np.cumsum([0, *counts])[part_of]
        place = np.stack([part_of, np.arange(len(rows)) - first], axis=1).astype(np.int64)
        order = priority_order(rows["stars"], rows["length"], _bytes(rows["doc_id"]))
        rank = np.empty(len(rows), np.int64)
        rank[order] = np.arange(len(rows))
        keeper = exact_keepers(_bytes(rows["content_hash"]), rank)
        copies = np.flatnonzero(keeper >= 0)
        write_bytes(self.stage.work_path("exact.npy"), save_array(np.concatenate([place[copies], place[keeper[copies]]], axis=1)))
        # Nodes are numbered in priority order, so that everything after this compares plain integers.
        compared = order[(keeper[order] < 0) & (rows["shingles"][order] > 0)]
        node = np.full(len(rows), -1, np.int64)
        node[compared] = np.arange(len(compared))
        write_bytes(self.stage.work_path("places.npy"), save_array(place[compared]))
        for part, nodes in enumerate(np.split(node, np.cumsum(counts)[:-1])):
            write_bytes(self.stage.work_path(f"{part:05d}.nodes.npy"), save_array(nodes))
        return {"exact": len(copies), "nodes": len(compared)}


def _bytes(ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), 16)

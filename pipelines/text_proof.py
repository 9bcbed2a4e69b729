"""Whether documents come back from the rows of shards as curate kept them, byte for byte, with their marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from pipelines.corpus import read_checked, read_part
from pipelines.shard_plan import doc_ids
from pipelines.sources.marks import as_marks, hashed_marks
from pipelines.storage import read_manifest
from sharding.check import Document, whole_documents
from sharding.headers import strip_header
from sharding.objectives import TextTable
from sharding.shards import Shard
from tokenizer.token_bytes import token_bytes

UInt8 = npt.NDArray[np.uint8]

SHOWN = 3
"""Documents of a shard that are named where they are not what they were."""


@dataclass(frozen=True)
class Kept:
    """What curate kept, and how ids are spelled. Cost: 32 bytes a document."""

    ids: UInt8
    """uint8[n, 16], ascending"""
    hashes: UInt8
    """uint8[n, 16]: content_hash of each"""
    table: TextTable

    @staticmethod
    def of(curate: str, tokenizer: str) -> Kept:
        """From the folders of two committed stages. Raises SpanmillError for files that are not what their manifests list."""
        entries = [entry for entry in read_manifest(curate).files if entry.path.startswith("documents/")]
        tables = [read_part(curate, entry, ["doc_id", "content_hash"]) for entry in entries]
        ids = np.concatenate([doc_ids(table) for table in tables])
        hashes = np.concatenate([doc_ids(table, "content_hash") for table in tables])
        order = np.argsort(np.ascontiguousarray(ids).view("V16")[:, 0], kind="stable")
        made = read_manifest(tokenizer)
        (entry,) = (each for each in made.files if each.path == "tokenizer.json")
        text, size = read_checked(tokenizer, entry).to_pybytes().decode(), made.totals["vocab_size"]
        return Kept(ids[order], hashes[order], TextTable(*token_bytes(text, size)))

    def problems(self, shard: Shard) -> Iterator[str]:
        """Documents of a sound shard that are not what curate kept. Cost: that of restoring them, and about 2 ns a byte."""
        names = {index: name for name, index in shard.metadata.special_ids.items()}
        found = [(document.doc_id, self._hash(document, shard, names)) for document in whole_documents([shard])]
        ids, hashes = (_rows(column) for column in zip(*found, strict=True)) if found else (_rows(()), _rows(()))
        known, mine = (np.ascontiguousarray(each).view("V16")[:, 0] for each in (self.ids, ids))
        place = np.minimum(np.searchsorted(known, mine), len(known) - 1)
        wrong = ids[(known[place] != mine) | (self.hashes[place] != hashes).any(axis=1)]
        if len(wrong):
            shown = ", ".join(doc_id.tobytes().hex() for doc_id in wrong[:SHOWN]) + (", …" if len(wrong) > SHOWN else "")
            yield f"{len(wrong):,} documents do not come back as curate kept them: {shown}"

    def _hash(self, document: Document, shard: Shard, names: dict[int, str]) -> bytes:
        """content_hash of what came back."""
        ids = strip_header(document.ids, shard.metadata.special_ids, self.table.newline)
        ends = np.cumsum(np.diff(self.table.offsets)[ids])  # in bytes; a mark has none, so it stands where it ends
        marks = [(int(ends[at]), names[int(ids[at])]) for at in np.flatnonzero(np.isin(ids, list(names))).tolist()]
        hasher = xxhash.xxh3_128(self.table.spell(ids))
        hasher.update(hashed_marks(as_marks([marks]))[0])
        return bytes(hasher.digest())


def _rows(ids: Iterable[bytes]) -> UInt8:
    """One behind the other: uint8[n, 16]."""
    return np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)

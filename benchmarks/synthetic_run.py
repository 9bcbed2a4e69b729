"""A run folder whose curate and signatures stages are made up, with duplicates that are known: dedup is measured on it at any size.

    documents   0 ─ hot ─ pairs ─ clusters ─ chains ─ alone ───────────────────── copies ─       a quarter belong together
    parts       document i is in part i mod parts, so what belongs together is spread over all parts

A value of a signature is a hash of (seed, document, position). A planted document takes each value of its parent with probability s,
else its own. So any document's signature is made alone, of any part in any order, and `Planted` says the same of the same seed always.

    hot       1 % of all documents are variants of one, s = 0.9
    pairs     4 %, s from 0.6 to 1
    clusters  9 %, of 3 to 100 documents: variants of one, s from 0.6 to 1
    chains    1 %, of 8 documents: each a variant of the one before it, s from 0.6 to 1
    copies    5 %: the text of any of the others
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.manifest import FileEntry
from contracts.schemas import DOC_ID, DOCUMENT
from dedup.config import DedupSettings
from dedup.hashing import fmix64_array
from pipelines import signatures
from pipelines.rows import Array, save, to_bytes
from pipelines.sources.marks import no_marks
from pipelines.stage import Stage
from pipelines.storage import write_bytes, write_parquet

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
UInt32 = npt.NDArray[np.uint32]
Float64 = npt.NDArray[np.float64]

SHARES = {"hot": 0.01, "pairs": 0.04, "clusters": 0.09, "chains": 0.01}
COPIES = 0.05

SIZES = np.array([3, 4, 6, 10, 18, 32, 56, 100])
"""Documents of the clusters, in turn."""

CHAIN = 8

LEAST, MOST, HOT = 0.6, 1.0, 0.9
"""Similarities."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)

AT_ONCE = 8192
"""Documents whose signatures are made at a time: 8 MB."""

OWN, TAKEN, SIMILARITY, ORIGINAL, CONTENT, STARS, LENGTH, NAME = range(1, 9)
"""Streams of hashes."""

TRUTH = np.dtype([("document", "<i8"), ("base", "<i8"), ("similarity", "<f4")])
"""A planted document, the one that it varies, and how similar the two are meant to be; 1 for copies."""


@dataclass(frozen=True)
class Planted:
    """So many documents, numbered; which of them belong together, and everything that dedup looks at."""

    documents: int
    seed: int = 0
    num_perm: int = 256

    def section(self, name: str) -> range:
        """The documents of one kind; `alone` for those that vary none."""
        first = 0
        for each, share in SHARES.items():
            size = int(self.documents * share)
            if each == name:
                return range(first, first + size)
            first += size
        copies = range(self.documents - int(self.documents * COPIES), self.documents)
        return copies if name == "copies" else range(first, copies.start)

    def parent(self, ids: Int64) -> Int64:
        """int64[n]: the document that each is a variant or a copy of, -1 for those that are of none."""
        parent = np.full(len(ids), -1, np.int64)
        for name, of in (("hot", _first), ("pairs", _pair), ("clusters", _cluster), ("chains", _chain)):
            self._fill(parent, ids, name, of)
        copies = self.section("copies")
        mine = (ids >= copies.start) & (ids < copies.stop)
        parent[mine] = (self._hash(ORIGINAL, ids[mine]) % np.uint64(max(1, copies.start))).astype(np.int64)
        return parent

    def similarity(self, ids: Int64) -> Float64:
        """float64[n]: how similar a document is meant to be to its parent."""
        similarity = LEAST + (MOST - LEAST) * self._hash(SIMILARITY, ids) / 2.0**64
        hot, copies = self.section("hot"), self.section("copies")
        similarity[(ids >= hot.start) & (ids < hot.stop)] = HOT
        similarity[ids >= copies.start] = 1.0
        return similarity

    def family(self, ids: Int64) -> Int64:
        """int64[n]: the first document of all that are variants of one another."""
        while True:
            parent = self.parent(ids)
            if (parent < 0).all():
                return ids
            ids = np.where(parent < 0, ids, parent)

    def text(self, ids: Int64) -> Int64:
        """int64[n]: the document whose text each has: its own number, unless it is a copy."""
        return np.where(ids >= self.section("copies").start, self.parent(ids), ids)

    def signatures(self, ids: Int64) -> UInt32:
        """uint32[n, num_perm]."""
        ids = self.text(ids)
        values = self._values(OWN, ids)
        parent = self.parent(ids)
        mine = np.flatnonzero(parent >= 0)
        if len(mine):
            taken = self._values(TAKEN, ids[mine]) < (self.similarity(ids[mine]) * 2.0**32)[:, None]
            values[mine] = np.where(taken, self.signatures(parent[mine]), values[mine])
        return values

    def estimates(self, one: Int64, other: Int64) -> Float64:
        """float64[n]: share of equal positions of the signatures of pairs of documents."""
        found = [np.zeros(0)]
        for at in range(0, len(one), AT_ONCE):
            some = slice(at, at + AT_ONCE)
            found.append(np.count_nonzero(self.signatures(one[some]) == self.signatures(other[some]), axis=1) / self.num_perm)
        return np.concatenate(found)

    def stars(self, ids: Int64) -> Int64:
        """int64[n]: -1 for half of them, which know none."""
        known = self._hash(STARS, ids)
        return np.where(known & np.uint64(1), np.exp2((known >> np.uint64(11)) / 2.0**53 * 12).astype(np.int64) - 1, -1)

    def length(self, ids: Int64) -> Int64:
        """int64[n]: bytes of the texts, were there any."""
        return 500 + (self._hash(LENGTH, self.text(ids)) % np.uint64(5000)).astype(np.int64)

    def doc_id(self, ids: Int64) -> UInt64:
        """uint64[n, 2]: the bytes of each doc_id."""
        return np.stack([fmix64_array(ids.astype(np.uint64) ^ self._salt(NAME)), self._hash(NAME, ids)], axis=1)

    def ids(self, doc_id: UInt64) -> Int64:
        """int64[n]: whose uint64[n, 2] these are."""
        return (_unmixed(doc_id[:, 0]) ^ self._salt(NAME)).astype(np.int64)

    def truth(self) -> Array:
        """TRUTH[k]: all planted documents."""
        alone, copies = self.section("alone"), self.section("copies")
        ids = np.r_[0 : alone.start, copies.start : copies.stop]
        parent = self.parent(ids)
        rows = np.empty(int((parent >= 0).sum()), TRUTH)
        rows["document"], rows["base"] = ids[parent >= 0], parent[parent >= 0]
        rows["similarity"] = self.similarity(rows["document"])
        return rows

    def content_hash(self, ids: Int64) -> UInt64:
        """uint64[n, 2]."""
        text = self.text(ids)
        return np.stack([self._hash(CONTENT, text), fmix64_array(self._hash(CONTENT, text) ^ GOLDEN)], axis=1)

    def _fill(self, parent: Int64, ids: Int64, name: str, of: Callable[[Int64], Int64]) -> None:
        """`of` says of a document's place in its section the place of its parent."""
        section = self.section(name)
        mine = np.flatnonzero((ids >= section.start) & (ids < section.stop))
        found = of(ids[mine] - section.start)
        parent[mine] = np.where(found < 0, -1, found + section.start)

    def _salt(self, stream: int) -> np.uint64:
        return fmix64_array(np.array([self.seed * 64 + stream], np.uint64))[0]

    def _hash(self, stream: int, ids: Int64) -> UInt64:
        return fmix64_array(fmix64_array(ids.astype(np.uint64) + np.uint64(1)) ^ self._salt(stream))

    def _values(self, stream: int, ids: Int64) -> UInt32:
        """uint32[n, num_perm], uniform: splitmix64, begun at a hash of the document."""
        steps = np.arange(1, -(-self.num_perm // 2) + 1, dtype=np.uint64) * GOLDEN
        return fmix64_array(self._hash(stream, ids)[:, None] + steps).view(np.uint32)[:, : self.num_perm]


def _first(place: Int64) -> Int64:
    return np.where(place == 0, -1, 0)


def _pair(place: Int64) -> Int64:
    return np.where(place % 2 == 0, -1, place - 1)


def _cluster(place: Int64) -> Int64:
    turn = int(SIZES.sum())
    firsts = np.cumsum([0, *SIZES[:-1]])
    first = firsts[np.searchsorted(firsts, place % turn, side="right") - 1] + place // turn * turn
    return np.where(place == first, -1, first)


def _chain(place: Int64) -> Int64:
    return np.where(place % CHAIN == 0, -1, place - 1)


def _unmixed(x: UInt64) -> UInt64:
    """What fmix64 gives x for: each shift undoes itself, each factor has an inverse."""
    for factor in (0xC4CEB9FE1A85EC53, 0xFF51AFD7ED558CCD):
        x = (x ^ (x >> np.uint64(33))) * np.uint64(pow(factor, -1, 2**64))
    return x ^ (x >> np.uint64(33))


def make_run(run_dir: Path, planted: Planted, settings: DedupSettings, parts: int) -> None:
    """Writes RUN/curate, RUN/signatures and RUN/truth.npy TRUTH[k]. One part is in memory at a time: 1.1 KB a document of it."""
    curate = Stage("curate", str(run_dir), {"synthetic": planted.documents, "parts": parts}, planted.seed, {})
    curate.begin()
    entries = [_documents(curate, planted, number, parts) for number in range(parts)]
    upstream = {"curate": curate.commit(entries, {"kept": planted.documents}, {}).digest}
    curate.close()
    signed = Stage("signatures", str(run_dir), dict(settings.signature), settings.seed, upstream)
    signed.begin()
    entries = [entry for number in range(parts) for entry in _signatures(signed, planted, number, parts)]
    signed.commit(entries, {"documents": planted.documents}, {})
    signed.close()
    save(str(run_dir / "truth.npy"), planted.truth())


def _documents(stage: Stage, planted: Planted, number: int, parts: int) -> FileEntry:
    """A part of the curate stage. Texts are empty: dedup reads none where estimates are final."""
    ids = np.arange(number, planted.documents, parts)
    empty, stars = np.full(len(ids), ""), planted.stars(ids)
    columns = {
        "doc_id": _binary(planted.doc_id(ids)),
        "source": np.full(len(ids), "synthetic"),
        "kind": np.full(len(ids), "code"),
        "language": np.array(["python", "java"])[ids // max(1, parts) % 2],
        "path": ids.astype(str),
        "stars": pa.array(stars, mask=stars < 0),
        "licenses": pa.ListArray.from_arrays(np.zeros(len(ids) + 1, np.int32), pa.array([], pa.string())),
        "origin": np.char.add("synthetic#", ids.astype(str)) if len(ids) else empty,
        "content_hash": _binary(planted.content_hash(ids)),
        "marks": no_marks(len(ids)),
    }
    arrays = [pa.array(columns.get(field.name, empty)).cast(field.type) for field in DOCUMENT]
    name = f"documents/{number:05d}.parquet"
    batch = pa.RecordBatch.from_arrays(arrays, schema=DOCUMENT)
    return FileEntry(name, len(ids), *write_parquet(stage.path(name), iter([batch]), DOCUMENT), stratum="synthetic")


def _signatures(stage: Stage, planted: Planted, number: int, parts: int) -> list[FileEntry]:
    ids = np.arange(number, planted.documents, parts)
    values = np.empty((len(ids), planted.num_perm), np.uint32)
    for at in range(0, len(ids), AT_ONCE):
        values[at : at + AT_ONCE] = planted.signatures(ids[at : at + AT_ONCE])
    rows = np.empty(len(ids), signatures.DOCUMENT)
    rows["doc_id"], rows["content_hash"] = (pairs.view("V16")[:, 0] for pairs in (planted.doc_id(ids), planted.content_hash(ids)))
    rows["length"] = planted.length(ids)
    rows["shingles"] = rows["length"] // 8
    found = []
    for kind, array in (("signatures", values), ("documents", rows)):
        name = f"{kind}/{number:05d}.npy"
        found.append(FileEntry(name, len(ids), *write_bytes(stage.path(name), to_bytes(array))))
    return found


def _binary(pairs: UInt64) -> pa.Array:
    return pa.Array.from_buffers(DOC_ID, len(pairs), [None, pa.py_buffer(np.ascontiguousarray(pairs).tobytes())])

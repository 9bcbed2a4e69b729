"""Which documents a shard holds: ranges of equal size of the text of each stratum, whatever parts it lies in.

    part 0          part 1          part 2                 kept documents of one stratum, in part order
    ├──────┼───┼────┼──────────────┼───┼────┼──┤
    0            start of 00001          start of 00002    bytes of the stratum's text
    ├── 00000 ────┤├── 00001 ───────┤├── 00002 ──┤         a document belongs to the range it begins in

The order of documents is that of the corpus, and parts are cuts of it, so ranges do not depend on how large parts are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.schemas import held_out_of
from pipelines.corpus import Corpus, column
from pipelines.stage import Receipt, Stage
from sharding.config import ShardSettings
from sharding.randomness import document_keys, uniforms

COLUMNS = ("doc_id", "text", "language")

OTHER = "other-"
"""How folders of languages begin that have no plain name. No plain name does, so that a corpus cannot call two languages the same."""

HELD_OUT_DRAW = 3
"""Which draw of a document's key says whether it is held out; others decide its objective and more."""

_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9+#_-]{0,39}")


@dataclass
class IndexPart:
    """Counts the documents and bytes of each stratum in a part."""

    stage: Stage
    corpus: Corpus
    settings: ShardSettings
    seed: int

    def sizes(self) -> list[int]:
        """Bytes of each part, as stored."""
        return [part.bytes for part in self.corpus.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """{"groups": [[row group, {stratum: [documents, bytes]}], …]}."""
        part = self.corpus.parts()[number]
        found = []
        for group, table, kept in self.corpus.groups(part, COLUMNS):
            names, of = strata_of(table, part.stratum, self.settings, self.seed)
            documents = np.bincount(of[kept], minlength=len(names)).tolist()
            sizes = np.bincount(of[kept], weights=text_bytes(table)[kept], minlength=len(names)).astype(np.int64).tolist()
            counts = zip(names, documents, sizes, strict=True)
            found.append([group, {name: [count, size] for name, count, size in counts if count}])
        return {"groups": found}


@dataclass(frozen=True)
class Range:
    """What one shard is made of."""

    stratum: str
    number: int
    """Within its stratum."""
    start: int
    """Bytes of the stratum before it."""
    stop: int
    """Where the next one begins; 2^63 - 1 for the last."""
    groups: tuple[tuple[int, int, int], ...]
    """(part, row group, bytes of the stratum before it) for each row group that holds documents that may begin here: what is to be read."""
    bytes: int
    """Of its text, but for what the last document has beyond its end."""


def plan_ranges(receipts: Sequence[Receipt], shard_bytes: int) -> list[Range]:
    """Ranges of about `shard_bytes` of text, at least one for each stratum that has documents; by stratum, then in order.

    `receipts` are IndexPart's, by part.
    """
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for part, receipt in enumerate(receipts):
        for group, strata in receipt["groups"]:
            for stratum, (_, size) in strata.items():
                groups.setdefault(stratum, []).append((part, group, size))
    return [each for stratum in sorted(groups) for each in _ranges(stratum, groups[stratum], shard_bytes)]


def _ranges(stratum: str, groups: list[tuple[int, int, int]], shard_bytes: int) -> list[Range]:
    sizes = np.array([size for _, _, size in groups], np.int64)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    total = int(ends[-1])
    count = max(1, round(total / shard_bytes))
    found = []
    for number in range(count):
        start = total * number // count
        end_of_text = total * (number + 1) // count
        stop = end_of_text if number + 1 < count else 2**63 - 1
        first, last = int(np.searchsorted(ends, start, "left")), int(np.searchsorted(begins, stop, "left"))
        inside = [(*groups[i][:2], int(begins[i])) for i in range(first, last)]
        found.append(Range(stratum, number, start, stop, tuple(inside), end_of_text - start))
    return found


def strata_of(table: pa.Table, source: str, settings: ShardSettings, seed: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """(names, int64[n]): the strata of a source's documents; each document's is a name's place. Needs COLUMNS.

    Whether a document is held out for evaluation is drawn by its doc_id, so it is in every epoch.
    """
    names, code = [source], np.zeros(table.num_rows, np.int64)
    if settings.strata == "language":
        languages, code = languages_of(table)
        names = [f"{source}/{folder_name(language)}" for language in languages]
    if not settings.held_out:
        return names, code
    held_out = uniforms(document_keys(doc_ids(table), seed, 0), HELD_OUT_DRAW) < settings.held_out
    return [*names, *(held_out_of(name) for name in names)], code + len(names) * held_out


def languages_of(table: pa.Table) -> tuple[list[str], npt.NDArray[np.int64]]:
    """(names, int64[n]): the languages of documents, "unknown" where there is none."""
    named = pc.if_else(pc.equal(column(table, "language"), ""), "unknown", column(table, "language"))
    encoded = named.dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices).astype(np.int64)


def folder_name(language: str) -> str:
    """A language as part of a folder's name. Languages may come from the corpus, so all but plain names are told by a digest."""
    if _PLAIN_NAME.fullmatch(language) and not language.startswith(OTHER):
        return language
    return f"{OTHER}{hashlib.blake2b(language.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"


def doc_ids(table: pa.Table, name: str = "doc_id") -> npt.NDArray[np.uint8]:
    """uint8[n, 16]: a column of 16 bytes each, as a view."""
    ids = column(table, name)
    return np.frombuffer(ids.buffers()[1] or b"", np.uint8).reshape(-1, 16)[ids.offset : ids.offset + len(ids)]


def text_bytes(table: pa.Table) -> npt.NDArray[np.int64]:
    """int64[n]: length of each text in UTF-8."""
    lengths: npt.NDArray[np.int64] = np.asarray(pc.binary_length(table["text"]).cast(pa.int64())).astype(np.int64)
    return lengths

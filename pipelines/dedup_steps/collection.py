"""What is compared: the documents of this run, and those of earlier corpora."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.manifest import FileEntry, digest_of
from pipelines.corpus import Committed, read_checked, removed_rows
from pipelines.rows import Array
from pipelines.storage import join


@dataclass(frozen=True)
class Signed:
    """A corpus and its signatures."""

    curate: Committed
    signatures: Committed
    reference: str = ""
    """Its name where it is a reference."""
    dedup: Committed | None = None
    """Of a reference: what an earlier dedup removed from it is no part of it."""

    @property
    def digest(self) -> str:
        """Of all that it is made of."""
        return digest_of([self.curate.digest, self.signatures.digest, self.dedup.digest if self.dedup else ""])


@dataclass(frozen=True)
class Place:
    """One part of one corpus."""

    corpus: Signed
    part: FileEntry
    number: int
    """Of the part in its corpus."""

    def signatures(self) -> Array:
        """uint32[n, num_perm], checked."""
        return self._array(f"signatures/{self.number:05d}.npy")

    def documents(self) -> Array:
        """DOCUMENT[n], checked."""
        return self._array(f"documents/{self.number:05d}.npy")

    def removed(self) -> npt.NDArray[np.int64]:
        """Rows that are no part of the corpus."""
        return removed_rows(self.corpus.dedup, self.part) if self.corpus.dedup else np.zeros(0, np.int64)

    def _array(self, name: str) -> Array:
        signed = self.corpus.signatures
        array: Array = np.load(pa.BufferReader(read_checked(signed.folder, signed.file(name))))
        return array


@dataclass(frozen=True)
class Collection:
    """All corpora. Parts are numbered through: this run's first, then the references' in their order."""

    own: Signed
    references: tuple[Signed, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Every part."""
        return _places(self)

    @property
    def own_parts(self) -> int:
        """Parts of this run."""
        return len(self.own.curate.parts())

    def sizes(self) -> list[int]:
        """Stored bytes of each part."""
        return [place.part.bytes for place in self.places]

    def documents(self) -> int:
        """How many there are, those that a reference's own dedup removed included."""
        return sum(place.part.rows for place in self.places)

    def signature_file(self, part: int) -> str:
        """Where the signatures of a part lie."""
        place = self.places[part]
        return join(place.corpus.signatures.folder, "signatures", f"{place.number:05d}.npy")


@lru_cache(maxsize=8)
def _places(collection: Collection) -> tuple[Place, ...]:
    corpora = (collection.own, *collection.references)
    return tuple(Place(corpus, part, number) for corpus in corpora for number, part in enumerate(corpus.curate.parts()))

"""MinHash signatures, bit for bit those of datasketch 2's `affine32` scheme, at several hundred MB/s a core.

The share of positions in which two signatures agree estimates the Jaccard similarity of the documents' shingle sets, with a
standard error of sqrt(s (1 - s) / num_perm), 0.03 at most for 256. Signatures made elsewhere with datasketch can be compared with
these if their hash function is the one of dedup/hashing.py (dedup/reference.py has it in plain Python).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from contracts.errors import InputError
from dedup.arrays import UInt32
from dedup.config import DedupSettings
from dedup.text_kernels import sign
from dedup.words import alphabet, text_buffers

if TYPE_CHECKING:
    from datasketch import LeanMinHash

SCHEME: Final = "affine32"
"""datasketch's name for a_k · h + b_k mod 2^32 with a_k odd, behind MurmurHash3's finaliser."""


class Signatures(NamedTuple):
    """Of n documents."""

    values: UInt32
    """uint32[n, num_perm]; all 2^32 - 1 for documents without shingles"""
    shingles: UInt32
    """uint32[n]: shingles with repetition; 0 for documents with fewer words than a shingle, which are never near-duplicates"""


def signatures(text: pa.LargeStringArray, settings: DedupSettings) -> Signatures:
    """Signatures of every document. Raises InputError if `text` has another type or nulls.

    Releases the GIL. Cost: about 3 ms a MB of source code and core with 256 permutations (benchmarks/dedup_kernels.py).
    """
    data, offsets = text_buffers(text)
    a, b = permutations(settings.num_perm, settings.seed)
    values = np.empty((len(text), settings.num_perm), np.uint32)
    shingles = np.empty(len(text), np.uint32)
    sign(data, offsets, alphabet(settings.lowercase, settings.non_ascii), settings.ngram, a, b, values, shingles)
    return Signatures(values, shingles)


def to_lean_minhash(row: UInt32, settings: DedupSettings) -> LeanMinHash:
    """One row of `Signatures.values` as datasketch's object, for its indices and its file format."""
    from datasketch import LeanMinHash

    return LeanMinHash(seed=settings.seed, hashvalues=row, scheme=SCHEME)


def from_lean_minhashes(sketches: Sequence[LeanMinHash], settings: DedupSettings) -> UInt32:
    """uint32[n, num_perm]: sketches made elsewhere, as rows that can be compared with `Signatures.values`.

    Raises InputError for one of another scheme, seed or length. That their words, shingles and hash function were those of these settings
    cannot be seen in a sketch: dedup/reference.py says what they have to be.
    """
    wanted = (SCHEME, settings.seed, settings.num_perm)
    for at, each in enumerate(sketches):
        found = (each.scheme, each.seed, len(each.hashvalues))
        if found != wanted:
            raise InputError(
                f"sketch {at} of {len(sketches)} has scheme {found[0]!r}, seed {found[1]} and {found[2]} permutations; these settings "
                f"compare {wanted[0]!r}, {wanted[1]} and {wanted[2]}: make it again with MinHash(num_perm={wanted[2]}, seed={wanted[1]}, "
                f"scheme={wanted[0]!r}), or change the settings."
            )
    rows = [np.asarray(each.hashvalues, np.uint32) for each in sketches]
    return np.stack(rows) if rows else np.empty((0, settings.num_perm), np.uint32)


@lru_cache
def permutations(num_perm: int, seed: int) -> tuple[UInt32, UInt32]:
    """The parameters of datasketch itself, a and b, uint32[num_perm] each."""
    from datasketch import MinHash  # here: it imports scipy.integrate, half a second that only signing needs

    a, b = MinHash(num_perm=num_perm, seed=seed, scheme=SCHEME).permutations
    return np.ascontiguousarray(a, np.uint32), np.ascontiguousarray(b, np.uint32)

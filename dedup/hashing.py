"""The hash functions of this room, once and for all: every signature ever stored depends on them.

    word      FNV-1a, 64 bits, over its bytes          (Fowler, Noll, Vo; RFC 9923)
    shingle   fmix64(Σ fmix64(word_i) · SHINGLE_BASE^(ngram-1-i) mod 2^64), i = 0 … ngram-1
    MinHash   is given the low 32 bits of the shingle

fmix64 is MurmurHash3's finaliser (Austin Appleby), a bijection. It stands between the two sums because FNV-1a's low bits depend on
few input bits. SHINGLE_BASE ≡ 3 mod 4: words i and j can be swapped unnoticed with a probability of at most 2^-58, as
BASE^k - 1 then has few factors of two. dedup/reference.py says the same in plain Python.

numba's cache notices no change in here for the kernels of other files: after one, delete dedup/__pycache__.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedup.arrays import UInt64

FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
FNV_PRIME: Final = np.uint64(0x00000100000001B3)
SHINGLE_BASE: Final = np.uint64(0x9E3779B97F4A7C17)
"""The odd number ≡ 3 mod 4 next to 2^64 / golden ratio."""


@njit(cache=True, nogil=True, inline="always")
def fmix64(x: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finaliser."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


@njit(cache=True, nogil=True, inline="always")
def fmix32(x: np.uint32) -> np.uint32:
    """MurmurHash3's 32-bit finaliser, which datasketch's affine32 applies before its permutations."""
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32((x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ (x >> np.uint32(16)))


def fmix64_array(x: UInt64) -> UInt64:
    """fmix64 of each element."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))

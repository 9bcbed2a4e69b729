"""From bytes to shingle hashes and signatures, compiled. In one file, because numba's cache watches only a kernel's own file.

    bytes  d e f _ f ( x , _ y ) : ⏎ …      one block of a document
    words  def_f x y …                      `words`: the last ngram - 1 of the block before, then this block's
    shingles  (def_f x y a b) (x y a b c)   `found`: 64 bits each
    signature  min over shingles of a_k · fmix32(low 32 bits) + b_k mod 2^32

A document is read in blocks, so memory does not grow with its size, and a block's hashes stay in the L1 cache while every
permutation passes over them. The byte loop has no branches: word ends are as good as random, and a mispredicted one costs as much
as ten bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedup.arrays import Int64, UInt8, UInt32, UInt64
from dedup.hashing import FNV_OFFSET, FNV_PRIME, SHINGLE_BASE, fmix32, fmix64

BLOCK: Final = 8192
"""Bytes of a block: about 1,000 words of code, whose 32-bit hashes take 4 of 32 KB of L1."""


@njit(cache=True, nogil=True)
def sign(data: UInt8, offsets: Int64, alphabet: UInt8, ngram: int, a: UInt32, b: UInt32, values: UInt32, shingles: UInt32) -> None:
    """Fills `values` uint32[n, num_perm] and `shingles` uint32[n]. `a`, `b`: uint32[num_perm], the permutations."""
    words, found, hashes = _scratch(ngram), _scratch(ngram), np.empty(BLOCK, np.uint32)
    lead = _power(ngram - 1)
    for i in range(len(offsets) - 1):
        held, state, inside, total = 0, FNV_OFFSET, 0, 0
        values[i] = np.uint32(0xFFFFFFFF)
        for start in range(offsets[i], offsets[i + 1], BLOCK):
            held, state, inside = _scan(data, start, offsets[i + 1], alphabet, words, held, state, inside)
            count = _roll(words, held, ngram, lead, found)
            held = _carry(words, held, ngram)
            for j in range(count):
                hashes[j] = fmix32(np.uint32(found[j]))
            _permute(hashes, count, a, b, values[i])
            total += count
        shingles[i] = total


@njit(cache=True, nogil=True)
def shingle(data: UInt8, offsets: Int64, alphabet: UInt8, ngram: int, out: UInt64, bounds: Int64) -> None:
    """Writes each document's shingle hashes, in order of appearance, to out[bounds[i]:bounds[i + 1]]; fills `bounds` int64[n + 1].

    `out` needs room for one value for every two bytes and one more a document.
    """
    words, lead, at = _scratch(ngram), _power(ngram - 1), 0
    bounds[0] = 0
    for i in range(len(offsets) - 1):
        held, state, inside = 0, FNV_OFFSET, 0
        for start in range(offsets[i], offsets[i + 1], BLOCK):
            held, state, inside = _scan(data, start, offsets[i + 1], alphabet, words, held, state, inside)
            at += _roll(words, held, ngram, lead, out[at:])
            held = _carry(words, held, ngram)
        bounds[i + 1] = at


@njit(cache=True, nogil=True)
def _scratch(ngram: int) -> UInt64:
    """Room for the words that can end in a block, those carried into it, and one store beyond."""
    return np.empty(BLOCK // 2 + 1 + ngram, np.uint64)


@njit(cache=True, nogil=True)
def _power(exponent: int) -> np.uint64:
    power = np.uint64(1)
    for _ in range(exponent):
        power *= SHINGLE_BASE
    return power


@njit(cache=True, nogil=True)
def _scan(
    data: UInt8, start: int, end: int, alphabet: UInt8, words: UInt64, held: int, state: np.uint64, inside: int
) -> tuple[int, np.uint64, int]:
    """Appends the mixed hashes of the words that end in this block of a document, or with the document at `end`.

    `state`, `inside`: hash of the word that a block's border has cut, and whether there is one.
    """
    carried, stop = held, min(start + BLOCK, end)
    for i in range(start, stop):
        byte = alphabet[data[i]]
        is_word = int(byte != 0)
        words[held] = state  # stays only if a word has just ended
        held += int(inside & (is_word ^ 1))
        longer = (state ^ np.uint64(byte)) * FNV_PRIME
        state = longer if byte != 0 else FNV_OFFSET
        inside = is_word
    if stop == end:
        words[held] = state
        held += inside
    for j in range(carried, held):
        words[j] = fmix64(words[j])
    return held, state, inside


@njit(cache=True, nogil=True)
def _roll(words: UInt64, held: int, ngram: int, lead: np.uint64, out: UInt64) -> int:
    """Writes the hash of every run of `ngram` words, and returns their number. Rolling, so the cost does not grow with `ngram`."""
    total = np.uint64(0)
    for j in range(min(ngram - 1, held)):
        total = total * SHINGLE_BASE + words[j]
    for j in range(ngram - 1, held):
        first = j - ngram + 1
        total = total * SHINGLE_BASE + words[j]
        out[first] = fmix64(total)
        total -= words[first] * lead
    return max(held - ngram + 1, 0)


@njit(cache=True, nogil=True)
def _carry(words: UInt64, held: int, ngram: int) -> int:
    """Moves the words that the next block's shingles begin with to the front, and returns their number."""
    kept = min(held, ngram - 1)
    for j in range(kept):
        words[j] = words[held - kept + j]
    return kept


@njit(cache=True, nogil=True)
def _permute(hashes: UInt32, count: int, a: UInt32, b: UInt32, values: UInt32) -> None:
    """Lowers `values` uint32[num_perm] to the least permuted hash. The inner loop is one vector multiply, add and min."""
    for k in range(len(values)):
        factor, shift, least = a[k], b[k], values[k]
        for j in range(count):
            least = min(least, np.uint32(factor * hashes[j] + shift))
        values[k] = least

"""The same words, shingles and signatures in plain Python: to test the kernels, and to make comparable sketches elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from datasketch import MinHash

from dedup.config import DedupSettings
from dedup.hashing import FNV_OFFSET, FNV_PRIME, SHINGLE_BASE
from dedup.minhash import SCHEME
from dedup.words import alphabet

MASK64 = 2**64 - 1
MASK32 = 2**32 - 1


def words(text: str, settings: DedupSettings) -> list[bytes]:
    """The words of a document as UTF-8, separators left out."""
    table = alphabet(settings.lowercase, settings.non_ascii).tobytes()
    return [word for word in text.encode().translate(table).split(b"\0") if word]


def word_hash(word: bytes) -> int:
    """FNV-1a, 64 bits."""
    state = int(FNV_OFFSET)
    for byte in word:
        state = (state ^ byte) * int(FNV_PRIME) & MASK64
    return state


def shingle_hash(word_hashes: Sequence[int]) -> int:
    """64-bit hash of a shingle from the hashes of its words, in order."""
    total = 0
    for value in word_hashes:
        total = (total * int(SHINGLE_BASE) + fmix64(value)) & MASK64
    return fmix64(total)


def fmix64(x: int) -> int:
    """MurmurHash3's 64-bit finaliser."""
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & MASK64
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & MASK64
    return x ^ x >> 33


def shingles(text: str, settings: DedupSettings) -> list[int]:
    """64-bit hashes of a document's shingles, in order of appearance, with repetition."""
    hashes = [word_hash(word) for word in words(text, settings)]
    return [shingle_hash(hashes[i : i + settings.ngram]) for i in range(len(hashes) - settings.ngram + 1)]


def minhash(text: str, settings: DedupSettings) -> MinHash:
    """A document's signature, made by datasketch."""
    return minhash_of(shingles(text, settings), settings)


def minhash_of(hashes: Sequence[int], settings: DedupSettings) -> MinHash:
    """The signature of shingles that are hashed already, 64 bits each."""
    sketch = MinHash(num_perm=settings.num_perm, seed=settings.seed, scheme=SCHEME, hashfunc=low_32_bits)
    sketch.update_batch(hashes)
    return sketch


def low_32_bits(shingle: int) -> int:
    """What MinHash is given of a shingle's hash."""
    return shingle & MASK32

"""Counter-based randomness: every draw is a pure function of a key and a counter.

An example's key is made of (seed, epoch, doc_id, first token), so what is drawn for it depends on nothing else: not on the order of
documents, the worker, or the run. The mixer is splitmix64's finaliser (Steele, Lea, Flood 2014; constants of Stafford's variant 13).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd: consecutive counters land far apart."""


@njit(cache=True, nogil=True, inline="always")
def mix64(x: np.uint64) -> np.uint64:
    """A bijection on 64 bits whose output bits each depend on every input bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def uniform(key: np.uint64, counter: int) -> float:
    """The counter-th draw for a key: 53 random bits in [0, 1)."""
    bits = mix64(key + np.uint64(counter + 1) * GOLDEN)
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True, inline="always")
def below(key: np.uint64, counter: int, bound: int) -> int:
    """The counter-th draw for a key, uniform over 0 … bound-1 (bias below 2^-53 × bound)."""
    return int(uniform(key, counter) * np.float64(bound))


@njit(cache=True, nogil=True)
def uniforms(keys: npt.NDArray[np.uint64], counter: int) -> npt.NDArray[np.float64]:
    """float64[n] in [0, 1): the same counter for each key."""
    out = np.empty(len(keys), np.float64)
    for i in range(len(keys)):
        out[i] = uniform(keys[i], counter)
    return out


@njit(cache=True, nogil=True)
def _fold(state: npt.NDArray[np.uint64], word: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    out = np.empty(len(state), np.uint64)
    for i in range(len(state)):
        out[i] = mix64(state[i] ^ (word[i] + GOLDEN))
    return out


def document_keys(doc_id: npt.NDArray[np.uint8], seed: int, epoch: int) -> npt.NDArray[np.uint64]:
    """uint64[n] from doc_id uint8[n, 16]: one key a document for (seed, epoch)."""
    words = np.ascontiguousarray(doc_id).view("<u8").reshape(len(doc_id), 2)
    keys = np.full(len(doc_id), np.uint64(seed % 2**64), np.uint64)
    for word in (np.full(len(doc_id), np.uint64(epoch), np.uint64), words[:, 0], words[:, 1]):
        keys = _fold(keys, np.ascontiguousarray(word))
    return keys


def chunk_keys(documents: npt.NDArray[np.uint64], first: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """uint64[m]: keys of chunks from their documents' keys and the tokens of the document before them."""
    return _fold(documents, first.astype(np.uint64))

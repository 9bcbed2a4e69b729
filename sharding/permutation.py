"""A keyed shuffle of [0, n) that is computed, not stored: index in, place out.

i = L · b + R is a point of an a × b grid with a = ⌈√n⌉, b = ⌈n / a⌉. Rounds alternate between the two coordinates:

    L ← L + f(R, key₀) mod a,   R ← R + f(L, key₁) mod b,   …

Each round is undone by subtracting, so the whole is a bijection of the grid (an alternating Feistel network after Black and
Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The grid has fewer than a points more than n; an image that falls among
those is mapped again until it lies in [0, n) ("cycle walking"), which for n > 10,000 happens to less than one index in a hundred.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sharding.segments import Int64

UInt64 = npt.NDArray[np.uint64]

ROUNDS = 8
"""Four updates of each coordinate. Luby and Rackoff need four rounds against an adversary; twice that costs 0.13 µs an index
and gives every index every place equally often over keys, down to n = 2 (tested)."""

MAX_SIZE = 1 << 62
"""Both coordinates then stay below 2^31 + 1, and sums and products within int64."""


class Permutation:
    """One permutation of [0, n), fixed by n and the key. Equal on every machine and in every version of the format."""

    def __init__(self, size: int, *key: int | str) -> None:
        """`size` is n, 1 to 2^62; `key` any integers and strings, such as (seed, source, epoch)."""
        if not 1 <= size <= MAX_SIZE:
            raise ValueError(f"cannot permute {size} items; 1 to 2^62 is allowed")
        self.size = size
        self._a = math.isqrt(size - 1) + 1
        self._b = -(-size // self._a)
        self._keys = round_keys(*key)

    def __call__(self, index: Int64) -> Int64:
        """Place of each index: int64[k] in [0, n) to int64[k] in [0, n). Raises IndexError outside."""
        return self._walk(index, self._forward)

    def inverse(self, place: Int64) -> Int64:
        """Index of each place, so that `inverse(self(i)) == i`."""
        return self._walk(place, self._backward)

    def _walk(self, start: Int64, step: Callable[[UInt64], UInt64]) -> Int64:
        if start.size and (start.min() < 0 or start.max() >= self.size):
            raise IndexError(f"indices {start.min()} to {start.max()} in a permutation of {self.size}")
        place = step(start.astype(np.uint64))
        while (outside := place >= np.uint64(self.size)).any():
            place[outside] = step(place[outside])
        return place.astype(np.int64)

    def _forward(self, point: UInt64) -> UInt64:
        a, b = np.uint64(self._a), np.uint64(self._b)
        left, right = np.divmod(point, b)
        for even, odd in zip(self._keys[::2], self._keys[1::2], strict=True):
            left = (left + mix(right ^ even) % a) % a
            right = (right + mix(left ^ odd) % b) % b
        return left * b + right

    def _backward(self, point: UInt64) -> UInt64:
        a, b = np.uint64(self._a), np.uint64(self._b)
        left, right = np.divmod(point, b)
        for even, odd in zip(self._keys[-2::-2], self._keys[::-2], strict=True):
            right = (right + b - mix(left ^ odd) % b) % b
            left = (left + a - mix(right ^ even) % a) % a
        return left * b + right


def round_keys(*key: int | str) -> UInt64:
    """uint64[ROUNDS] from any integers and strings, by BLAKE2b."""
    text = json.dumps(["spanmill permutation", *key], separators=(",", ":")).encode()
    return np.frombuffer(hashlib.blake2b(text, digest_size=8 * ROUNDS).digest(), "<u8").astype(np.uint64)


def mix(value: UInt64) -> UInt64:
    """A bijection of 64-bit words whose every output bit depends on every input bit: splitmix64's finaliser (Stafford's mix 13)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))

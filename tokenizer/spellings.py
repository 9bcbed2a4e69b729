"""Which token spells what: finds the token that two others spell together; kernels for tokenizer.learn.

spellings   letters int32[k], starts int64[n + 1], slots int32[m]: token i is letters[starts[i]:starts[i + 1]], a letter the id of a byte
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Spellings = tuple[Int32, Int64, Int32]


@numba.njit(cache=True)
def bytes_alone(size: int) -> Spellings:
    """The 256 bytes, with room for `size` tokens."""
    slots = 1
    while slots < 2 * size:
        slots *= 2
    spellings = np.arange(max(1024, 8 * size)).astype(np.int32), np.arange(size + 1), np.full(slots, -1, np.int32)
    for token in range(256):
        spellings[2][_slot(token, token + 1, spellings)] = token
    return spellings


@numba.njit(cache=True)
def spell(left: np.int32, right: np.int32, tokens: int, spellings: Spellings) -> tuple[np.int64, Spellings]:
    """The token that `left` and `right` spell together: one of the `tokens` that exist, or a new one, whose id is `tokens`."""
    letters, starts, slots = spellings
    begin = starts[tokens]
    end = begin + starts[left + 1] - starts[left] + starts[right + 1] - starts[right]
    if end > len(letters):
        wide = np.empty(2 * end, np.int32)
        wide[: len(letters)] = letters
        letters = wide
    at = begin
    for part in (left, right):
        for i in range(starts[part], starts[part + 1]):
            letters[at] = letters[i]
            at += 1
    spellings = (letters, starts, slots)
    slot = _slot(begin, end, spellings)
    if slots[slot] >= 0:
        return np.int64(slots[slot]), spellings
    slots[slot], starts[tokens + 1] = tokens, end
    return np.int64(tokens), spellings


@numba.njit(cache=True)
def _slot(begin: int, end: int, spellings: Spellings) -> np.int64:
    letters, starts, slots = spellings
    value = np.uint64(0xCBF29CE484222325)
    for i in range(begin, end):
        value = (value ^ np.uint64(letters[i])) * np.uint64(0x100000001B3)
    mask = np.uint64(len(slots) - 1)
    at = (value ^ (value >> np.uint64(32))) & mask
    while slots[at] >= 0 and not _same(letters, starts[slots[at]], starts[slots[at] + 1], begin, end):
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@numba.njit(cache=True)
def _same(letters: Int32, one: int, one_end: int, other: int, other_end: int) -> bool:
    if one_end - one != other_end - other:
        return False
    for k in range(one_end - one):  # noqa: SIM110 - compiled
        if letters[one + k] != letters[other + k]:
            return False
    return True

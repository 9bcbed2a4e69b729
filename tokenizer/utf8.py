"""Characters: of UTF-8, within compiled code; and all of Unicode, asked of `tokenizers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
import numpy as np
import numpy.typing as npt

_LAST = 0x40000
"""Unicode has letters, numbers and spaces in its first four planes only."""

_AT_ONCE = 2048
"""Characters that are looked up at once: splitting takes time by the square of the pieces."""


@numba.njit(cache=True, nogil=True)
def character_at(data: npt.NDArray[np.uint8], i: int) -> tuple[np.int64, int]:
    """The character at byte i of valid UTF-8, and where the next begins."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, i + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[i + 1] & 0x3F), i + 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F), i + 3
    return (first & 0x07) << 18 | (data[i + 1] & 0x3F) << 12 | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F), i + 4


def characters_where(find: Callable[[Sequence[str]], Sequence[int]]) -> npt.NDArray[np.bool_]:
    """bool[0x110000]: the characters that `find` finds among those it is given; by places. For letters, numbers and spaces only."""
    found = np.zeros(0x110000, np.bool_)
    for start in range(0, _LAST, _AT_ONCE):
        known = [i for i in range(start, start + _AT_ONCE) if not 0xD800 <= i < 0xE000]
        if known:
            found[[known[place] for place in find([chr(i) for i in known])]] = True
    return found

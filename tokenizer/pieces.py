r"""Where long documents may be cut for encoding, such that the pieces give the ids of the whole.

    …return x│\n    y = 2│ # so│ …        before a space or newline that follows a visible ASCII character

In GPT-2's pattern no word goes from a visible character on to whitespace, so whatever stands around the place, one ends there; and a run
of whitespace with a token of its own begins there at the earliest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

_NEWLINE, _SPACE = 10, 32
_FIRST_VISIBLE, _LAST_VISIBLE = 0x21, 0x7E


def cut(data: Bytes, offsets: Int64, most: int) -> tuple[Int64, Int64]:
    """Offsets of pieces of at most about `most` bytes, and for each document the number of its first piece (with one more at the end).

    A document longer than `most` is cut every `most` bytes, at the next place that allows it within as many bytes; where there is none,
    the piece is longer.
    """
    sizes = np.diff(offsets)
    if not len(sizes) or sizes.max() <= most:
        return offsets, np.arange(len(offsets))
    bounds: list[int] = [int(offsets[0])]
    first = [0]
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        at = start
        while end - at > most:
            at = _next_cut(data, at + most, end, most)
            if at < end:
                bounds.append(at)
        bounds.append(end)
        first.append(len(bounds) - 1)
    return np.array(bounds, np.int64), np.array(first, np.int64)


def _next_cut(data: Bytes, begin: int, end: int, step: int) -> int:
    """The first place at or after `begin` where a cut is allowed, or `end`."""
    for start in range(begin, end, step):
        text = data[start - 1 : min(start + step, end)]
        allowed = _visible(text[:-1]) & ((text[1:] == _SPACE) | (text[1:] == _NEWLINE))
        if len(found := np.flatnonzero(allowed)):
            return start + int(found[0])
    return end


def _visible(data: Bytes) -> npt.NDArray[np.bool_]:
    return (data >= _FIRST_VISIBLE) & (data <= _LAST_VISIBLE)

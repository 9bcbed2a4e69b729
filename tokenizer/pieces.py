r"""Where long documents may be cut for encoding, such that the pieces give the ids of the whole.

    …return x│\n    y = 2│ # so│ …        before a space or newline that follows a visible character
    …日本語の文章です。│\n …
    …aGVsbG8│+d29│1│ybGQ│/…              where there is none: between ASCII letters and digits, and before a symbol that follows either

In GPT-2's pattern no word goes from a visible character on to whitespace, so whatever stands around the place, one ends there; and a run
of whitespace with a token of its own begins there at the earliest. Nor does one go from letters to digits, or from either to symbols.
Added tokens that are more than whitespace may, so where there are such, only the first places are used, or none if even a space may stand
within one. A run of letters is one word, however long, and is never cut.

Visible is a character of which a look at its bytes tells that it is no white space: visible ASCII, and all characters of more bytes but
those of the first bytes C2, E1 and E2, among which are most of Unicode's white space, and U+3000.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

Places = Literal["nowhere", "spaces", "words"]
"""Where a vocabulary allows documents to be cut: nowhere, before spaces and newlines, or also between words without any."""

_NEWLINE, _SPACE = 10, 32
_FIRST_VISIBLE, _LAST_VISIBLE = 0x21, 0x7E

_FIRST_BYTE = 0xC2
"""Least first byte of a character of more than one byte; bytes behind the first are below 0xC0."""

_MAYBE_WHITE = (0xC2, 0xE1, 0xE2)
"""First bytes of U+0080–00BF (0085, 00A0), U+1000–1FFF (1680) and U+2000–2FFF (2000–200A, 2028, 2029, 202F, 205F), which \\s matches."""

_IDEOGRAPHIC_SPACE = "\u3000".encode()
"""E3 80 80, the only white space among characters with another first byte."""


def cut(data: Bytes, offsets: Int64, most: int, places: Places) -> tuple[Int64, Int64]:
    """Offsets of pieces of at most about `most` bytes, and for each document the number of its first piece (with one more at the end).

    A document longer than `most` is cut every `most` bytes, at the next place that allows it; where there is none within as many bytes,
    the piece is longer.
    """
    sizes = np.diff(offsets)
    if places == "nowhere" or not len(sizes) or sizes.max() <= most:
        return offsets, np.arange(len(offsets))
    bounds: list[int] = [int(offsets[0])]
    first = [0]
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        at = start
        while end - at > most:
            at = _next_cut(data, at + most, end, most, places)
            if at < end:
                bounds.append(at)
        bounds.append(end)
        first.append(len(bounds) - 1)
    return np.array(bounds, np.int64), np.array(first, np.int64)


def _next_cut(data: Bytes, begin: int, end: int, step: int, places: Places) -> int:
    """The first place within `step` bytes of `begin` or the next so many, or …, where a cut is allowed; or `end`. Spaces come first."""
    for start in range(begin, end, step):
        text = data[start : min(start + step, end)]
        blanks = start + np.flatnonzero((text == _SPACE) | (text == _NEWLINE))
        found = blanks[_follow_visible(data, blanks)]
        if places == "words" and not len(found):
            before, after = _KIND[data[start - 1 : start + len(text) - 1]], _KIND[text]
            found = start + np.flatnonzero(((before == _LETTER) | (before == _DIGIT)) & (after > 0) & (after != before))
        if len(found):
            return int(found[0])
    return end


_SYMBOL, _LETTER, _DIGIT = 1, 2, 3

_KIND = np.zeros(256, np.uint8)
"""uint8[256]: of visible ASCII; 0 for all other bytes."""
_KIND[_FIRST_VISIBLE : _LAST_VISIBLE + 1] = _SYMBOL
_KIND[[*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1)]] = _LETTER
_KIND[ord("0") : ord("9") + 1] = _DIGIT


def _follow_visible(data: Bytes, places: Int64) -> npt.NDArray[np.bool_]:
    """bool[n]: whether the character before each place is surely not white space; `data` is UTF-8, and no place is its beginning."""
    last, second, third, fourth = (data[np.maximum(places - back, 0)] for back in range(1, 5))
    first = np.where(second >= _FIRST_BYTE, second, np.where(third >= _FIRST_BYTE, third, fourth))
    ideographic = (third == _IDEOGRAPHIC_SPACE[0]) & (second == _IDEOGRAPHIC_SPACE[1]) & (last == _IDEOGRAPHIC_SPACE[2])
    wide = (last > 0x7F) & ~np.isin(first, _MAYBE_WHITE) & ~ideographic
    visible: npt.NDArray[np.bool_] = ((last >= _FIRST_VISIBLE) & (last <= _LAST_VISIBLE)) | wide
    return visible

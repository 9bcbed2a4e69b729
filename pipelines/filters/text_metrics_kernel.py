"""The kernel of text_metrics: a module of its own, so that only who measures text imports numba."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt


@numba.njit(cache=True, nogil=True)
def measure(
    bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], table: npt.NDArray[np.uint8], out: npt.NDArray[np.int64]
) -> None:
    """Fills out: int64[6, n] in the order of TextMetrics. `data` must be valid UTF-8 between the bounds, int64[n + 1]."""
    for d in range(bounds.size - 1):
        i, end = bounds[d], bounds[d + 1]
        characters = alnum = alpha = lines = in_lines = longest = current = np.int64(0)
        while i < end:
            point = np.int64(data[i])
            if point < 0x80:
                i += 1
            elif point < 0xE0:
                point = (point & 0x1F) << 6 | (data[i + 1] & 0x3F)
                i += 2
            elif point < 0xF0:
                point = (point & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F)
                i += 3
            else:
                point = (
                    (point & 0x07) << 18
                    | np.int64(data[i + 1] & 0x3F) << 12
                    | np.int64(data[i + 2] & 0x3F) << 6
                    | (data[i + 3] & 0x3F)
                )
                i += 4
            flags = np.int64(table[point])
            characters += 1
            alnum += flags & 1
            alpha += (flags >> 1) & 1
            if flags & 4:
                if point == 13 and i < end and data[i] == 10:
                    i += 1
                    characters += 1
                lines += 1
                in_lines += current
                longest = max(longest, current)
                current = np.int64(0)
            else:
                current += 1
        if current > 0:
            lines += 1
            in_lines += current
            longest = max(longest, current)
        out[0, d], out[1, d], out[2, d] = characters, alnum, alpha
        out[3, d], out[4, d], out[5, d] = lines, in_lines, longest

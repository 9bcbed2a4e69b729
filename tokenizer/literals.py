"""Literal special tokens in text: where a corpus spells what only code may write."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.arrow_text import text_buffers

Int64 = npt.NDArray[np.int64]


class Literals:
    """Finds the names of control tokens in text."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._number = {name.encode(): i for i, name in enumerate(self.names)}
        numbered = {re.sub(rb"\d+", b"#", name) for name in self._number}  # <mask_1>, <mask_2>, … are one alternative
        patterns = sorted(re.escape(name).replace(rb"\#", b"#").replace(b"#", rb"\d+") for name in numbered)
        self._pattern = re.compile(b"|".join(patterns))

    def find(self, text: pa.LargeStringArray) -> tuple[Int64, Int64]:
        """int64[hits], int64[hits]: document and number of the name, for each place where one stands; places do not overlap.

        One pass over the buffer, about 100 MB/s; an object for each hit only.
        """
        data, offsets = text_buffers(text)
        found = [
            (hit.start(), hit.end(), self._number.get(hit.group(), -1))
            for hit in self._pattern.finditer(data.data, int(offsets[0]), int(offsets[-1]))
        ]
        starts, stops, numbers = np.array(found, np.int64).reshape(-1, 3).T
        document = np.searchsorted(offsets, starts, side="right") - 1
        real = (numbers >= 0) & (stops <= offsets[document + 1])  # a mask beyond the last, or half in the next document, is none
        return document[real], numbers[real]

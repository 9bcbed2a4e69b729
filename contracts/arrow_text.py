"""Columns of text as the buffers that they are, for kernels and searches."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Scalar = TypeVar("Scalar", bound=np.generic)


class TextBuffers(NamedTuple):
    """n documents, one behind the other. Both arrays are read-only views of Arrow's memory."""

    data: npt.NDArray[np.uint8]
    """uint8[bytes], UTF-8 if the column is text"""
    offsets: npt.NDArray[np.int64]
    """int64[n + 1]: document i is data[offsets[i]:offsets[i + 1]]; the first need not be 0"""


def text_buffers(text: pa.LargeStringArray | pa.LargeBinaryArray) -> TextBuffers:
    """The buffers of one array, without a copy. Nulls are not looked for: their bytes are what Arrow holds there, mostly none."""
    _, offsets, data = text.buffers()
    if len(text) == 0:  # Arrow need not give it offsets
        return TextBuffers(_view(b"", np.uint8), _view(bytes(8), np.int64))
    return TextBuffers(_view(data or b"", np.uint8), _view(offsets, np.int64)[text.offset : text.offset + len(text) + 1])


def _view(buffer: pa.Buffer | bytes, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    """Read-only even where Arrow's memory is not, so that the kernels see one type and compile once."""
    array = np.frombuffer(buffer, dtype)
    array.flags.writeable = False
    return array

"""What is taken as text, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import InputError
from dedup.words import alphabet, text_buffers


def test_buffers_are_views() -> None:
    text = pa.array(["ab", "", "cde"], pa.large_string())
    data, offsets = text_buffers(text)
    assert offsets.tolist() == [0, 2, 2, 5]
    assert data[:5].tobytes() == b"abcde"
    assert data.ctypes.data == text.buffers()[2].address
    assert not data.flags.writeable
    assert not offsets.flags.writeable


def test_slices_keep_their_offset() -> None:
    data, offsets = text_buffers(pa.array(["ab", "", "cde"], pa.large_string()).slice(2))
    assert data[offsets[0] : offsets[1]].tobytes() == b"cde"


@pytest.mark.parametrize("text", [pa.array([], pa.large_string()), pa.array(["", ""], pa.large_string())])
def test_no_text_at_all(text: pa.LargeStringArray) -> None:
    assert text_buffers(text).offsets.tolist() == [0] * (len(text) + 1)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (pa.array(["a"], pa.string()), "StringArray of string"),
        (pa.chunked_array([["a"]], pa.large_string()), "ChunkedArray of large_string"),
        (["a"], "list of no Arrow type"),
    ],
)
def test_other_types_are_refused(text: object, seen: str) -> None:
    with pytest.raises(InputError, match=seen):
        text_buffers(text)


def test_nulls_are_refused() -> None:
    with pytest.raises(InputError, match="1 nulls among 2 documents"):
        text_buffers(pa.array(["a", None], pa.large_string()))


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("non_ascii", [False, True])
def test_alphabet(lowercase: bool, non_ascii: bool) -> None:
    table = alphabet(lowercase, non_ascii)
    assert table.dtype == np.uint8
    for byte in range(256):
        character = chr(byte)
        if byte < 128 and (character.isalnum() or character == "_"):
            assert table[byte] == ord(character.lower() if lowercase else character)
        else:
            assert table[byte] == (byte if byte >= 128 and non_ascii else 0)

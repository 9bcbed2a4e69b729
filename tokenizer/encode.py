"""Text to token ids, by buffers. Control tokens are unknown here: text that spells one stays text.

Two engines, the same ids: `gigatoken` (fast) and `tokenizers` (the reference). Why gigatoken: docs/decisions/0004-fast-encoder.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from contracts.errors import InputError
from tokenizer.layout import HARD_TEXT, without_control_tokens

Engine = Literal["gigatoken", "tokenizers"]


class Encoded(NamedTuple):
    """Token ids of n documents, one behind the other."""

    ids: npt.NDArray[np.uint32]
    """uint32[tokens]"""
    offsets: npt.NDArray[np.int64]
    """int64[n + 1]: document i is ids[offsets[i]:offsets[i + 1]]"""


@dataclass
class Encoder:
    """Encodes documents with the text half of a tokenizer.json."""

    tokenizer_json: str
    engine: Engine = "gigatoken"

    def __post_init__(self) -> None:
        text_only = without_control_tokens(self.tokenizer_json)
        self._reference = Tokenizer.from_str(text_only)
        self._fast: Any = None
        if self.engine == "gigatoken":
            self._fast = _load_fast(text_only)
            self._check_engine()

    def __call__(self, text: pa.LargeStringArray) -> Encoded:
        """Ids of every document. One thread; cost about 1/75 s a MB with gigatoken, 1 s a MB with `tokenizers`."""
        if len(text) == 0:
            return Encoded(np.zeros(0, np.uint32), np.zeros(1, np.int64))
        return self._encode_fast(text) if self._fast is not None else self._encode_reference(text)

    def _check_engine(self) -> None:
        """Equality is proved for tokenizers that Spanmill trains; one from elsewhere may split words in a way gigatoken does not know."""
        hard = pa.array([HARD_TEXT, HARD_TEXT[::-1]], pa.large_string())
        if not np.array_equal(self._encode_fast(hard).ids, self._encode_reference(hard).ids):
            raise InputError(f"gigatoken gives other ids than `tokenizers` for this tokenizer.json. {_SLOW}")

    def _encode_fast(self, text: pa.LargeStringArray) -> Encoded:
        encoded = self._fast.encode_batch(as_bytestrings(text), parallel=False).layout
        offsets = np.asarray(encoded.offsets.data, dtype=np.int64)
        ids = np.asarray(encoded.content.data)[offsets[0] : offsets[-1]]
        return Encoded(ids.astype(np.uint32, copy=False), offsets - offsets[0])

    def _encode_reference(self, text: pa.LargeStringArray) -> Encoded:
        documents = [self._reference.encode(value, add_special_tokens=False).ids for value in text.to_pylist()]
        offsets = np.zeros(len(documents) + 1, np.int64)
        np.cumsum([len(ids) for ids in documents], out=offsets[1:])
        flat = [token for ids in documents for token in ids]
        return Encoded(np.array(flat, dtype=np.uint32), offsets)


_SLOW = 'Set tokenizer.engine = "tokenizers" to encode with the reference, about 50 times slower.'


def _load_fast(text_only: str) -> Any:
    import gigatoken  # here, as awkward below: a third of a second that only encoding needs

    try:
        return gigatoken.Tokenizer.from_json(text_only)
    except Exception as error:  # it raises whatever its Rust side did
        raise InputError(f"gigatoken cannot load this tokenizer.json: {error}. {_SLOW}") from None


def line_ends(tokenizer_json: str, vocab_size: int) -> npt.NDArray[np.bool_]:
    """bool[vocab_size]: whether a token's text ends with a newline. Control tokens do not."""
    text_only = Tokenizer.from_str(without_control_tokens(tokenizer_json))
    ends = np.zeros(vocab_size, np.bool_)
    newline = "\u010a"  # byte 0x0A in GPT-2's printable alphabet for bytes
    for token, index in text_only.get_vocab(with_added_tokens=True).items():
        ends[index] = token.endswith((newline, "\n"))
    return ends


def as_bytestrings(text: pa.LargeStringArray) -> Any:
    """The same buffers as an awkward array of bytestrings, without a copy."""
    import awkward

    _, offsets_buffer, data_buffer = text.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    content = awkward.contents.NumpyArray(data, parameters={"__array__": "byte"})
    layout = awkward.contents.ListOffsetArray(awkward.index.Index64(offsets), content, parameters={"__array__": "bytestring"})
    return awkward.Array(layout)

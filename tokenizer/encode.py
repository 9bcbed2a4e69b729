"""Text to token ids, by buffers. Control tokens are unknown here: text that spells one stays text.

Two engines, the same ids: `gigatoken` (fast) and `tokenizers` (the reference). Why gigatoken, and why it is made anew now and then:
docs/decisions/0015-encoder.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from contracts.arrow_text import text_buffers
from contracts.errors import InputError
from tokenizer.digits import digits, split_at_digits
from tokenizer.layout import HARD_TEXT, without_control_tokens
from tokenizer.pieces import Places, cut

Engine = Literal["gigatoken", "tokenizers"]

PIECE_BYTES = 8_000_000
"""Text that gigatoken gets at a time. Its cache of words then grows by at most 85 MB before it is looked at: 10.6 bytes a byte of words
that never repeat, as measured by benchmarks/encoders.py."""

CACHE_BYTES = 160_000_000
"""Growth of the process after which gigatoken is made anew: it forgets no word. On real code that is after some gigabytes of text."""

FORGET_BYTES = 128_000_000
"""Text after which it is made anew where the system does not tell the size of a process."""

FEW = 1000
"""Pieces that are given to gigatoken one by one; of more, all at once cost less."""

WARM_BYTES = 32_000_000
"""Text between two makings at least: making takes as long as encoding about 10 MB, so other memory that grows costs little."""


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
        self._text_only = without_control_tokens(self.tokenizer_json)
        fields = json.loads(self._text_only)
        words, added = fields["pre_tokenizer"], fields["added_tokens"]
        self.places: Places = _places(added) if words in (GPT2_WORDS, DIGITS_ALONE) else "nowhere"
        self._at_digits: bool = words == DIGITS_ALONE and not any(map(_knows_digits, added))
        self._fast: Any = None
        self._reference: Tokenizer | None = None  # kept only where it encodes: 100 MB for a vocabulary of 130,000
        if self.engine == "gigatoken":
            self._renew()
            self._check_engine()
        else:
            self._reference = Tokenizer.from_str(self._text_only)

    def __call__(self, text: pa.LargeStringArray) -> Encoded:
        """Ids of every document. One thread; cost about 1/80 s a MB with gigatoken, 1 s a MB with `tokenizers`."""
        if len(text) == 0:
            return Encoded(np.zeros(0, np.uint32), np.zeros(1, np.int64))
        return self._encode_fast(text) if self._reference is None else _encode_with(self._reference, text)

    def _check_engine(self) -> None:
        """Equality is proved for tokenizers that Spanmill trains; one from elsewhere may split words in a way gigatoken does not know."""
        hard = pa.array([HARD_TEXT, HARD_TEXT[::-1]], pa.large_string())
        if not np.array_equal(self._encode_fast(hard).ids, _encode_with(Tokenizer.from_str(self._text_only), hard).ids):
            raise InputError(f"gigatoken gives other ids than `tokenizers` for this tokenizer.json. {_SLOW}")

    def _encode_fast(self, text: pa.LargeStringArray) -> Encoded:
        data, offsets = text_buffers(text)
        bounds, first = self._pieces(data, offsets)
        ids, ends = [], [np.zeros(1, np.int64)]
        for start, stop in _slices(bounds):
            made, lengths = self._encode_pieces(data, bounds[start : stop + 1])
            ids.append(made)
            ends.append(np.cumsum(lengths) + ends[-1][-1])
        return Encoded(np.concatenate(ids) if len(ids) > 1 else ids[0], np.concatenate(ends)[first])

    def _pieces(
        self, data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Bounds of what gigatoken gets one by one, and for each document the number of its first piece (with one more at the end)."""
        if self._at_digits:
            return split_at_digits(data, offsets)
        return cut(data, offsets, PIECE_BYTES, self.places)

    def _encode_pieces(
        self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """uint32[tokens] and int64[pieces]: ids, and how many each piece has."""
        ids, lengths = self._encode_few(data, bounds) if len(bounds) <= FEW else self._encode_many(data, bounds)
        self._since += int(bounds[-1] - bounds[0])
        if self._since >= WARM_BYTES and self._has_grown():
            self._renew()
        return ids, lengths

    def _encode_many(
        self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """One call for all pieces: 1.3 ms, whatever their number."""
        encoded = self._fast.encode_batch(as_bytestrings(data, bounds), parallel=False).layout
        offsets = np.asarray(encoded.offsets.data, dtype=np.int64)
        ids = np.asarray(encoded.content.data)[offsets[0] : offsets[-1]].astype(np.uint32, copy=False)
        return ids, np.diff(offsets)

    def _encode_few(
        self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """One call a piece: 0.8 µs. Infill objectives ask for some hundred words again and again."""
        text = data[bounds[0] : bounds[-1]].tobytes()
        edges = (bounds - bounds[0]).tolist()
        ids = [self._fast.encode(text[begin:end]) for begin, end in pairwise(edges)]
        return np.concatenate(ids).astype(np.uint32, copy=False), np.array([len(each) for each in ids], np.int64)

    def _has_grown(self) -> bool:
        now = _resident_bytes()
        return now - self._resident > CACHE_BYTES if now else self._since > FORGET_BYTES

    def _renew(self) -> None:
        """Makes gigatoken anew, its cache empty. No id depends on when that is."""
        self._fast = None  # its memory first
        self._fast = _load_fast(_without_digits(self._text_only) if self._at_digits else self._text_only)
        self._since, self._resident = 0, _resident_bytes()


GPT2_WORDS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
"""The pre-tokenizer, as tokenizer.json writes it, for whose words tokenizer.pieces knows where a text may be cut."""

DIGITS_ALONE = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, GPT2_WORDS]}
"""StarCoder's: such places are fine here too. gigatoken does not know it, so it gets the stretches between digits (tokenizer.digits)."""

_SLOW = 'Set tokenizer.engine = "tokenizers" to encode with the reference, some 80 times slower.'


def _encode_with(tokenizer: Tokenizer, text: pa.LargeStringArray) -> Encoded:
    """By the reference."""
    documents = [tokenizer.encode(value, add_special_tokens=False).ids for value in text.to_pylist()]
    offsets = np.zeros(len(documents) + 1, np.int64)
    np.cumsum([len(ids) for ids in documents], out=offsets[1:])
    flat = [token for ids in documents for token in ids]
    return Encoded(np.array(flat, dtype=np.uint32), offsets)


def _load_fast(text_only: str) -> Any:
    import gigatoken  # here, as awkward below: a third of a second that only encoding needs

    try:
        return gigatoken.Tokenizer.from_json(text_only)
    except Exception as error:  # it raises whatever its Rust side did
        raise InputError(f"gigatoken cannot load this tokenizer.json: {error}. {_SLOW}") from None


def as_bytestrings(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Any:
    """The same buffers as an awkward array of bytestrings, without a copy."""
    import awkward

    content = awkward.contents.NumpyArray(data, parameters={"__array__": "byte"})
    layout = awkward.contents.ListOffsetArray(awkward.index.Index64(offsets), content, parameters={"__array__": "bytestring"})
    return awkward.Array(layout)


def _slices(bounds: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of pieces of about PIECE_BYTES together; at least one piece each."""
    start = 0
    while start < len(bounds) - 1:
        stop = int(np.searchsorted(bounds, bounds[start] + PIECE_BYTES, side="right")) - 1
        stop = max(start + 1, min(stop, len(bounds) - 1))
        yield start, stop
        start = stop


def _places(added: list[dict[str, Any]]) -> Places:
    """Where a text may be cut without tearing an added token for text, which may hold spaces. None takes white space along (see adopt)."""
    if any(re.search(r"\S[ \n]", token["content"]) for token in added):
        return "nowhere"
    return "words" if all(token["content"].isspace() and not token["single_word"] for token in added) else "spaces"


def _knows_digits(added: dict[str, Any]) -> bool:
    """Whether digits around an added token for text, or in it, can decide that it is found."""
    return added["single_word"] or any(digits()[ord(character)] for character in added["content"])


def _without_digits(text_only: str) -> str:
    """The same tokenizer for stretches between digits."""
    return json.dumps({**json.loads(text_only), "pre_tokenizer": GPT2_WORDS}, ensure_ascii=False)


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

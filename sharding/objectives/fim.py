"""Filling in the middle (arXiv 2207.14255) within one chunk, as StarCoder and SantaCoder were trained on it.

    chunk      h h a b c d e f g h i j              head [h h], cuts before c and before g

    PSM        h h <fim_prefix> a b <fim_suffix> g h i j <fim_middle> c d e f [<|endoftext|>]
    SPM        h h <fim_prefix> <fim_suffix> g h i j <fim_middle> a b c d e f [<|endoftext|>]        (variant 2 of the paper)
    codegen2   h h a b <mask_1> g h i j [<|endoftext|>] <sep> <mask_1> c d e f <eom>                 (sentinels = "codegen2")

<|endoftext|> is there only if the document ends with this chunk: elsewhere it would teach that a file ends where a row did. Prefix,
middle or suffix may be empty. Every token is a target, sentinels too (the paper: the loss on all three parts is "crucial").

Both cuts are uniform and independent over the chunk behind its head. Characters are the paper's choice: a model trained on them can go
on from within a word. The text between a cut and the nearest safe places is then encoded anew, so that each part has the ids it has
when somebody types it (cuts.py). That makes an example a few tokens longer; in the rare case of more than GROWTH both cuts are drawn
again, and, after REDRAWS, cut at tokens.

    examples(chunks)                          restore(example) -> the chunk's text, byte for byte; around cuts split into tokens as there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field, model_validator

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES
from contracts.settings import Settings
from contracts.special_tokens import END_OF_MASK, SEP, mask
from sharding.objectives import span_corruption
from sharding.objectives.base import Chunks, Controls, Examples, Restored, offsets_of, plain_examples
from sharding.objectives.cuts import CutPairs, CutUnit, draw_cuts, piece_texts
from sharding.objectives.text import Codec
from sharding.randomness import uniforms
from sharding.token_ids import TokenIds, copy_tokens, put_token

CODE = OBJECTIVES.index("fim")
CAUSAL = OBJECTIVES.index("causal")

PREFIX, MIDDLE, SUFFIX = "<fim_prefix>", "<fim_middle>", "<fim_suffix>"

SENTINELS = {"starcoder": (PREFIX, SUFFIX, MIDDLE), "codegen2": (mask(1), SEP, END_OF_MASK)}
"""Control tokens of each way to write an example."""

PSM, SPM = 1, 2
"""Values of Examples.layout. An example of CodeGen2's sentinels counts as PSM: its parts come in that order."""

GROWTH = 16
"""Most tokens that an example may gain or lose by encoding around its cuts: a cut word costs 1 or 2, so this is seldom met. Room of
the row that is kept for it is filled with other examples. Our choice."""

REDRAWS = 3
"""Times that cuts are drawn at the wanted places before a chunk that keeps growing is cut at tokens. Our choice."""


class FimSettings(Settings):
    """How often, where and in which order."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of chunks that are transformed; the others stay causal (StarCoder and SantaCoder: 0.5; up to 0.9 costs nothing in
    arXiv 2207.14255)."""

    spm_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of transformed chunks whose suffix comes first (StarCoder: 0.5). Must be 0 with CodeGen2's sentinels."""

    cut: CutUnit = "character"
    """Where the parts begin: at any "character", "token" or "line". Characters do best at filling in random spans, and as well as any
    at whole lines (arXiv 2207.14255)."""

    sentinels: Literal["starcoder", "codegen2"] = "starcoder"
    """Control tokens around the parts: <fim_prefix>, <fim_suffix>, <fim_middle>; or <mask_1>, <sep>, <eom>."""

    @property
    def overhead(self) -> int:
        """Most tokens that an example has more than its chunk: sentinels, <|endoftext|>, and what cuts within words may add."""
        return (3 if self.sentinels == "starcoder" else 4) + 1 + (0 if self.cut == "token" else GROWTH)

    @model_validator(mode="after")
    def _orders_exist(self) -> Self:
        if self.sentinels == "codegen2" and self.spm_rate > 0:
            raise ValueError(
                f'fim.spm_rate = {self.spm_rate} with fim.sentinels = "codegen2", which has no order with the suffix first: '
                'set fim.spm_rate = 0 or fim.sentinels = "starcoder"'
            )
        return self


@dataclass(frozen=True)
class Fim:
    """The objective with its settings."""

    settings: FimSettings
    controls: Controls
    codec: Codec

    def __post_init__(self) -> None:
        for name in SENTINELS[self.settings.sentinels]:
            self.controls.need(name, f'fim with sentinels = "{self.settings.sentinels}"')

    @property
    def overhead(self) -> int:
        """See FimSettings.overhead."""
        return self.settings.overhead

    def lengths(self, chunks: Chunks) -> npt.NDArray[np.int64]:
        """Cost: up to 9 ns a token for chunks of 2,048, of which a quarter is encoding around the cuts; nothing to speak of at tokens."""
        return self._lengths(chunks, self._parts(chunks))

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: about 4 ns a token at tokens, 11 at lines and 13 at characters, if all chunks of 2,048 are transformed."""
        parts, codegen2 = self._parts(chunks), self.settings.sentinels == "codegen2"
        offsets = offsets_of(self._lengths(chunks, parts))
        sentinels = np.array([self.controls.ids[name] for name in SENTINELS[self.settings.sentinels]], np.uint32)
        ids = _write(offsets, chunks, parts, sentinels, codegen2, self.controls.end_of_text)
        return _described(plain_examples(CAUSAL, ids, offsets), chunks, parts)

    def _lengths(self, chunks: Chunks, parts: _Parts) -> npt.NDArray[np.int64]:
        lengths: npt.NDArray[np.int64] = chunks.stop - chunks.start + chunks.last
        lengths[parts.chunk] += parts.grown + (4 if self.settings.sentinels == "codegen2" else 3)
        return lengths

    def _parts(self, chunks: Chunks) -> _Parts:
        """Draws 0 and 1 of a chunk's key decide whether and how it is transformed, the others where it is cut."""
        has_text = chunks.stop > chunks.start + chunks.head
        chosen = np.flatnonzero(has_text & (uniforms(chunks.key, 0) < self.settings.rate))
        first, stop, key = (chunks.start + chunks.head)[chosen], chunks.stop[chosen], chunks.key[chosen]
        drawn = stop if chunks.drawn is None else chunks.drawn[chosen]
        parts = _Parts.of(chosen, uniforms(key, 1) < self.settings.spm_rate)
        todo = np.arange(len(chosen))
        for attempt in range(REDRAWS + 2):
            at: CutUnit = self.settings.cut if attempt <= REDRAWS else "token"
            cuts = draw_cuts(chunks.ids, first[todo], stop[todo], drawn[todo], key[todo], 2 + 2 * attempt, at, self.codec.table)
            parts = parts.with_cuts(todo, cuts, *self._encode(chunks.ids, cuts))
            todo = todo[np.abs(parts.grown[todo]) > GROWTH]
            if len(todo) == 0:
                break
        return parts

    def _encode(self, ids: TokenIds, cuts: CutPairs) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Ids of the pieces, and where each of the four of each chunk begins: uint32[tokens], int64[4 c + 1]."""
        if np.array_equal(cuts.left, cuts.right):  # nothing has to be encoded, as at tokens
            return np.zeros(0, np.uint32), np.zeros(4 * len(cuts.left) + 1, np.int64)
        return self.codec.encode(piece_texts(ids, cuts, self.codec.table))


class _Parts(NamedTuple):
    """What becomes of the c chunks that are transformed."""

    chunk: npt.NDArray[np.int64]
    """int64[c]: which chunks these are"""
    spm: npt.NDArray[np.bool_]
    """bool[c]"""
    left: npt.NDArray[np.int64]
    """int64[c, 2]: where encoded text takes the place of the chunk's tokens, around each cut …"""
    right: npt.NDArray[np.int64]
    """int64[c, 2]: … and where it no longer does; see cuts.CutPairs"""
    begin: npt.NDArray[np.int64]
    """int64[c, 4]: first token in `pieces` of each piece"""
    size: npt.NDArray[np.int64]
    """int64[c, 4]: tokens of each piece"""
    grown: npt.NDArray[np.int64]
    """int64[c]: tokens of the pieces less those that they replace"""
    pieces: npt.NDArray[np.uint32]
    """uint32[tokens]: encoded text"""

    @staticmethod
    def of(chunk: npt.NDArray[np.int64], spm: npt.NDArray[np.bool_]) -> _Parts:
        """Chunks that are not cut yet."""
        c = len(chunk)
        two, four = (c, 2), (c, 4)
        places = (np.zeros(two, np.int64), np.zeros(two, np.int64), np.zeros(four, np.int64), np.zeros(four, np.int64))
        return _Parts(chunk, spm, *places, np.zeros(c, np.int64), np.zeros(0, np.uint32))

    def with_cuts(
        self, which: npt.NDArray[np.int64], cuts: CutPairs, pieces: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]
    ) -> _Parts:
        """Some of them cut (again)."""
        self.left[which], self.right[which] = cuts.left, cuts.right
        self.begin[which] = offsets[:-1].reshape(-1, 4) + len(self.pieces)
        self.size[which] = np.diff(offsets).reshape(-1, 4)
        self.grown[which] = self.size[which].sum(axis=1) - cuts.replaced
        return self._replace(pieces=np.concatenate([self.pieces, pieces]))

    @property
    def between(self) -> npt.NDArray[np.int64]:
        """int64[c]: tokens of the middle that stay as they are."""
        between: npt.NDArray[np.int64] = np.maximum(0, self.left[:, 1] - self.right[:, 0])
        return between


def _described(made: Examples, chunks: Chunks, parts: _Parts) -> Examples:
    """What is to be known of examples beside their ids."""
    kind, layout, masked, grown = made.kind.copy(), made.layout.copy(), made.masked.copy(), made.grown.copy()
    middle = (parts.size[:, 1] + parts.size[:, 2] + parts.between).astype(np.int32)
    before = (parts.left[:, 0] - chunks.start[parts.chunk] + parts.size[:, 0]).astype(np.int32)
    kind[parts.chunk], layout[parts.chunk] = CODE, np.where(parts.spm, SPM, PSM)
    masked[parts.chunk], grown[parts.chunk] = middle, parts.grown
    return made._replace(kind=kind, layout=layout, masked=masked, grown=grown, span_lengths=middle, span_starts=before)


def restore(ids: npt.NDArray[np.uint32], controls: Controls) -> Restored:
    """The chunk of an example, in either kind of sentinels.

    Raises ShardError if the example is not whole: sentinels missing, repeated or out of order.
    """
    names = (PREFIX, SUFFIX, MIDDLE)
    if PREFIX not in controls.ids or not (ids == controls.ids[PREFIX]).any():
        return span_corruption.restore(ids, controls)
    places = [np.flatnonzero(ids == controls.need(name, "fim")) for name in names]
    if [len(place) for place in places] != [1, 1, 1] or not places[0] < places[1] < places[2]:
        found = ", ".join(f"{name} at {place.tolist()}" for name, place in zip(names, places, strict=True))
        raise ShardError(f"an infill example needs each of {', '.join(names)} once and in this order; found: {found}.")
    prefix, suffix, middle = (int(place[0]) for place in places)
    last = int(ids[-1]) == controls.end_of_text
    between, after, answer = ids[prefix + 1 : suffix], ids[suffix + 1 : middle], ids[middle + 1 : len(ids) - last]
    return Restored(np.concatenate([ids[:prefix], between, answer, after]), last)  # SPM's answer begins with the prefix


@njit(cache=True, nogil=True)
def _write(
    offsets: npt.NDArray[np.int64],
    chunks: Chunks,
    parts: _Parts,
    sentinels: npt.NDArray[np.uint32],
    codegen2: bool,
    end_of_text: int,
) -> TokenIds:
    out = np.empty(offsets[-1], chunks.ids.dtype)
    c = 0  # the next chunk to be transformed
    for i in range(len(chunks.start)):
        at, transformed, ends = offsets[i], c < len(parts.chunk) and parts.chunk[c] == i, chunks.last[i]
        if not transformed:
            at = copy_tokens(out, at, chunks.ids, chunks.start[i], chunks.stop[i])
        elif codegen2:
            at = _prefix(out, _head(out, at, chunks, i), chunks, parts, c)
            at = _suffix(out, put_token(out, at, sentinels[0]), chunks, parts, c)
            at = put_token(out, at, end_of_text) if ends else at
            at = _middle(out, put_token(out, put_token(out, at, sentinels[1]), sentinels[0]), chunks, parts, c)
            at = put_token(out, at, sentinels[2])
        else:
            at = put_token(out, _head(out, at, chunks, i), sentinels[0])
            at = at if parts.spm[c] else _prefix(out, at, chunks, parts, c)
            at = _suffix(out, put_token(out, at, sentinels[1]), chunks, parts, c)
            at = put_token(out, at, sentinels[2])
            at = _prefix(out, at, chunks, parts, c) if parts.spm[c] else at
            at = _middle(out, at, chunks, parts, c)
        if ends and not (transformed and codegen2):
            put_token(out, at, end_of_text)
        c += transformed
    return out


@njit(cache=True, nogil=True)
def _head(out: TokenIds, at: int, chunks: Chunks, i: int) -> int:
    return copy_tokens(out, at, chunks.ids, chunks.start[i], chunks.start[i] + chunks.head[i])


@njit(cache=True, nogil=True)
def _prefix(out: TokenIds, at: int, chunks: Chunks, parts: _Parts, c: int) -> int:
    i = parts.chunk[c]
    at = copy_tokens(out, at, chunks.ids, chunks.start[i] + chunks.head[i], parts.left[c, 0])
    return _piece(out, at, parts, c, 0)


@njit(cache=True, nogil=True)
def _middle(out: TokenIds, at: int, chunks: Chunks, parts: _Parts, c: int) -> int:
    at = _piece(out, at, parts, c, 1)
    at = copy_tokens(out, at, chunks.ids, parts.right[c, 0], parts.left[c, 1])
    return _piece(out, at, parts, c, 2)


@njit(cache=True, nogil=True)
def _suffix(out: TokenIds, at: int, chunks: Chunks, parts: _Parts, c: int) -> int:
    at = _piece(out, at, parts, c, 3)
    return copy_tokens(out, at, chunks.ids, parts.right[c, 1], chunks.stop[parts.chunk[c]])


@njit(cache=True, nogil=True)
def _piece(out: TokenIds, at: int, parts: _Parts, c: int, k: int) -> int:
    return copy_tokens(out, at, parts.pieces, parts.begin[c, k], parts.begin[c, k] + parts.size[c, k])

"""Cutting documents into chunks whose examples fit a row, and drawing an objective for each document.

A document whose example fits a row is never cut. A longer one is cut from its start, one row after another (`cut_at`):

    "tokens"   ├────────────── a whole row ──────────────┤├────────────── a whole row ──────────────┤├─ rest ─┤
    "lines"    ├────────── to a line end ─────────┤       ├──────────── to a line end ───────────┤    ├── rest ──┤

"tokens" takes as many tokens as make an example of exactly a row, so that only rests are left to be packed; a cut may fall inside a
line, but not inside a character. "lines" goes back from there to the last line end in the second half of the chunk; what it leaves of
the row is often shorter than anything that could fill it (docs/decisions/0014 has both measured).

How long an example is, only its objective knows (spans cost sentinels, a cut inside a word costs tokens), so chunks are found by asking:
all documents' first chunks at once, then all second ones, and so on, a few rounds each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from sharding.objectives.base import Chunks, Objective
from sharding.randomness import chunk_keys, uniforms
from sharding.token_ids import TokenIds

CutAt = Literal["tokens", "lines"]

ROUNDS = 4
"""Questions after which the best answer so far is taken. Nine of ten chunks then fill their row exactly (tested)."""


class Documents(NamedTuple):
    """n encoded documents, or pieces of very long ones."""

    ids: TokenIds
    """uint16|uint32[tokens]"""
    offsets: npt.NDArray[np.int64]
    """int64[n + 1]"""
    doc_id: npt.NDArray[np.uint8]
    """uint8[n, 16]"""
    head: npt.NDArray[np.int64]
    """int64[n]: tokens of the header that stands in front, such as <reponame>…; 0 for most"""
    first: npt.NDArray[np.int64]
    """int64[n]: tokens of the document before this piece; 0 for whole documents"""
    ends: npt.NDArray[np.bool_]
    """bool[n]: whether the document ends with this piece"""
    mixture: npt.NDArray[np.int64]
    """int64[n]: which of the mixtures of objectives it draws from"""

    @staticmethod
    def whole(ids: TokenIds, offsets: npt.NDArray[np.int64], doc_id: npt.NDArray[np.uint8]) -> Documents:
        """Documents without headers, of one mixture."""
        n = len(doc_id)
        none = np.zeros(n, np.int64)
        return Documents(ids, offsets, doc_id, none, none, np.ones(n, np.bool_), none)


class Cuts(NamedTuple):
    """m chunks, in document order."""

    document: npt.NDArray[np.int64]
    """int64[m]"""
    start: npt.NDArray[np.int64]
    """int64[m]: token of the flat ids"""
    stop: npt.NDArray[np.int64]
    """int64[m]"""
    last: npt.NDArray[np.bool_]
    """bool[m]: whether its document ends here"""
    drawn: npt.NDArray[np.int64]
    """int64[m]: as Chunks.drawn"""
    length: npt.NDArray[np.int64]
    """int64[m]: tokens of the chunk's example; -1 where nobody has asked yet"""

    def some(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Cuts:
        """Those at some places, or all in another order."""
        return Cuts._make(column[which] for column in self)

    @staticmethod
    def joined(parts: Sequence[Cuts]) -> Cuts:
        """One behind the other."""
        return Cuts._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


@dataclass(frozen=True)
class Cutter:
    """Cuts for one vocabulary and row length."""

    row_length: int
    """Tokens of a row."""
    cut_at: CutAt
    ends_line: npt.NDArray[np.bool_]
    """bool[vocabulary]: whether a token's text ends with a newline"""
    starts_character: npt.NDArray[np.bool_]
    """bool[vocabulary]: whether a token does not begin inside a character"""

    def cut(
        self,
        documents: Documents,
        keys: npt.NDArray[np.uint64],
        objectives: Sequence[Objective],
        drawn: npt.NDArray[np.int64],
    ) -> Cuts:
        """Chunks of documents whose objective is objectives[drawn[i]], each of which makes an example of a row at most.

        An empty document is one empty chunk. Cost: for each objective a few of its `lengths` a chunk, and for each chunk of the
        longest document about 0.3 ms.
        """
        found = [
            self._of_one(_Open(documents, keys, np.flatnonzero(drawn == number)), objective)
            for number, objective in enumerate(objectives)
        ]
        cuts = Cuts.joined(found)
        return cuts.some(np.lexsort((cuts.start, cuts.document)))

    def _of_one(self, todo: _Open, objective: Objective) -> Cuts:
        """Chunks of some documents, by turns."""
        none = todo.end[:0]
        found = [Cuts(none, none, none, np.zeros(0, np.bool_), none, none)]
        while len(todo.document):
            length = todo.end - todo.at
            short = length <= self.row_length
            length[short] = objective.lengths(todo.some(short).chunks(todo.end[short], todo.ends[short]))
            whole = length <= self.row_length
            stop, drawn, cut = todo.end.copy(), todo.end.copy(), todo.some(~whole)
            stop[~whole], length[~whole] = self._stops(cut, objective)
            drawn[~whole] = stop[~whole] if self.cut_at == "lines" else self._drawn(cut)
            found.append(Cuts(todo.document, todo.at, stop, whole & todo.ends, drawn, length))
            todo = todo.moved(stop).some(~whole)
        return Cuts.joined(found)

    def _stops(self, todo: _Open, objective: Objective) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the next chunk of documents ends that do not fit, and how long its example is, or -1: int64[k] each.

        At least one token is left behind it.
        """
        most = todo.end - 1
        best = self._snapped(todo, np.minimum(todo.at + self.row_length - objective.overhead, most))
        length = np.full(len(best), -1)
        if self.cut_at == "lines":
            return best, length
        stop, unsure = best.copy(), np.arange(len(best))
        for _ in range(ROUNDS):
            some = todo.some(unsure)
            missing = self.row_length - objective.lengths(some.chunks(stop, np.zeros(len(unsure), np.bool_), self._drawn(some)))
            better = (missing >= 0) & (stop >= best[unsure])
            best[unsure[better]] = stop[better]
            length[unsure[better]] = self.row_length - missing[better]
            following = self._snapped(some, np.minimum(stop + missing, most[unsure]))
            again = (following != stop) & (following > best[unsure])
            unsure, stop = unsure[again], following[again]
            if len(unsure) == 0:
                break
        return best, length

    def _drawn(self, todo: _Open) -> npt.NDArray[np.int64]:
        """int64[k]: where the stretch ends that the next chunk's random places are drawn from."""
        return np.minimum(todo.at + self.row_length, todo.end)

    def _snapped(self, todo: _Open, stop: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The last place up to `stop` where a cut may be; `stop` itself where there is none."""
        return _snap(todo.documents.ids, todo.at, stop, self.starts_character, self.ends_line, self.cut_at == "lines")


class _Open:
    """Documents that still have tokens to be put into chunks, from `at` on."""

    def __init__(
        self,
        documents: Documents,
        keys: npt.NDArray[np.uint64],
        document: npt.NDArray[np.int64],
        at: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.documents, self.keys, self.document = documents, keys, document
        self.begin, self.end = documents.offsets[document], documents.offsets[document + 1]
        self.at = self.begin if at is None else at
        self.ends = documents.ends[document]

    def some(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> _Open:
        """Those at some places."""
        return _Open(self.documents, self.keys, self.document[which], self.at[which])

    def moved(self, at: npt.NDArray[np.int64]) -> _Open:
        """The same documents, further on."""
        return _Open(self.documents, self.keys, self.document, at)

    def chunks(
        self, stop: npt.NDArray[np.int64], last: npt.NDArray[np.bool_], drawn: npt.NDArray[np.int64] | None = None
    ) -> Chunks:
        """The chunks from here to `stop`."""
        unknown = np.full(len(stop), -1)
        return chunks_of(
            self.documents, self.keys, Cuts(self.document, self.at, stop, last, stop if drawn is None else drawn, unknown)
        )


def chunks_of(documents: Documents, keys: npt.NDArray[np.uint64], cuts: Cuts) -> Chunks:
    """What an objective is to know of chunks; `keys` are the documents'."""
    begin = documents.offsets[cuts.document]
    within = cuts.start - begin
    key = chunk_keys(keys[cuts.document], documents.first[cuts.document] + within)
    head = np.clip(documents.head[cuts.document] - within, 0, cuts.stop - cuts.start)  # of a long header more than the first chunk
    return Chunks(documents.ids, cuts.start, cuts.stop, cuts.last, key, begin, head, cuts.drawn)


def draw_objectives(
    keys: npt.NDArray[np.uint64], weights: npt.NDArray[np.float64], mixture: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64[n]: for each document the index of an objective, with probability proportional to weights[mixture[i]].

    `weights` float64[mixtures, objectives], `mixture` int64[n].
    """
    edges = np.cumsum(weights, axis=1) / np.sum(weights, axis=1, keepdims=True)
    beyond: npt.NDArray[np.int64] = (uniforms(keys, 0)[:, None] >= edges[mixture]).sum(axis=1)
    drawn: npt.NDArray[np.int64] = np.minimum(beyond, weights.shape[1] - 1)
    return drawn


@njit(cache=True, nogil=True)
def _snap(
    ids: TokenIds,
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    starts_character: npt.NDArray[np.bool_],
    ends_line: npt.NDArray[np.bool_],
    lines: bool,
) -> npt.NDArray[np.int64]:
    out = stop.copy()
    for i in range(len(stop)):
        half = start[i] + (stop[i] - start[i]) // 2
        if lines:
            for j in range(stop[i], half, -1):
                if ends_line[ids[j - 1]] and starts_character[ids[j]]:
                    out[i] = j
                    break
            if out[i] < stop[i]:
                continue
        for j in range(stop[i], half, -1):
            if starts_character[ids[j]]:
                out[i] = j
                break
    return out

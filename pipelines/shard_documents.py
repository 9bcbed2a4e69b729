"""The documents of a shard, encoded, a window at a time.

    range ─▶ row groups of its parts ─▶ documents that begin in it ─▶ pieces of very long ones ─▶ ids ─▶ windows of equal size

A document of more than PIECE_BYTES is encoded and packed piece by piece, so memory does not grow with it. Pieces end where
tokenizer.pieces allows it, those of conversations where turns begin, so their ids are those of the whole document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.arrow_text import text_buffers
from pipelines.corpus import Corpus, column
from pipelines.counts import add_up
from pipelines.marked_text import MarkedIds, cut_at_turns, marks_of_pieces
from pipelines.shard_plan import Range, doc_ids, languages_of, strata_of, text_bytes
from sharding.chunks import Documents
from sharding.config import ShardSettings
from sharding.token_ids import checked_ids
from sharding.whereabouts import among
from tokenizer.pieces import Places, cut

Int64 = npt.NDArray[np.int64]

PIECE_BYTES = 8 * 2**20
"""Text that is encoded at once, if it is one document."""


Encode = Callable[[pa.Table, bool], MarkedIds]
"""Encodes documents; the flag says whether they begin with their first byte, so that they may have headers."""


class Window(NamedTuple):
    """Documents that are packed together."""

    documents: Documents
    languages: dict[str, Any]
    """By language: documents, text_tokens, bytes."""


@dataclass(frozen=True)
class DocumentReader:
    """Reads and encodes what a range holds."""

    corpus: Corpus
    settings: ShardSettings
    columns: tuple[str, ...]
    """At least doc_id, text and language."""
    encode: Encode
    places: Places
    """Where the vocabulary allows long documents to be cut."""
    vocab_size: int
    seed: int
    forgotten: npt.NDArray[np.uint8]
    """uint8[n, 16], ascending: documents that must not come back; they keep their place in the ranges."""

    def windows(self, wanted: Range) -> Iterator[Window]:
        """Windows of about `window_bytes`, in order; none if no document begins in the range."""
        held: list[Window] = []
        current = 0
        for number, part in self._encoded(wanted):
            if number != current and held:
                yield _joined(held)
            current = number
            held.append(part)
        if held:
            yield _joined(held)

    def _encoded(self, wanted: Range) -> Iterator[tuple[int, Window]]:
        """Parts of windows, by the number of their window."""
        count = max(1, round(wanted.bytes / self.settings.window_bytes))
        size = max(1, -(-wanted.bytes // count))
        for table, rows, at, source in self._tables(wanted):
            window = np.minimum((at - wanted.start) // size, count - 1)
            long = text_bytes(table)[rows] > PIECE_BYTES
            # A run: documents of one window that follow one another, or one long document.
            begins = np.flatnonzero(np.concatenate([[True], (window[1:] != window[:-1]) | long[1:] | long[:-1]]))
            for first, stop in zip(begins.tolist(), [*begins[1:].tolist(), len(rows)], strict=True):
                run = _those(table, rows[first:stop])
                if not long[first]:
                    yield int(window[first]), self._window(run, source, self.encode(run, True))
                    continue
                for offset, piece in self._pieces(run, source):
                    yield max(int(window[first]), (int(at[first]) + offset - wanted.start) // size), piece

    def _tables(self, wanted: Range) -> Iterator[tuple[pa.Table, Int64, Int64, str]]:
        """A row group at a time: (documents, int64[n] rows of those that begin in the range, where in the stratum each begins, source)."""
        parts = self.corpus.parts()
        for number, of_part in groupby(wanted.groups, key=lambda group: group[0]):
            source, before = parts[number].stratum, {group: at for _, group, at in of_part}
            for group, table, kept in self.corpus.groups(parts[number], self.columns, before):
                names, of = strata_of(table, source, self.settings, self.seed)
                mine = kept & (of == (names.index(wanted.stratum) if wanted.stratum in names else -1))
                length = np.where(mine, text_bytes(table), 0)
                begin = before[group] + np.cumsum(length) - length
                mine &= (begin >= wanted.start) & (begin < wanted.stop)
                mine &= ~among(doc_ids(table), self.forgotten)
                if mine.any():
                    yield table, np.flatnonzero(mine), begin[mine], source

    def _pieces(self, document: pa.Table, source: str) -> Iterator[tuple[int, Window]]:
        """(bytes before it, piece) for a long document."""
        data, offsets = text_buffers(column(document, "text"))
        data = data[offsets[0] : offsets[1]]
        marks = column(document, "marks")
        bounds = cut_at_turns(marks, len(data), PIECE_BYTES)
        if bounds is None:
            bounds = cut(data, np.array([0, len(data)], np.int64), PIECE_BYTES, self.places)[0]
        place, tokens = document.schema.get_field_index("text"), 0
        for (begin, end), of_piece in zip(pairwise(bounds.tolist()), marks_of_pieces(marks, bounds), strict=True):
            part = pa.LargeStringArray.from_buffers(
                1, pa.py_buffer(np.array([0, end - begin], np.int64)), pa.py_buffer(data[begin:end])
            )
            table = document.set_column(place, document.schema.field("text"), part)
            table = table.set_column(document.schema.get_field_index("marks"), document.schema.field("marks"), of_piece)
            window = self._window(table, source, self.encode(table, begin == 0), tokens, end == len(data))
            tokens += len(window.documents.ids)
            yield begin, window

    def _window(self, table: pa.Table, source: str, encoded: MarkedIds, first: int = 0, ends: bool = True) -> Window:
        n = table.num_rows
        names, language = languages_of(table)
        mixture = np.array([self.settings.mixture_of(source, name) for name in names], np.int64)[language]
        ids = checked_ids(encoded.ids, self.vocab_size)
        heads, firsts, last = encoded.head, np.full(n, first), np.full(n, ends, np.bool_)
        documents = Documents(ids, encoded.offsets, doc_ids(table), heads, firsts, last, mixture)
        return Window(documents, _by_language(names, language, documents, text_bytes(table)))


def _those(table: pa.Table, rows: Int64) -> pa.Table:
    """Rows of a table, ascending; without a copy if they follow one another."""
    span = table.slice(int(rows[0]), int(rows[-1] - rows[0]) + 1)
    if span.num_rows == len(rows):
        return span
    wanted = np.zeros(span.num_rows, np.bool_)
    wanted[rows - rows[0]] = True
    return span.filter(pa.array(wanted)).combine_chunks()


def _joined(windows: list[Window]) -> Window:
    """One behind the other. Empties the list, so that nothing is held twice while the window is worked on."""
    parts = [window.documents for window in windows]
    languages = add_up(window.languages for window in windows)
    windows.clear()
    ends = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = np.concatenate([np.zeros(1, np.int64), *(part.offsets[1:] + end for part, end in zip(parts, ends, strict=False))])
    rest = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Documents._fields
        if name not in ("ids", "offsets")
    }
    return Window(Documents(ids=np.concatenate([part.ids for part in parts]), offsets=offsets, **rest), languages)


def _by_language(
    names: list[str], language: npt.NDArray[np.int64], documents: Documents, sizes: npt.NDArray[np.int64]
) -> dict[str, Any]:
    columns = {"documents": documents.ends.astype(np.int64), "text_tokens": np.diff(documents.offsets), "bytes": sizes}
    sums = {key: np.bincount(language, weights=values, minlength=len(names)) for key, values in columns.items()}
    return {name: {key: int(sums[key][code]) for key in columns} for code, name in enumerate(names)}

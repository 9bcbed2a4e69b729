r"""Documents with control tokens in and before them, as token ids.

    text    def f(x): …                                      the encoder's ids, as they are
    marks   It breaks | No, it does not |                    each stretch encoded by itself, control ids between
    header  <reponame> me/lib <gh_stars> 10-100 | \n | text  control ids and encoded words in front (sharding.headers)

What stands between two control tokens is encoded alone, so it has the ids it would have in a document of its own, and decoding the ids
without header and control tokens gives the text back. Marks cost one insertion into the ids; texts are never copied. Documents without
marks and headers cost nothing more than the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_text import text_buffers
from contracts.errors import InputError
from contracts.schemas import MARK, MARKS
from contracts.special_tokens import ASSISTANT, SYSTEM, USER
from sharding.headers import FIELDS, Headers
from tokenizer.encode import Encoded

Encode = Callable[[pa.LargeStringArray], Encoded]
Int64 = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint32]

NEWLINE = "\n"

ROLES = (SYSTEM, USER, ASSISTANT)
"""Marks with which a turn of a conversation begins."""


class MarkedIds(NamedTuple):
    """Token ids of n documents, one behind the other."""

    ids: Ids
    """uint32[tokens]"""
    offsets: Int64
    """int64[n + 1]: document i is ids[offsets[i]:offsets[i + 1]]"""
    head: Int64
    """int64[n]: how many of each document's tokens are its header."""


def encode_marked(
    encode: Encode, text: pa.LargeStringArray, marks: pa.ListArray, headers: Headers | None, control_ids: Mapping[str, int]
) -> MarkedIds:
    """Ids of n documents with their marks (contracts.schemas.MARKS[n]) and headers.

    Two calls of the encoder at most: one for the texts, one for the distinct words of headers. Raises InputError for marks that stand at
    no place of their text, or whose token the vocabulary has not got.
    """
    ids, offsets = encode_with_marks(encode, text, marks, control_ids)
    if headers is None or not headers.shown.any():
        return MarkedIds(ids, offsets, np.zeros(len(text), np.int64))
    return with_headers(encode, Encoded(ids, offsets), headers, control_ids)


def encode_with_marks(encode: Encode, text: pa.LargeStringArray, marks: pa.ListArray, control_ids: Mapping[str, int]) -> Encoded:
    """Ids of n documents with their marks, as `encode_marked`, without headers."""
    found = marks.flatten()
    if len(found) == 0:
        return encode(text)
    counts = np.asarray(pc.list_value_length(marks), np.int64)
    before = _running(counts)
    document = np.repeat(np.arange(len(text)), counts)
    following = document + np.arange(len(found)) + 1  # the stretch behind each mark: one for each document and mark before it
    encoded = encode(_stretches(text, np.asarray(found.field("at")), document, following, before))
    controls = _control_ids(found.field("token"), control_ids)
    ids = np.insert(encoded.ids, encoded.offsets[following], controls)
    return Encoded(ids, encoded.offsets[np.arange(len(text) + 1) + before] + before)


def with_headers(encode: Encode, encoded: Encoded, headers: Headers, control_ids: Mapping[str, int]) -> MarkedIds:
    """Encoded documents with their headers in front; one epoch's headers, where another's go before the same ids."""
    n = len(encoded.offsets) - 1
    pool, pieces = _words(encode, headers, control_ids)
    shown = np.column_stack([headers.shown, headers.shown.any(axis=1)])  # the newline comes last
    document, field = np.nonzero(shown)  # row by row: the order of the header's pieces
    piece = pieces[document, field]
    lengths = np.diff(pool.offsets)[piece]
    head = np.bincount(document, lengths, n).astype(np.int64)
    within = np.arange(lengths.sum()) - np.repeat(_running(lengths)[:-1], lengths)
    tokens = pool.ids[np.repeat(pool.offsets[piece], lengths) + within]
    ids = np.insert(encoded.ids, np.repeat(encoded.offsets[:-1], head), tokens)
    return MarkedIds(ids, encoded.offsets + _running(head), head)


def marks_of_pieces(marks: pa.ListArray, bounds: Int64) -> Iterator[pa.ListArray]:
    """MARKS[1] of each piece of a document: those of its bytes [bounds[i], bounds[i + 1]), counted from there; the last has its end's too.

    `marks`: MARKS[1], of the whole document.
    """
    found = marks.flatten()
    at, token = np.asarray(found.field("at")), found.field("token")
    edges = np.searchsorted(at, bounds)
    edges[-1] = len(at)
    for begin, (first, stop) in zip(bounds.tolist(), pairwise(edges.tolist()), strict=False):
        of_piece = pa.StructArray.from_arrays([pa.array(at[first:stop] - begin), token[first:stop]], fields=list(MARK))
        yield pa.ListArray.from_arrays(pa.array([0, stop - first], pa.int32()), of_piece, type=MARKS)


def cut_at_turns(marks: pa.ListArray, size: int, most: int) -> Int64 | None:
    """Bounds of pieces of a conversation of `size` bytes, each about `most` long; None for a document that is none.

    Only the mark of a role begins a piece, so that whether an answer is being given is known from the piece alone. A turn of more than
    `most` is one piece.
    """
    found = marks.flatten()
    turns = np.asarray(found.field("at"))[np.asarray(pc.is_in(found.field("token"), pa.array(ROLES)), np.bool_)]
    if not len(turns):
        return None
    bounds = [0]
    while (following := int(np.searchsorted(turns, bounds[-1] + most))) < len(turns):
        bounds.append(int(turns[following]))
    return np.array([*bounds, size], np.int64)


def _stretches(text: pa.LargeStringArray, at: Int64, document: Int64, following: Int64, before: Int64) -> pa.LargeStringArray:
    """The texts cut at the marks, n + marks of them, over the same bytes. Raises InputError for a mark that is not inside its text.

    `following`: int64[marks], the stretch that begins at each mark; `before`: int64[n + 1], marks before each document.
    """
    data, offsets = text_buffers(text)
    place = offsets[document] + at
    begins = np.empty(len(offsets) + len(at), np.int64)
    begins[np.arange(len(offsets)) + before] = offsets
    begins[following] = place
    torn = np.flatnonzero(place < offsets[document + 1])
    torn = torn[(data[place[torn]] & 0xC0) == 0x80]  # a byte that continues a character
    if len(torn) or np.any(np.diff(begins) < 0):
        raise InputError(
            "The marks of a document must stand in its text, in ascending order, and not within a character; "
            f"{len(torn)} of {len(at)} stand within one. The documents were not written by the curate stage: run it again."
        )
    return pa.LargeStringArray.from_buffers(len(begins) - 1, pa.py_buffer(begins), text.buffers()[2])


def _words(encode: Encode, headers: Headers, control_ids: Mapping[str, int]) -> tuple[Encoded, Int64]:
    """Ids of what headers are made of, each distinct piece once, control token included; and who has which.

    int64[n, 4]: the piece of each of a document's fields, and of the newline.
    """
    shown = [pc.if_else(pa.array(headers.shown[:, i]), words, "").dictionary_encode() for i, words in enumerate(headers.words)]
    distinct = [each.dictionary for each in shown]
    sizes = [len(each) for each in distinct]
    encoded = encode(pa.concat_arrays([*distinct, pa.array([NEWLINE])]).cast(pa.large_string()))
    controls = np.repeat(np.array([control_ids[field] for field in FIELDS], np.uint32), sizes)
    ids = np.insert(encoded.ids, encoded.offsets[:-2], controls)
    first = _running(np.array(sizes))
    pieces = [np.asarray(each.indices) + start for each, start in zip(shown, first[:-1], strict=True)]
    newline = np.full(len(headers.shown), first[-1])
    offsets = encoded.offsets + np.minimum(np.arange(len(encoded.offsets)), first[-1])
    return Encoded(ids, offsets), np.column_stack([*pieces, newline]).astype(np.int64)


def _control_ids(tokens: pa.StringArray, control_ids: Mapping[str, int]) -> Ids:
    """uint32[marks], from string[marks]. Raises InputError for a token that is none."""
    encoded = tokens.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if missing := [name for name in names if name not in control_ids]:
        raise InputError(
            f"Documents hold control tokens that the vocabulary has not got: {', '.join(sorted(missing))}. Use a layout that has them, or "
            'read their source with serialised = "" or another shape.'
        )
    ids: Ids = np.array([control_ids[name] for name in names], np.uint32)[np.asarray(encoded.indices)]
    return ids


def _running(lengths: Int64) -> Int64:
    """int64[n + 1]: sums of what comes before."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

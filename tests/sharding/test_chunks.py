from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.special_tokens import END_OF_TEXT, control_tokens
from sharding.chunks import CutAt, Cuts, Cutter, Documents, chunks_of, draw_objectives
from sharding.objectives.base import Controls, Objective
from sharding.objectives.causal import Causal
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.randomness import document_keys

NEWLINE = 7
INSIDE = 9
"""A token that begins inside a character."""

ORDINARY = 10
CONTROLS = Controls.of({name: ORDINARY + i for i, name in enumerate([END_OF_TEXT, *control_tokens(8)])})
VOCAB = ORDINARY + 100
CAUSAL = Causal(CONTROLS)
SPANS = SpanCorruption(SpanCorruptionSettings(max_spans=4, max_span_length=6), CONTROLS)
OBJECTIVES: list[Objective] = [CAUSAL, SPANS]


def cutter(row_length: int, cut_at: CutAt = "tokens") -> Cutter:
    return Cutter(row_length, cut_at, np.arange(VOCAB) == NEWLINE, np.arange(VOCAB) != INSIDE)


def documents_of(texts: list[list[int]]) -> Documents:
    ids = np.array([token for text in texts for token in text], np.uint32)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    doc_id = np.arange(16 * len(texts), dtype=np.int64).astype(np.uint8).reshape(-1, 16)
    return Documents.whole(ids, offsets, doc_id)


def cut(documents: Documents, row_length: int, cut_at: CutAt, drawn: npt.NDArray[np.int64]) -> tuple[Cuts, npt.NDArray[np.int64]]:
    """The chunks, and the length of each one's example."""
    keys = document_keys(documents.doc_id, 0, 0)
    cuts = cutter(row_length, cut_at).cut(documents, keys, OBJECTIVES, drawn)
    length = np.zeros(len(cuts.document), np.int64)
    for number, objective in enumerate(OBJECTIVES):
        mine = drawn[cuts.document] == number
        length[mine] = objective.lengths(chunks_of(documents, keys, cuts.some(mine)))
    return cuts, length


texts = st.lists(st.lists(st.integers(0, 9), max_size=150), min_size=1, max_size=6)


@given(texts, st.integers(24, 60), st.sampled_from(["tokens", "lines"]), st.integers(0, 2**6 - 1))
def test_chunks_tile_documents_and_their_examples_fit_a_row(
    texts: list[list[int]], row_length: int, cut_at: CutAt, choice: int
) -> None:
    documents = documents_of(texts)
    drawn = np.array([choice >> i & 1 for i in range(len(texts))])
    cuts, length = cut(documents, row_length, cut_at, drawn)
    assert (length <= row_length).all()
    for i, text in enumerate(texts):
        mine = np.flatnonzero(cuts.document == i)
        assert [token for k in mine for token in documents.ids[cuts.start[k] : cuts.stop[k]].tolist()] == text
        assert cuts.last[mine].tolist() == [False] * (len(mine) - 1) + [True]
        assert all(cuts.stop[k] > cuts.start[k] for k in mine) or not text, "no empty chunk but that of an empty document"


@given(texts, st.integers(24, 60))
def test_a_document_is_cut_only_if_its_example_does_not_fit(texts: list[list[int]], row_length: int) -> None:
    documents = documents_of(texts)
    drawn = np.arange(len(texts)) % 2
    cuts, _ = cut(documents, row_length, "tokens", drawn)
    keys = document_keys(documents.doc_id, 0, 0)
    for i in range(len(texts)):
        end = documents.offsets[i + 1 : i + 2]
        whole = Cuts(np.array([i]), documents.offsets[i : i + 1], end, np.array([True]), end, np.array([-1]))
        fits = OBJECTIVES[drawn[i]].lengths(chunks_of(documents, keys, whole))[0] <= row_length
        assert fits == (np.sum(cuts.document == i) == 1)


@given(st.integers(0, 2000), st.integers(24, 60))
def test_causal_documents_are_cut_into_as_few_chunks_as_can_be(tokens: int, row_length: int) -> None:
    cuts, length = cut(documents_of([[1] * tokens]), row_length, "tokens", np.array([0]))
    assert len(cuts.document) == max(1, -(-(tokens + 1) // row_length))
    assert (length[:-1] == row_length).all() or tokens % row_length == 0, (
        "only where <|endoftext|> would be alone is a token left to it"
    )


def test_corrupted_chunks_of_long_documents_fill_their_rows() -> None:
    cuts, length = cut(documents_of([[i % 7 for i in range(30_000)] for _ in range(8)]), 512, "tokens", np.ones(8, np.int64))
    inner = length[~cuts.last]
    assert (inner == 512).mean() > 0.9
    assert (512 - inner).mean() < 0.5


@given(st.lists(st.sampled_from([0, 1, INSIDE]), min_size=100, max_size=300), st.sampled_from(["tokens", "lines"]))
def test_no_cut_falls_inside_a_character(text: list[int], cut_at: CutAt) -> None:
    cuts, _ = cut(documents_of([text]), 40, cut_at, np.array([0]))
    for k in np.flatnonzero(~cuts.last):
        within = np.array(text[cuts.start[k] + (cuts.stop[k] - cuts.start[k]) // 2 : cuts.stop[k] + 1])
        assert text[cuts.stop[k]] != INSIDE or (within[1:] == INSIDE).all(), "only where a character fills half a row"


@given(st.lists(st.integers(0, 8), min_size=100, max_size=300))
def test_lines_are_kept_whole_where_the_second_half_of_a_row_has_a_line_end(text: list[int]) -> None:
    cuts, _ = cut(documents_of([text]), 40, "lines", np.array([0]))
    for k in np.flatnonzero(~cuts.last):
        start, stop = int(cuts.start[k]), int(cuts.stop[k])
        most = min(start + 39, len(text) - 1)
        assert text[stop - 1] == NEWLINE or NEWLINE not in text[start + (most - start) // 2 : most]


def test_pieces_of_a_document_end_without_its_end() -> None:
    whole = documents_of([[1] * 100, [2] * 50])
    pieces = whole._replace(ends=np.array([False, True]), first=np.array([0, 100]))
    cuts, _ = cut(pieces, 40, "tokens", np.zeros(2, np.int64))
    assert cuts.last.tolist() == [False, False, False, False, True]


def test_a_header_belongs_to_the_first_chunk() -> None:
    documents = documents_of([[1] * 100])._replace(head=np.array([12]))
    keys = document_keys(documents.doc_id, 0, 0)
    cuts, _ = cut(documents, 40, "tokens", np.array([0]))
    assert chunks_of(documents, keys, cuts).head.tolist() == [12, 0, 0]
    long = documents._replace(head=np.array([55]))
    assert chunks_of(long, keys, cutter(40).cut(long, keys, OBJECTIVES, np.array([0]))).head.tolist() == [40, 15, 0], (
        "it may take more"
    )


def test_objectives_are_drawn_by_weight_and_by_key() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 40_000, dtype=np.uint64)
    weights, mixture = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0]]), np.arange(40_000) % 2
    drawn = draw_objectives(keys, weights, mixture)
    assert (drawn[1::2] == 2).all()
    assert (drawn[::2] == 1).mean() == pytest.approx(0.75, abs=0.01)
    assert not (drawn[::2] == 2).any()
    assert draw_objectives(keys[::-1].copy(), weights, mixture[::-1]).tolist() == drawn[::-1].tolist()

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ShardError
from sharding.packing import Packed, best_fit, pour


def best_fit_by_hand(lengths: list[int], row_length: int) -> list[tuple[int, int]]:
    """Longest first, into the fullest open row that has room; of equally full ones the one that has waited longest."""
    rooms: list[tuple[int, int, int]] = []  # (room, waiting since, row)
    placed: dict[int, tuple[int, int]] = {}
    rows = 0
    for clock, i in enumerate(sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))):
        fitting = [entry for entry in rooms if entry[0] >= max(1, lengths[i])]
        chosen = min(fitting) if fitting else (row_length, clock, rows)
        if fitting:
            rooms.remove(chosen)
        else:
            rows += 1
        room, _, row = chosen
        placed[i] = (row, row_length - room)
        if room - lengths[i] > 0:
            rooms.append((room - lengths[i], clock, row))
    return [placed[i] for i in range(len(lengths))]


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(40, 64))
def test_equals_best_fit_by_hand(lengths: list[int], row_length: int) -> None:
    packed = best_fit(np.array(lengths, np.int64), row_length)
    assert list(zip(packed.row.tolist(), packed.start.tolist(), strict=True)) == best_fit_by_hand(lengths, row_length)


def test_a_window_of_ten_thousand_documents_leaves_almost_no_padding() -> None:
    # Log-normal lengths as measured on real code (mean 1,608 tokens), longer ones cut.
    lengths = np.exp(np.random.default_rng(0).normal(6.6, 1.25, 10_000)).astype(np.int64)
    lengths = np.concatenate([np.minimum(lengths, 2049), lengths[lengths > 2049] % 2049])
    packed = best_fit(lengths, 2049)
    assert 1 - lengths.sum() / (packed.rows * 2049) < 0.0004


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ShardError, match=r"65 tokens does not fit a row of 64"):
        best_fit(np.array([3, 65]), 64)


def test_nothing_to_pack() -> None:
    assert best_fit(np.zeros(0, np.int64), 64).rows == 0


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 16), max_size=8))
def test_pouring_fills_every_room_in_order(lengths: list[int], filled: list[int]) -> None:
    packed = Packed(np.arange(len(filled)), np.zeros(len(filled), np.int64), len(filled))
    poured = pour(np.array(lengths, np.int64), packed, np.array(filled, np.int64), 16)
    places = [(row, place) for row in range(len(filled)) for place in range(filled[row], 16)]
    places += [(row, place) for row in range(len(filled), poured.rows) for place in range(16)]
    tokens = [(document, token) for document, length in enumerate(lengths) for token in range(length)]
    assert len(tokens) <= len(places)
    assert poured.rows == len(filled) or len(places) - len(tokens) < 16, "no more rows than needed"
    found = {}
    for document, start, length, row, at in zip(*(column.tolist() for column in poured[:5]), strict=True):
        assert length > 0
        found.update({(row, at + i): (document, start + i) for i in range(length)})
    assert found == dict(zip(places, tokens, strict=False))

"""Buckets and candidate pairs against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from dedup.banding import Banding
from dedup.lsh import band_keys, candidate_pairs, unique_pairs

entries = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30)), max_size=80)
node_pairs = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=30)


def pairs_of(entries: list[tuple[int, int]], cap: int) -> np.ndarray:
    keys = np.array([key for key, _ in entries], np.uint64)
    return candidate_pairs(keys, np.array([node for _, node in entries], np.int64), cap)


def brute_force(entries: list[tuple[int, int]], cap: int) -> list[list[int]]:
    pairs = set()
    for key in {key for key, _ in entries}:
        bucket = sorted({node for other, node in entries if other == key})
        for position, node in enumerate(bucket):
            pairs |= {(other, node) for other in bucket[: min(position, cap)]}
    return sorted(map(list, pairs))


@given(entries=entries, cap=st.integers(1, 40))
def test_candidates_equal_brute_force(entries: list[tuple[int, int]], cap: int) -> None:
    assert pairs_of(entries, cap).tolist() == brute_force(entries, cap)


@given(entries=entries, cap=st.integers(1, 10), data=st.data())
def test_order_of_the_input_does_not_matter(entries: list[tuple[int, int]], cap: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    np.testing.assert_array_equal(pairs_of(entries, cap), pairs_of(shuffled, cap))


def test_small_buckets_give_all_pairs_and_big_ones_linearly_many() -> None:
    assert pairs_of([(1, node) for node in range(65)], 64).tolist() == [list(pair) for pair in combinations(range(65), 2)]
    assert len(pairs_of([(1, node) for node in range(10_000)], 64)) == 64 * 63 // 2 + 64 * (10_000 - 64)


@given(first=node_pairs, second=node_pairs)
def test_unique_pairs(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    arrays = [np.array(pairs, np.int64).reshape(-1, 2) for pairs in (first, second)]
    assert unique_pairs(*arrays).tolist() == sorted(map(list, set(first + second)))


def test_no_pairs() -> None:
    assert unique_pairs().shape == (0, 2)
    assert pairs_of([], 4).shape == (0, 2)


@given(rows=st.integers(1, 4), data=st.data())
def test_keys_are_equal_where_bands_are(rows: int, data: st.DataObject) -> None:
    bands = Banding(3, rows)
    values = np.array(
        data.draw(st.lists(st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=2, max_size=12)), np.uint32
    )
    for band in range(bands.bands):
        keys, columns = band_keys(values, bands, band), values[:, band * rows : (band + 1) * rows].tolist()
        for i, j in combinations(range(len(values)), 2):
            assert (keys[i] == keys[j]) == (columns[i] == columns[j])


def test_equal_bands_of_different_number_have_different_keys() -> None:
    values = np.full((1, 6), 9, np.uint32)
    assert len({int(band_keys(values, Banding(3, 2), band)[0]) for band in range(3)}) == 3


def test_what_does_not_exist_is_refused() -> None:
    values = np.zeros((1, 6), np.uint32)
    with pytest.raises(ConfigError, match="band 3 does not exist: there are 3"):
        band_keys(values, Banding(3, 2), 3)
    with pytest.raises(ConfigError, match="need 8 permutations, the signatures have 6"):
        band_keys(values, Banding(4, 2), 0)
    with pytest.raises(ConfigError, match="cap = 0"):
        pairs_of([(1, 1)], 0)

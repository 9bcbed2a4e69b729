from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sharding.permutation import Permutation

INDICES = st.lists(st.integers(0, 2**62 - 1), min_size=1, max_size=20)


@given(size=st.integers(1, 3000), key=st.integers())
def test_it_is_a_bijection(size: int, key: int) -> None:
    everything = np.arange(size)
    shuffled = Permutation(size, key)(everything)
    assert np.array_equal(np.sort(shuffled), everything)


@given(size=st.one_of(st.integers(1, 2**62), st.sampled_from([2**31 + d for d in (-1, 0, 1)] + [2**40, 2**62])), indices=INDICES)
def test_the_inverse_undoes_it_at_any_size(size: int, indices: list[int]) -> None:
    permutation = Permutation(size, "key", 7)
    index = np.array(indices, np.int64) % size
    place = permutation(index)
    assert place.min() >= 0
    assert place.max() < size
    assert np.array_equal(permutation.inverse(place), index)
    assert np.array_equal(permutation(permutation.inverse(index)), index)


def test_its_values_are_part_of_the_format() -> None:
    assert Permutation(10, "split", "code", 0)(np.arange(10)).tolist() == [5, 2, 6, 1, 9, 4, 3, 8, 7, 0]
    assert Permutation(2**40, 1)(np.array([0, 1, 2**39])).tolist() == [524583714475, 254569065002, 633230502757]


@pytest.mark.parametrize("size", [2, 3, 5, 6, 10, 20])
def test_every_index_reaches_every_place_equally_often(size: int) -> None:
    counts, index = np.zeros((size, size)), np.arange(size)
    for key in range(2000):
        counts[index, Permutation(size, key)(index)] += 1
    expected = 2000 / size
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, (size - 1) ** 2) > 1e-3


def test_neighbours_land_independently() -> None:
    size = 100_003
    place = Permutation(size, 0)(np.arange(size))
    for lag in (1, 2, 3, 317):  # 317: the grid's side
        correlation = np.corrcoef(place[:-lag], place[lag:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(size)
    grid, *_ = np.histogram2d(place[:-1], place[1:], bins=20)
    assert stats.chisquare(grid.ravel()).pvalue > 1e-3


def test_blocks_of_indices_spread_evenly() -> None:
    place = Permutation(2**40 - 87, 3)(np.arange(200_000) + 2**39)
    assert stats.chisquare(np.bincount(place * 1000 // 2**40, minlength=1000)).pvalue > 1e-3


def test_keys_give_unrelated_orders() -> None:
    index = np.arange(10_007)
    orders = [Permutation(10_007, *key)(index) for key in [(0,), (1,), ("0",), (0, 0), (0, "a", 1), (0, "a", 2)]]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).sum() < 10
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_what_lies_outside_is_refused() -> None:
    for index in (-1, 10):
        with pytest.raises(IndexError, match="permutation of 10"):
            Permutation(10)(np.array([index]))
    for size in (0, -1, 2**62 + 1):
        with pytest.raises(ValueError, match="1 to 2\\^62"):
            Permutation(size)

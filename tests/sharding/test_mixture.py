from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from sharding.mixture import MAX_TOTAL, RESOLUTION, Mixture, shares_of_rows, shares_of_weights

WORST = 1.68

share_lists = st.one_of(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=40),
    st.lists(st.sampled_from([1, 10, 10**3, 10**6, 10**8]), min_size=1, max_size=9),
)


def mixture_of(shares: list[int]) -> Mixture:
    return Mixture({f"s{i}": share for i, share in enumerate(shares)})


def counts_at(mixture: Mixture, k: int) -> np.ndarray:
    return np.array(list(mixture.counts(k).values()))


@given(shares=share_lists, start=st.sampled_from([0, 2**31 - 500, 2**32 - 500, 2**40 - 500, 2**50]))
def test_every_prefix_keeps_to_the_plan(shares: list[int], start: int) -> None:
    mixture = mixture_of(shares)
    source, rank = mixture.locate(np.arange(start, start + 500))
    before, passed = mixture.counts(start), np.arange(1, 501)
    for number, (name, share) in enumerate(mixture.shares.items()):
        taken = np.cumsum(source == number)
        assert np.array_equal(rank[source == number], before[name] + np.arange(taken[-1]))
        # count · total - k · share, in exact integers
        off = before[name] * mixture.total - start * share + taken * mixture.total - passed * share
        assert np.abs(off).max() <= mixture.bound * mixture.total
        assert before[name] + taken[-1] == mixture.counts(start + 500)[name]


@given(shares=share_lists)
def test_the_bound_never_reaches_the_worst_case(shares: list[int]) -> None:
    bound = mixture_of(shares).bound
    assert bound < WORST
    if len(shares) <= 3:
        assert bound < 1
    if len(shares) == 2:
        assert bound == 0.5


def test_shares_that_grow_like_fibonacci_numbers_stay_below_the_worst_case() -> None:
    fibonacci = [1, 1]
    while sum(fibonacci) + fibonacci[-1] + fibonacci[-2] < MAX_TOTAL:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    assert float(mixture_of(fibonacci).bound) < WORST
    slow = [10**6] * 4 + [1]
    assert 1 < float(mixture_of(slow).bound) < 1.25


@given(shares=st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_a_period_holds_exactly_the_shares(shares: list[int]) -> None:
    mixture = mixture_of(shares)
    source, rank = mixture.locate(np.arange(2 * mixture.total))
    assert np.bincount(source[: mixture.total]).tolist() == shares
    assert np.array_equal(source[: mixture.total], source[mixture.total :])
    for number in range(len(shares)):
        assert np.array_equal(rank[source == number], np.arange(2 * shares[number]))


@given(shares=share_lists, k=st.integers(0, 2**50))
def test_counts_sum_to_k(shares: list[int], k: int) -> None:
    assert counts_at(mixture_of(shares), k).sum() == k


def test_the_drawing_in_the_docstring() -> None:
    source, _ = Mixture({"prose": 1, "code": 3}).locate(np.arange(8))
    assert "".join("lr"[s] for s in source) == "rlrrrlrr"


def test_two_even_sources_alternate() -> None:
    source, rank = Mixture({"a": 5, "b": 5}).locate(np.arange(6))
    assert sorted(source[:2].tolist()) == [0, 1]
    assert np.array_equal(source, np.tile(source[:2], 3))
    assert rank.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_largest_total_does_not_overflow() -> None:
    mixture = Mixture({"a": MAX_TOTAL - 1, "b": 1})
    assert mixture.counts(2**60) == {"a": 2**60 - 2**30, "b": 2**30}
    with pytest.raises(ValueError, match="at most"):
        Mixture({"a": MAX_TOTAL, "b": 1})


@given(rows=st.dictionaries(st.text(max_size=3), st.integers(0, 2**40), min_size=1).filter(lambda rows: any(rows.values())))
def test_shares_of_rows_are_exact_or_as_close_as_the_resolution(rows: dict[str, int]) -> None:
    shares, total = shares_of_rows(rows), sum(rows.values())
    assert set(shares) == {source for source in rows if rows[source]}
    if total <= MAX_TOTAL:
        assert all(shares[source] == rows[source] for source in shares)
    for source, share in Mixture(shares).shares.items():
        assert math.isclose(share / sum(shares.values()), rows[source] / total, abs_tol=1e-7)


def test_weights_are_rounded_to_the_resolution() -> None:
    assert shares_of_weights({"a": 0.5, "b": 0.25, "off": 0.0, "c": 0.25}) == {
        "a": RESOLUTION // 2,
        "b": RESOLUTION // 4,
        "c": RESOLUTION // 4,
    }
    shares = shares_of_weights({"a": 1, "b": 2})
    assert abs(shares["a"] / RESOLUTION - 1 / 3) <= 1 / (2 * RESOLUTION)


@pytest.mark.parametrize(
    "weights", [{"a": -1.0, "b": 2.0}, {"a": 0.0}, {"a": float("nan")}, {"a": float("inf")}, {"a": 1e-9, "b": 1.0}]
)
def test_weights_that_make_no_mixture_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        shares_of_weights(weights)

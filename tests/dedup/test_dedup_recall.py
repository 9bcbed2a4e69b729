"""What is said about the pairs that were missed, against simulations in which they are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.banding import Banding
from dedup.recall import BINS, LEAST_BANDS, expected_recall, measured_recall, similarity_histogram

PAIRS = 200_000


def histogram_of(hits: npt.NDArray[np.int64], bands: int) -> list[int]:
    """int[bands]: pairs by the number of bands that they met in; those that never met are not seen."""
    return [int(count) for count in np.bincount(hits, minlength=bands + 1)[1:]]


@pytest.mark.parametrize("bands", [Banding(25, 10), Banding(9, 13), Banding(1, 3)])
def test_expected_recall_is_the_share_that_is_found(bands: Banding) -> None:
    rng = np.random.default_rng(bands.rows)
    similarity = rng.beta(20, 5, PAIRS)
    found = rng.random(PAIRS) < bands.recall_at(similarity)
    assert 0.1 < found.mean() < 0.95, "the simulation says something"
    assert expected_recall(bands, similarity_histogram(similarity[found])) == pytest.approx(found.mean(), rel=0.02)


@pytest.mark.parametrize("mean", [0.5, 1.0, 3.0])
def test_measured_recall_of_poisson_hits(mean: float) -> None:
    hits = np.random.default_rng(int(10 * mean)).poisson(mean, PAIRS)
    assert measured_recall(histogram_of(hits, 1000)) == pytest.approx((hits > 0).mean(), rel=0.02)


@pytest.mark.parametrize("bands", [Banding(25, 10), Banding(42, 6)])
@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8])
def test_measured_recall_of_the_hits_that_bands_give(bands: Banding, similarity: float) -> None:
    hits = np.random.default_rng(bands.rows).binomial(bands.bands, similarity**bands.rows, PAIRS)
    assert measured_recall(histogram_of(hits, bands.bands)) == pytest.approx(float(bands.recall_at(similarity)), rel=0.03)


def test_of_pairs_that_are_not_alike_at_least_so_many_were_missed() -> None:
    """Chao's is a lower bound for what was missed, so an upper one for recall; the S-curve's expectation is none."""
    rng, bands = np.random.default_rng(0), Banding(25, 10)
    similarity = rng.uniform(0.5, 1.0, PAIRS)
    hits = rng.binomial(bands.bands, similarity**bands.rows)
    recall = (hits > 0).mean()
    measured = measured_recall(histogram_of(hits, bands.bands))
    assert measured is not None
    assert recall < measured < 1
    assert expected_recall(bands, similarity_histogram(similarity[hits > 0])) == pytest.approx(recall, rel=0.02)


@pytest.mark.parametrize(
    ("hits", "recall"),
    [
        ([], None),
        ([5], None),
        ([5, 5], None),
        ([0, 0, 0], None),
        ([10, 10, 0], 20 / (20 + 2 / 3 * 5)),
        ([10, 0, 20, 0], 30 / (30 + 3 / 4 * 45)),  # nobody met twice: 10 · 9 / 2
        ([1, 0, 0], 1.0),
        ([0, 3, 4], 1.0),
    ],
)
def test_measured_recall_of_few_pairs(hits: list[int], recall: float | None) -> None:
    assert measured_recall(hits) == pytest.approx(recall)
    assert len(hits) >= LEAST_BANDS or recall is None


def test_without_pairs_nothing_is_expected() -> None:
    assert expected_recall(Banding(25, 10), similarity_histogram(np.empty(0))) is None


def test_the_edges_of_the_histogram() -> None:
    counts = similarity_histogram(np.array([0.0, 0.7, 1.0 - 1e-9, 1.0, 1.0]))
    assert {place: count for place, count in enumerate(counts) if count} == {0: 1, 700: 1, BINS - 1: 1, BINS: 2}
    assert len(counts) == len(similarity_histogram(np.empty(0))) == BINS + 1


def test_equal_documents_are_always_found() -> None:
    assert expected_recall(Banding(1, 256), similarity_histogram(np.ones(3))) == 1.0
    assert expected_recall(Banding(4, 1), similarity_histogram(np.zeros(3))) == pytest.approx(4 / BINS / 2, rel=0.01)


@given(similarity=st.lists(st.floats(0, 1), max_size=50), data=st.data())
def test_histograms_of_shares_add_up(similarity: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(similarity)))
    parts = [similarity_histogram(np.array(each, np.float64)) for each in (similarity[:cut], similarity[cut:])]
    assert np.sum(parts, axis=0).tolist() == similarity_histogram(np.array(similarity, np.float64))
    assert sum(map(sum, parts)) == len(similarity)

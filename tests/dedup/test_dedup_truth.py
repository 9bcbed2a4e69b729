"""The whole room on real files whose similar pairs are all known, and on hostile input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from dedup_truth import Truth

from dedup.config import DedupSettings
from dedup.in_memory import near_duplicates
from dedup.keepers import greedy
from dedup.shingles import shingle_sets
from dedup.verify import jaccard

ASCII_WORDS = DedupSettings(non_ascii=False)
"""The truth was made with words [A-Za-z_0-9]+."""


def test_every_known_similarity_is_reproduced(truth: Truth) -> None:
    measured = jaccard(*shingle_sets(truth.text, ASCII_WORDS), truth.pairs)
    np.testing.assert_allclose(measured, truth.jaccard, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("threshold", "recall"), [(0.7, 0.99), (0.8, 0.999), (0.85, 0.999)])
def test_removals_are_right_and_nearly_complete(truth: Truth, threshold: float, recall: float) -> None:
    got = near_duplicates(truth.text, DedupSettings(threshold=threshold, non_ascii=False))
    ideal = greedy(truth.pairs, truth.jaccard, len(truth.text), threshold)
    removed, wanted = got.keeper >= 0, ideal.keeper >= 0
    assert np.count_nonzero(removed & wanted) / np.count_nonzero(wanted) >= recall

    known = {(i, j): value for (i, j), value in zip(truth.pairs.tolist(), truth.jaccard.tolist(), strict=True)}
    for node in np.flatnonzero(removed).tolist():
        keeper = int(got.keeper[node])
        assert got.keeper[keeper] == -1
        assert known[keeper, node] == pytest.approx(got.similarity[node], abs=1e-12)
        assert got.similarity[node] >= threshold


def test_translations_are_not_duplicates(truth: Truth) -> None:
    """Pairs that look alike only because ASCII words leave the translated text out."""
    with_letters = jaccard(*shingle_sets(truth.text, DedupSettings()), truth.pairs)
    assert np.count_nonzero((truth.jaccard >= 0.7) & (with_letters < 0.7)) > 300
    assert np.count_nonzero((truth.jaccard < 0.7) & (with_letters >= 0.7)) < 50


def test_ten_thousand_equal_documents_leave_one() -> None:
    text = pa.array(["one two three four five six seven eight"] * 10_000, pa.large_string())
    got = near_duplicates(text, DedupSettings())
    assert got.keeper.tolist() == [-1] + [0] * 9_999
    assert got.similarity[1:].min() == 1.0


def test_documents_without_shingles_stay() -> None:
    text = pa.array(["", "a b c d", "a b c d", " \n"] * 50, pa.large_string())
    assert (near_duplicates(text, DedupSettings()).keeper == -1).all()


def test_a_chain_of_neighbours_loses_every_other_one() -> None:
    words = [f"w{i}" for i in range(300)]
    text = pa.array([" ".join(words[20 * i : 20 * i + 204]) for i in range(5)], pa.large_string())
    got = near_duplicates(text, DedupSettings(threshold=0.75))
    assert got.keeper.tolist() == [-1, 0, -1, 2, -1]
    assert got.similarity[1] == pytest.approx(180 / 220)


def test_no_documents() -> None:
    assert len(near_duplicates(pa.array([], pa.large_string()), DedupSettings()).keeper) == 0

"""Estimates and exact similarities against Python sets and datasketch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.config import DedupSettings
from dedup.minhash import signatures, to_lean_minhash
from dedup.verify import estimate, estimate_pairs, jaccard, worth_measuring

sets_of_hashes = st.lists(st.sets(st.integers(0, 12) | st.integers(0, 2**64 - 1), max_size=20), min_size=1, max_size=6)


@given(sets=sets_of_hashes, data=st.data())
def test_jaccard_equals_python_sets(sets: list[set[int]], data: st.DataObject) -> None:
    index = st.integers(0, len(sets) - 1)
    pairs = data.draw(st.lists(st.tuples(index, index), max_size=10))
    values = np.array([value for members in sets for value in sorted(members)], np.uint64)
    offsets = np.cumsum([0, *map(len, sets)])
    expected = [len(sets[i] & sets[j]) / max(len(sets[i] | sets[j]), 1) for i, j in pairs]
    assert jaccard(values, offsets, np.array(pairs, np.int64).reshape(-1, 2)).tolist() == expected


def test_estimate_is_datasketchs() -> None:
    config = DedupSettings()
    words = [f"word{i}" for i in range(15)]
    text = [" ".join(words[start:]) for start in range(6)]
    values = signatures(pa.array(text, pa.large_string()), config).values
    pairs = np.array([(i, j) for i in range(6) for j in range(6)], np.int64)
    expected = [to_lean_minhash(values[i], config).jaccard(to_lean_minhash(values[j], config)) for i, j in pairs]
    assert estimate(values[pairs[:, 0]], values[pairs[:, 1]]).tolist() == expected
    assert estimate_pairs(values, pairs).tolist() == expected
    assert 0 < min(expected) < 1


def test_estimates_lie_within_five_standard_errors() -> None:
    config = DedupSettings()
    body = [f"w{i}" for i in range(400)]
    text = [" ".join([*body[:cut], *(f"z{i}" for i in range(400 - cut))]) for cut in range(0, 401, 8)]
    values = signatures(pa.array(text, pa.large_string()), config).values
    pairs = np.stack([np.arange(len(text)), np.full(len(text), len(text) - 1)], axis=1)
    shared = np.maximum(np.arange(0, 401, 8) - 4, 0)
    exact = shared / (2 * 396 - shared)
    error = np.sqrt(exact * (1 - exact) / config.num_perm)
    assert (np.abs(estimate_pairs(values, pairs) - exact) <= 5 * error).all()


def test_worth_measuring_begins_at_the_floor() -> None:
    config = DedupSettings()
    floor = config.estimate_floor
    assert worth_measuring(np.array([floor - 1e-9, floor, 1.0]), config).tolist() == [False, True, True]
    assert floor == pytest.approx(0.557, abs=0.001)

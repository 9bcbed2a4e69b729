"""Banding against the S-curve, datasketch and simulation; settings that cannot be used."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pytest
from datasketch import MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

import dedup.banding
from contracts.errors import ConfigError
from contracts.settings import build
from dedup.banding import Banding, banding, strictest
from dedup.config import Criterion, DedupSettings
from dedup.lsh import band_keys
from dedup.priority import MOST


@given(threshold=st.floats(0.3, 1.0), recall=st.floats(0.5, 0.9999), num_perm=st.integers(64, 512))
def test_strictest_is_the_last_that_reaches_the_recall(threshold: float, recall: float, num_perm: int) -> None:
    chosen = strictest(threshold, num_perm, recall)
    assert chosen.bands == num_perm // chosen.rows
    assert chosen.recall_at(threshold) >= recall
    stricter = [Banding(num_perm // rows, rows) for rows in range(chosen.rows + 1, num_perm + 1)]
    assert all(other.recall_at(threshold) < recall for other in stricter)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.6, 0.7, 0.8])
@pytest.mark.parametrize("bands", [Banding(25, 10), Banding(42, 6), Banding(51, 5)])
def test_found_share_follows_the_curve(similarity: float, bands: Banding) -> None:
    trials, rng = 4000, np.random.default_rng(int(similarity * 100) + bands.bands)
    first = rng.integers(0, 2**32, (trials, 256), dtype=np.uint32)
    second = np.where(rng.random((trials, 256)) < similarity, first, ~first)
    found = np.zeros(trials, np.bool_)
    for band in range(bands.bands):
        found |= band_keys(first, bands, band) == band_keys(second, bands, band)
    expected = float(bands.recall_at(similarity))
    error = (expected * (1 - expected) / trials) ** 0.5
    assert found.mean() == pytest.approx(expected, abs=5 * error + 1e-3)


def test_table_in_the_docstring_is_true() -> None:
    pattern = r"(0\.\d\d) +(0\.\d+|balanced) +(\d+) × +(\d+) +([\d.]+) +([\d.]+) +([\d.]+)"
    rows = re.findall(pattern, dedup.banding.__doc__ or "")
    assert len(rows) == 5
    for threshold, wanted, bands, per_band, at, mean, half in rows:
        rule: dict[str, Any] = {"banding": wanted} if wanted == "balanced" else {"recall": float(wanted)}
        chosen = banding(DedupSettings(threshold=float(threshold), **rule))
        assert chosen == (int(bands), int(per_band))
        assert f"{float(chosen.recall_at(float(threshold))):.4f}" == at
        assert f"{chosen.mean_recall(float(threshold)):.4f}" == mean
        assert float(chosen.recall_at(float(half))) == pytest.approx(0.5, abs=0.03)


def test_balanced_is_datasketchs() -> None:
    index = MinHashLSH(threshold=0.8, num_perm=64)
    assert banding(DedupSettings(threshold=0.8, num_perm=64, banding="balanced")) == (index.b, index.r)


def test_explicit_bands_win() -> None:
    assert banding(DedupSettings(bands=4, rows=3)) == (4, 3)


def test_identical_documents_are_always_found() -> None:
    assert banding(DedupSettings(threshold=1.0)) == (1, 256)
    assert DedupSettings(threshold=1.0).estimate_floor == 1.0


def test_floor_is_five_standard_errors_below() -> None:
    assert DedupSettings().estimate_floor == pytest.approx(0.7 - 5 * (0.7 * 0.3 / 256) ** 0.5)
    assert DedupSettings(threshold=0.05).estimate_floor == 0.0


def test_where_estimates_are_final_the_floor_is_the_threshold() -> None:
    assert DedupSettings(verify="estimate").estimate_floor == 0.7


def test_every_criterion_finds_room_in_a_key() -> None:
    every = list(get_args(Criterion))
    assert DedupSettings.model_validate({"priority": every}).priority == every
    assert len(every) <= MOST


def test_some_settings_decide_a_signature_and_the_rest_do_not() -> None:
    assert DedupSettings(seed=3, lowercase=True).signature == {
        "ngram": 5,
        "num_perm": 256,
        "seed": 3,
        "lowercase": True,
        "non_ascii": True,
    }
    other = DedupSettings(threshold=0.8, verify="estimate", priority=["license"], bucket_cap=7, bands=4, rows=3)
    assert other.signature == DedupSettings().signature


def test_balanced_without_a_solution_is_an_error() -> None:
    with pytest.raises(ConfigError, match="dedup: "):
        banding(DedupSettings(threshold=1.0, num_perm=2, banding="balanced"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threshold": 0.0}, "greater than 0"),
        ({"threshold": 1.1}, "less than or equal to 1"),
        ({"bands": 4}, "give both or neither"),
        ({"bands": 20, "rows": 20}, "need 400 permutations"),
        ({"threshold": 0.01}, "cannot be had at threshold = 0.01"),
        ({"treshold": 0.5}, "Did you mean 'threshold'"),
        ({"bucket_cap": 0}, "greater than or equal to 1"),
        ({"priority": ["size"]}, r"'priority\.0' = 'size': .*'stars', 'length', 'license' or 'source'"),
        ({"priority": ["stars", "length", "stars"]}, "'length', 'stars'.: 'stars' stands there twice; name each once"),
        ({"priority": "stars"}, "'priority' = 'stars': .*valid list"),
        ({"license_order": ["MIT", "MIT"]}, "license_order = .*'MIT' stands there twice"),
        ({"source_order": ["a", "b", "a"]}, "source_order = .*'a' stands there twice"),
        ({"verify": "exactly"}, "'verify' = 'exactly': .*'exact' or 'estimate'"),
    ],
)
def test_unusable_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(DedupSettings, values, "recipe")


def test_every_setting_is_documented() -> None:
    assert [name for name, field in DedupSettings.model_fields.items() if not field.description] == []

"""Headers: StarCoder's format, buckets and rates, and that one line is one line."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from contracts.errors import ShardError
from sharding.headers import BUCKETS, FIELDS, MAX_NAME_BYTES, Headers, MetadataSettings, draw_headers, strip_header
from sharding.randomness import document_keys, uniforms

CONTROLS = {"<reponame>": 100, "<filename>": 101, "<gh_stars>": 102}
ALWAYS = MetadataSettings(rate=1.0)


def keys(n: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    ids = b"".join(hashlib.md5(b"%d" % i, usedforsecurity=False).digest() for i in range(n))
    return document_keys(np.frombuffer(ids, np.uint8).reshape(n, 16), seed, epoch)


def drawn(
    n: int = 1,
    *,
    kind: list[str] | None = None,
    repo: list[str] | None = None,
    path: list[str] | None = None,
    stars: list[int | None] | None = None,
    settings: MetadataSettings = ALWAYS,
    epoch: int = 0,
) -> Headers:
    return draw_headers(
        keys(n, epoch=epoch),
        pa.array(kind or ["code"] * n, pa.string()),
        pa.array(repo or ["me/lib"] * n, pa.string()),
        pa.array(path or ["a.py"] * n, pa.string()),
        pa.array(stars or [5] * n, pa.int64()),
        settings,
    )


def test_buckets_hold_their_upper_bounds() -> None:
    stars = [None, 0, 1, 10, 11, 100, 101, 1000, 1001, 2**62]
    found = drawn(len(stars), stars=stars)
    assert found.words[2].to_pylist() == ["0", "0", "1-10", "1-10", "10-100", "10-100", "100-1000", "100-1000", "1000+", "1000+"]
    assert set(found.words[2].to_pylist()) == set(BUCKETS)
    assert found.shown.all()


def test_unknown_stars_can_be_left_out() -> None:
    found = drawn(2, stars=[None, 0], settings=MetadataSettings(rate=1.0, unknown_stars_are_zero=False))
    assert found.shown.tolist() == [[True, True, False], [True, True, True]]


def test_only_code_has_headers_and_only_of_what_it_has() -> None:
    found = drawn(4, kind=["code", "prose", "notebook", "code"], repo=["a", "a", "a", ""], path=["", "b", "b", "\n\t"])
    assert found.shown.tolist() == [[True, False, True], [False] * 3, [False] * 3, [False, False, True]]


@given(st.text(max_size=20))
def test_names_are_on_one_line(name: str) -> None:
    (clean,) = drawn(repo=[name]).words[0].to_pylist()
    assert len(clean.splitlines()) <= 1
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in clean)
    if name.isprintable():
        assert clean == name.strip()


def test_no_name_fills_a_row() -> None:
    found = drawn(3, path=["x" * MAX_NAME_BYTES, "x" * (MAX_NAME_BYTES + 1), "é" * MAX_NAME_BYTES])
    assert found.shown[:, 1].tolist() == [True, False, False]


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_fields_are_drawn_independently_at_the_rate(rate: float) -> None:
    """All eight combinations of 10^5 documents; a chance of one in a million to fail for another seed."""
    n = 100_000
    shown = drawn(n, settings=MetadataSettings(rate=rate)).shown
    combination = shown @ np.array([1, 2, 4])
    fields = np.array([bin(i).count("1") for i in range(8)])
    expected = n * rate**fields * (1 - rate) ** (3 - fields)
    assert chisquare(np.bincount(combination, minlength=8), expected).pvalue > 1e-6


def test_headers_do_not_go_with_other_draws_of_the_document() -> None:
    """Objectives are drawn with the document's own key; a header drawn with it too would tell the objective."""
    n = 50_000
    shown = drawn(n, settings=MetadataSettings(rate=0.5)).shown
    for counter in range(3):
        low = uniforms(keys(n), counter) < 0.5
        for field in range(3):
            cells = np.bincount(shown[:, field] * 2 + low, minlength=4)
            assert chisquare(cells).pvalue > 1e-6


def test_another_epoch_has_other_headers_and_order_does_not_matter() -> None:
    settings = MetadataSettings(rate=0.5)
    one, two = drawn(1000, settings=settings).shown, drawn(1000, settings=settings, epoch=1).shown
    assert 0.4 < (one == two).mean() < 0.6
    columns = [pa.array(["code"] * 1000), pa.array(["a"] * 1000), pa.array(["b"] * 1000), pa.array([1] * 1000, pa.int64())]
    assert np.array_equal(draw_headers(keys(1000)[::-1].copy(), *columns, settings).shown, one[::-1])


def test_a_rate_of_zero_draws_nothing() -> None:
    assert not drawn(1000, settings=MetadataSettings(rate=0.0)).shown.any()


def test_no_documents_have_no_headers() -> None:
    assert drawn(0, kind=[], repo=[], path=[], stars=[]).shown.shape == (0, len(FIELDS))


@pytest.mark.parametrize(
    ("ids", "want"),
    [
        ([], []),
        ([1, 9, 2], [1, 9, 2]),
        ([100, 1, 9, 2, 9], [2, 9]),
        ([101, 1, 102, 2, 9], []),
        ([102, 5, 9, 100, 9], [100, 9]),
    ],
)
def test_stripping_a_header(ids: list[int], want: list[int]) -> None:
    assert strip_header(np.array(ids, np.uint16), CONTROLS, 9).tolist() == want


def test_a_header_without_an_end_is_damage() -> None:
    with pytest.raises(ShardError, match="control token 100 of a header, but none of its 3 tokens is the newline"):
        strip_header(np.array([100, 1, 2]), CONTROLS, 9)

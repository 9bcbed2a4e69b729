"""Buckets and candidate pairs against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from dedup.banding import Banding
from dedup.in_memory import candidates
from dedup.lsh import CROWD, MATCH, agreeing_bands, band_keys, joined, matches, unique_pairs

BANDS = 3
entries = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30)), max_size=80)
"""(key, node). A key belongs to one band: key % BANDS."""
offsets = st.sampled_from([0, 2**32 - 15, 2**40])
"""Added to nodes: below 2^32, on both sides, and beyond."""
match_rows = st.lists(
    st.tuples(st.integers(0, 9) | st.integers(0, 2**40), st.integers(0, 9) | st.integers(0, 2**40), st.integers(0, 50)), max_size=30
)
node_pairs = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=30)
signature_rows = st.lists(st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=2, max_size=12)

Match = tuple[int, int, int]
"""better, worse, band"""


def matches_of(entries: list[tuple[int, int]], cap: int, references: int = 0) -> list[Match]:
    keys, nodes = np.array(entries, np.int64).reshape(-1, 2).T
    found = matches(keys.astype(np.uint64), nodes, (keys % BANDS).astype(np.uint16), cap, references)
    return [(better, worse, band) for better, worse, band in found.tolist()]


def brute_force(entries: list[tuple[int, int]], cap: int, references: int = 0) -> list[Match]:
    found: list[Match] = []
    for key in {key for key, _ in entries}:
        bucket = sorted({node for other, node in entries if other == key})
        theirs = [node for node in bucket if node < references]
        ours = bucket[len(theirs) :]
        for place, node in enumerate(ours):
            partners = theirs[:cap] + ours[: min(place, cap if place < CROWD else max(1, cap // 4))]
            found += [(other, node, key % BANDS) for other in partners]
    return first_bands(found)


def first_bands(found: list[Match]) -> list[Match]:
    bands: dict[tuple[int, int], int] = {}
    for better, worse, band in found:
        bands[worse, better] = min(band, bands.get((worse, better), band))
    return [(better, worse, band) for (worse, better), band in sorted(bands.items())]


@given(entries=entries, cap=st.integers(1, 40), references=st.integers(0, 31), offset=offsets)
def test_matches_equal_brute_force(entries: list[tuple[int, int]], cap: int, references: int, offset: int) -> None:
    moved = [(key, node + offset) for key, node in entries]
    assert matches_of(moved, cap, references + offset) == brute_force(moved, cap, references + offset)


@given(entries=entries, cap=st.integers(1, 10), references=st.integers(0, 31), data=st.data())
def test_order_of_the_input_does_not_matter(entries: list[tuple[int, int]], cap: int, references: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    assert matches_of(entries, cap, references) == matches_of(shuffled, cap, references)


@given(entries=entries, cap=st.integers(1, 10), references=st.integers(0, 31), shares=st.integers(1, 4))
def test_keys_can_be_dealt_out(entries: list[tuple[int, int]], cap: int, references: int, shares: int) -> None:
    dealt = [[entry for entry in entries if entry[0] % shares == share] for share in range(shares)]
    found = [np.array(matches_of(mine, cap, references), MATCH) for mine in dealt]
    assert joined(*found).tolist() == matches_of(entries, cap, references)


def test_a_node_meets_the_smallest_references_and_the_smallest_own_and_references_meet_nobody() -> None:
    found = [(better, worse) for better, worse, _ in matches_of([(1, node) for node in range(20)], 2, references=10)]
    assert {better for better, worse in found if worse == 19} == {0, 1, 10, 11}
    assert {better for better, worse in found if worse == 10} == {0, 1}
    assert min(worse for _, worse in found) == 10


def test_small_buckets_give_all_pairs_and_big_ones_linearly_many() -> None:
    small = matches_of([(1, node) for node in range(65)], 64)
    assert sorted((better, worse) for better, worse, _ in small) == list(combinations(range(65), 2))
    big = matches_of([(1, node) for node in range(10_000)], 64)
    assert len(big) == 64 * 63 // 2 + 64 * (CROWD - 64) + 16 * (10_000 - CROWD)


@pytest.mark.parametrize(("cap", "few"), [(32, 8), (7, 1), (1, 1)])
@pytest.mark.parametrize("references", [0, 5])
def test_in_a_crowd_there_are_a_quarter_as_many_partners(cap: int, few: int, references: int) -> None:
    crowd = [(1, node) for node in range(references + CROWD + 3)]
    found = matches_of(crowd, cap, references)
    partners = np.bincount([worse for better, worse, _ in found if better >= references])
    assert partners[-4:].tolist() == [cap, few, few, few]
    assert found == brute_force(crowd, cap, references)


@given(parts=st.lists(match_rows, max_size=3))
def test_joined_keeps_each_pair_once_with_its_first_band(parts: list[list[Match]]) -> None:
    found = joined(*(np.array(part, MATCH) for part in parts))
    assert found.tolist() == first_bands([row for part in parts for row in part])
    assert joined(found).tolist() == found.tolist()


@given(first=node_pairs, second=node_pairs)
def test_unique_pairs(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    arrays = [np.array(pairs, np.int64).reshape(-1, 2) for pairs in (first, second)]
    assert unique_pairs(*arrays).tolist() == sorted(map(list, set(first + second)))


def test_no_pairs() -> None:
    assert unique_pairs().shape == (0, 2)
    assert joined().dtype == joined(np.empty(0, MATCH)).dtype == MATCH
    assert matches_of([], 4) == matches_of([(1, 7)], 4) == matches_of([(1, 7), (1, 7), (2, 8)], 4) == []


@given(rows=st.integers(1, 4), data=st.data())
def test_keys_are_equal_where_bands_are(rows: int, data: st.DataObject) -> None:
    bands, values = Banding(BANDS, rows), np.array(data.draw(signature_rows), np.uint32)
    for band in range(bands.bands):
        keys, columns = band_keys(values, bands, band), values[:, band * rows : (band + 1) * rows].tolist()
        for i, j in combinations(range(len(values)), 2):
            assert (keys[i] == keys[j]) == (columns[i] == columns[j])


@given(rows=st.integers(1, 4), data=st.data())
def test_agreeing_bands_are_those_whose_rows_all_agree(rows: int, data: st.DataObject) -> None:
    values = data.draw(signature_rows)
    place = st.integers(0, len(values) - 1)
    pairs = data.draw(st.lists(st.tuples(place, place), max_size=12))
    cuts = [slice(band * rows, (band + 1) * rows) for band in range(BANDS)]
    expected = [sum(values[i][cut] == values[j][cut] for cut in cuts) for i, j in pairs]
    numbers = np.array(pairs, np.int64).reshape(-1, 2)
    for each in (numbers, np.asfortranarray(numbers)):
        assert agreeing_bands(np.array(values, np.uint32), each, Banding(BANDS, rows)).tolist() == expected


@given(rows=st.integers(1, 4), values=signature_rows)
def test_candidates_are_the_pairs_that_agree_in_a_band_and_know_the_first(rows: int, values: list[list[int]]) -> None:
    bands, signatures = Banding(BANDS, rows), np.array(values, np.uint32)
    nodes = np.arange(len(values))
    keys = np.concatenate([band_keys(signatures, bands, band) for band in range(BANDS)])
    found = matches(keys, np.tile(nodes, BANDS), np.repeat(np.arange(BANDS, dtype=np.uint16), len(nodes)), cap=len(nodes))
    agree = {
        (i, j): [band for band in range(BANDS) if values[i][band * rows :][:rows] == values[j][band * rows :][:rows]]
        for j in range(len(values))
        for i in range(j)
    }
    assert found.tolist() == [(i, j, min(shared)) for (i, j), shared in agree.items() if shared]
    np.testing.assert_array_equal(candidates(signatures, nodes, bands, len(nodes))[:, 1], found["worse"])


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
        matches_of([(1, 1)], 0)

"""Components by stars: what each operation keeps, however nodes are dealt out, and how soon it ends."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.keepers import components
from dedup.lsh import unique_pairs
from dedup.stars import fingerprint, large_star, small_star, star_components, towards_all, towards_smaller

Int64 = npt.NDArray[np.int64]

N = 25
pair = st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)).filter(lambda pair: pair[0] < pair[1])
edge_lists = st.lists(pair, max_size=60)
"""Some edges stand there twice."""
shares_of_nodes = st.lists(st.integers(0, 3), min_size=N, max_size=N)
"""For each node the share that looks at it."""

OPERATIONS = {"large": (large_star, towards_all), "small": (small_star, towards_smaller)}
one_of_two = st.sampled_from(sorted(OPERATIONS))


def array(edges: list[tuple[int, int]]) -> Int64:
    return np.array(edges, np.int64).reshape(-1, 2)


def tied(kind: str, edges: Int64, shares: list[int]) -> list[Int64]:
    """What each share makes of the nodes that it looks at."""
    star, towards = OPERATIONS[kind]
    seen = towards(edges)
    share = np.array(shares)[seen[:, 0]]
    return [star(seen[share == each]) for each in range(4)]


def plain(kind: str, edges: Int64) -> list[list[int]]:
    """The operation on all nodes, as the paper says it."""
    made = set()
    for node in range(N):
        around = {other for edge in edges.tolist() if node in edge for other in edge}
        nearer = {other for other in around if other <= node}
        smallest = min(around, default=node)
        looked_at = around - nearer if kind == "large" else nearer
        made |= {(smallest, other) for other in looked_at if other != smallest}
    return sorted(map(list, made))


@given(kind=one_of_two, edges=edge_lists, shares=shares_of_nodes)
def test_an_operation_ties_what_the_paper_says_for_any_dealing_of_nodes(
    kind: str, edges: list[tuple[int, int]], shares: list[int]
) -> None:
    assert unique_pairs(*tied(kind, array(edges), shares)).tolist() == plain(kind, array(edges))


@given(kind=one_of_two, edges=edge_lists, shares=shares_of_nodes, data=st.data())
def test_the_order_of_edges_does_not_matter(
    kind: str, edges: list[tuple[int, int]], shares: list[int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(edges))
    for one, other in zip(tied(kind, array(edges), shares), tied(kind, array(shuffled), shares), strict=True):
        np.testing.assert_array_equal(one, other)


@given(kind=one_of_two, edges=edge_lists, shares=shares_of_nodes)
def test_an_operation_keeps_components_and_the_direction_of_edges(
    kind: str, edges: list[tuple[int, int]], shares: list[int]
) -> None:
    after = np.concatenate(tied(kind, array(edges), shares))
    np.testing.assert_array_equal(components(after, N), components(array(edges), N))
    assert (after[:, 0] < after[:, 1]).all()


@given(edges=edge_lists, shares=shares_of_nodes)
def test_rounds_end_in_stars_round_the_smallest_nodes(edges: list[tuple[int, int]], shares: list[int]) -> None:
    stars, _ = ended(array(edges), shares)
    assert not set(stars[:, 0]) & set(stars[:, 1]), "no node is both centre and leaf"
    assert len(set(stars[:, 1])) == len(stars), "a leaf has one centre"
    labels = components(array(edges), N)
    assert stars.tolist() == sorted([label, node] for node, label in enumerate(labels.tolist()) if label != node)


@given(edges=edge_lists, data=st.data())
def test_star_components_are_components(edges: list[tuple[int, int]], data: st.DataObject) -> None:
    turned = [edge[::-1] if data.draw(st.booleans()) else edge for edge in edges]
    np.testing.assert_array_equal(star_components(array(turned), N), components(array(edges), N))


@pytest.mark.parametrize("numbered", ["in order", "at random", "from both ends"])
def test_a_long_chain_takes_a_logarithm_of_rounds(numbered: str) -> None:
    n = 5_000
    along = {
        "in order": np.arange(n),
        "at random": np.random.default_rng(0).permutation(n),
        "from both ends": np.argsort(np.argsort(np.minimum(np.arange(n), np.arange(n)[::-1]), kind="stable")),
    }[numbered]
    chain = np.sort(np.stack([along[:-1], along[1:]], axis=1), axis=1)
    stars, rounds = ended(chain, np.random.default_rng(1).integers(0, 4, n).tolist())
    assert stars.tolist() == [[0, node] for node in range(1, n)]
    assert rounds <= math.log2(n) + 4
    assert not star_components(chain, n).any()


def test_no_edges() -> None:
    none = array([])
    for operation, towards in OPERATIONS.values():
        assert operation(towards(none)).shape == (0, 2)
    assert fingerprint(none) == (0, 0)
    assert star_components(none, 3).tolist() == [0, 1, 2]
    assert star_components(none, 0).tolist() == []


@given(edges=st.lists(pair, max_size=40, unique=True), shares=shares_of_nodes, data=st.data())
def test_fingerprints_of_shares_add_up_to_that_of_the_whole(
    edges: list[tuple[int, int]], shares: list[int], data: st.DataObject
) -> None:
    dealt = [[edge for edge in data.draw(st.permutations(edges)) if shares[edge[1]] == share] for share in range(4)]
    counts, sums = zip(*(fingerprint(array(mine)) for mine in dealt), strict=True)
    assert (sum(counts), sum(sums) % 2**64) == fingerprint(array(edges))


@given(edges=st.lists(pair, min_size=1, max_size=40, unique=True), other=pair, data=st.data())
def test_fingerprints_of_other_edges_differ(edges: list[tuple[int, int]], other: tuple[int, int], data: st.DataObject) -> None:
    changed = list(edges)
    changed[data.draw(st.integers(0, len(edges) - 1))] = other
    assert (fingerprint(array(changed)) == fingerprint(array(edges))) == (sorted(changed) == sorted(edges))


def ended(edges: Int64, shares: list[int]) -> tuple[Int64, int]:
    """Edges when a round changes nothing, and the number of rounds, that one included."""
    edges, rounds = unique_pairs(edges), 0
    while True:
        before, rounds = edges, rounds + 1
        for kind in ("large", "small"):
            edges = unique_pairs(*tied(kind, edges, shares))
        if np.array_equal(edges, before):
            return edges, rounds

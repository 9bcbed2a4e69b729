"""Who stays: greedy against a plain loop, components against flooding, equal documents against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup.exact import first_of_equals
from dedup.keepers import components, greedy

N = 25
edges = st.dictionaries(
    st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.5, 0.69, 0.7, 0.75, 0.9, 1.0]),
    max_size=60,
)
Edges = dict[tuple[int, int], float]


def arrays(edges: Edges) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(edges), np.int64).reshape(-1, 2), np.array(list(edges.values()), np.float64)


def plain_greedy(edges: Edges, threshold: float) -> list[tuple[int, float]]:
    fate: list[tuple[int, float]] = []
    for node in range(N):
        kept = [(edges[other, node], -other) for other in range(node) if (other, node) in edges and fate[other][0] < 0]
        similarity, keeper = max([pair for pair in kept if pair[0] >= threshold], default=(0.0, 1))
        fate.append((-keeper, similarity))
    return fate


@given(edges=edges, threshold=st.sampled_from([0.6, 0.7, 0.9]))
def test_greedy_equals_a_plain_loop(edges: Edges, threshold: float) -> None:
    got = greedy(*arrays(edges), N, threshold)
    assert list(zip(got.keeper.tolist(), got.similarity.tolist(), strict=True)) == plain_greedy(edges, threshold)


@given(edges=edges, data=st.data())
def test_greedy_does_not_depend_on_the_order_of_pairs(edges: Edges, data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(edges.items()))))
    for one, other in zip(greedy(*arrays(edges), N, 0.7), greedy(*arrays(shuffled), N, 0.7), strict=True):
        np.testing.assert_array_equal(one, other)


@given(edges=edges)
def test_those_that_stay_are_not_similar_and_keepers_stay(edges: Edges) -> None:
    keeper, similarity = greedy(*arrays(edges), N, 0.7)
    stays = keeper < 0
    assert not any(stays[a] and stays[b] for (a, b), value in edges.items() if value >= 0.7)
    assert stays[keeper[~stays]].all()
    assert all(edges[int(keeper[node]), int(node)] == similarity[node] >= 0.7 for node in np.flatnonzero(~stays))


@given(edges=edges)
def test_components_alone_give_the_same(edges: Edges) -> None:
    pairs, values = arrays(edges)
    whole, labels = greedy(pairs, values, N, 0.7), components(pairs, N)
    for label in np.unique(labels):
        inside = labels[pairs[:, 0]] == label
        part = greedy(pairs[inside], values[inside], N, 0.7)
        np.testing.assert_array_equal(part.keeper[labels == label], whole.keeper[labels == label])


def test_a_chain_is_not_followed() -> None:
    keeper, similarity = greedy(np.array([[0, 1], [1, 2], [2, 3], [3, 4]]), np.array([0.8, 0.9, 0.8, 0.7]), 5, 0.7)
    assert keeper.tolist() == [-1, 0, -1, 2, -1]
    assert similarity.tolist() == [0, 0.8, 0, 0.8, 0]


@given(edges=edges)
def test_components_equal_flooding(edges: Edges) -> None:
    labels = list(range(N))
    for _ in range(N):
        for a, b in edges:
            labels[a] = labels[b] = min(labels[a], labels[b])
    assert components(arrays(edges)[0], N).tolist() == labels


hashes = st.tuples(st.sampled_from([0, 1, 2**64 - 1]), st.sampled_from([0, 1, 2**64 - 1]))
"""Halves of content hashes, of which many are equal."""


@given(groups=st.lists(hashes, max_size=20), offset=st.sampled_from([0, 2**40]), data=st.data())
def test_first_of_equals_is_the_least_node_of_a_hash(groups: list[tuple[int, int]], offset: int, data: st.DataObject) -> None:
    nodes = [offset + place for place in data.draw(st.permutations(range(len(groups))))]
    high, low = np.array(groups, np.uint64).reshape(-1, 2).T
    least = {group: min(node for node, other in zip(nodes, groups, strict=True) if other == group) for group in groups}
    assert first_of_equals(high, low, np.array(nodes, np.int64)).tolist() == [least[group] for group in groups]


@given(groups=st.lists(hashes, min_size=1, max_size=20), data=st.data())
def test_first_of_equals_does_not_depend_on_the_order_of_rows(groups: list[tuple[int, int]], data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(groups)))))
    (high, low), node = np.array(groups, np.uint64).T, np.arange(len(groups))
    np.testing.assert_array_equal(first_of_equals(high[order], low[order], node[order]), first_of_equals(high, low, node)[order])

"""Who stays: greedy against a plain loop, components against flooding, exact groups against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup.exact import exact_keepers
from dedup.keepers import components, greedy, priority_order

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


ids = st.lists(st.binary(min_size=16, max_size=16), max_size=20, unique=True)


@given(ids=ids, data=st.data())
def test_priority_order_equals_a_sort_by_key(ids: list[bytes], data: st.DataObject) -> None:
    few = st.lists(st.integers(-1, 2), min_size=len(ids), max_size=len(ids))
    stars, length = data.draw(few), data.draw(few)
    order = priority_order(np.array(stars, np.int64), np.array(length, np.int64), as_bytes(ids))
    assert order.tolist() == sorted(range(len(ids)), key=lambda i: (-stars[i], -length[i], ids[i]))


@given(
    groups=st.lists(st.sampled_from([bytes(16), b"\xff" * 16, b"a" * 8 + bytes(8), bytes(8) + b"a" * 8]), max_size=20),
    data=st.data(),
)
def test_exact_keepers_equal_a_dict(groups: list[bytes], data: st.DataObject) -> None:
    rank = data.draw(st.permutations(range(len(groups))))
    best = {value: min((rank[i], i) for i, other in enumerate(groups) if other == value)[1] for value in groups}
    expected = [-1 if best[value] == i else best[value] for i, value in enumerate(groups)]
    assert exact_keepers(as_bytes(groups), np.array(rank, np.int64)).tolist() == expected


def as_bytes(ids: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)

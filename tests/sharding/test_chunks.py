from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sharding.chunks import cut, draw_objectives

NEWLINE = 7


@given(st.lists(st.lists(st.integers(0, 9), max_size=60), min_size=1, max_size=8), st.integers(2, 20))
def test_chunks_tile_documents_and_end_at_line_ends_where_they_can(documents: list[list[int]], capacity: int) -> None:
    ids = np.array([token for document in documents for token in document], np.uint32)
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    ends_line = np.arange(10) == NEWLINE
    cuts = cut(ids, offsets, np.full(len(documents), capacity, np.int64), ends_line)
    for i, document in enumerate(documents):
        mine = np.flatnonzero(cuts.document == i)
        assert cuts.number[mine].tolist() == list(range(len(mine)))
        joined = [token for k in mine for token in ids[cuts.start[k] : cuts.stop[k]].tolist()]
        assert joined == document
        assert cuts.last[mine].tolist() == [False] * (len(mine) - 1) + [True]
        for k in mine[:-1]:
            length = cuts.stop[k] - cuts.start[k]
            window = ids[cuts.start[k] + capacity // 2 : cuts.start[k] + capacity]
            assert capacity // 2 < length <= capacity
            assert ids[cuts.stop[k] - 1] == NEWLINE or (NEWLINE not in window and length == capacity)
    assert (cuts.stop - cuts.start <= capacity).all()


def test_objectives_are_drawn_by_weight_and_by_key() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 40_000, dtype=np.uint64)
    drawn = draw_objectives(keys, np.array([1.0, 3.0, 0.0]))
    assert abs((drawn == 1).mean() - 0.75) < 0.01
    assert not (drawn == 2).any()
    assert draw_objectives(keys[::-1].copy(), np.array([1.0, 3.0, 0.0])).tolist() == drawn[::-1].tolist()

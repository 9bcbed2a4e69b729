"""The order of rows over several passes, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from sharding.order import RowOrder
from sharding.permutation import Permutation


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("passes", [[5, 7, 6], [1, 1, 1], [4, 4], [1, 30, 2, 2]])
def test_order_takes_the_passes_one_after_the_other(passes: list[int], seed: int) -> None:
    order, total, cycles = RowOrder("s", passes, 0, seed), sum(passes), 4
    rows = order.training_rows(np.arange(cycles * total))
    expected: list[int] = []
    for epoch in range(cycles * len(passes)):
        number = epoch % len(passes)
        shuffled = Permutation(passes[number], "epoch", "s", seed, epoch)(np.arange(passes[number]))
        expected += [sum(passes[:number]) + place for place in shuffled.tolist()]
    assert rows.tolist() == expected
    for first in range(0, len(expected), total):
        for number, size in enumerate(passes):
            begin = sum(passes[:number])
            assert sorted(rows[first + begin : first + begin + size]) == list(range(begin, begin + size))
    if max(passes) > 4:  # the first pass comes again in another order
        assert rows[:total].tolist() != rows[total : 2 * total].tolist()
    anywhere = np.random.default_rng(seed).integers(0, len(expected), 50)
    assert order.training_rows(anywhere).tolist() == [expected[j] for j in anywhere]
    assert order.held_out_rows().tolist() == []


def test_an_epoch_is_one_pass() -> None:
    order = RowOrder("s", [5, 7, 6], 0, 0)
    counts = {0: 0, 1: 1 / 5, 5: 1, 6: 1 + 1 / 7, 12: 2, 15: 2.5, 18: 3, 36: 6, 40: 6 + 4 / 5}
    assert {samples: order.epochs(samples) for samples in counts} == pytest.approx(counts)
    assert RowOrder("s", [10], 2, 0).epochs(20) == 2.5
    assert all(RowOrder("s", [10], 2, 0).epochs(n) == n / 8 for n in range(50))

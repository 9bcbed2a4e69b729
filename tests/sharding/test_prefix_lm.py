from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_text import as_chunks, chunk, copies, example, fits
from stages import CONTROL_IDS, segments_of

from contracts.schemas import OBJECTIVES
from sharding.batch import Batch
from sharding.objectives import Controls, prefix_lm
from sharding.objectives.prefix_lm import PrefixLm

CONTROLS = Controls.of(CONTROL_IDS)
KIND = OBJECTIVES.index("prefix_lm")


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=10), st.integers(0, 5), st.integers(0, 2**32))
def test_prefixes_hold_the_head_and_end_in_the_chunk(shapes: list[tuple[int, bool]], head: int, seed: int) -> None:
    edges = np.cumsum([0, *(n for n, _ in shapes)])
    ids = np.arange(edges[-1], dtype=np.uint32)
    chunks = as_chunks(ids, edges[:-1], edges[1:], np.array([last for _, last in shapes]), seed, None, head)
    objective = PrefixLm(CONTROLS)
    made = objective.examples(chunks)
    assert objective.lengths(chunks).tolist() == np.diff(made.offsets).tolist()
    assert ((made.loss_start >= chunks.head) & (made.loss_start <= chunks.stop - chunks.start)).all()
    for i, (_, last) in enumerate(shapes):
        restored = prefix_lm.restore(example(made, i), CONTROLS)
        assert (restored.ids.tolist(), restored.last) == (chunk(chunks, i).tolist(), last)


def test_prefix_lengths_are_uniform_behind_the_head() -> None:
    made = PrefixLm(CONTROLS).examples(copies(list(range(12)), 100_000, head=2))
    counts = np.bincount(made.loss_start, minlength=13)
    assert counts[:2].sum() == 0
    assert fits(counts[2:], np.ones(11))
    assert not fits(counts[2:], [2, *np.ones(10)])


def test_batches_tell_prefix_from_target() -> None:
    table = segments_of([[5, 4, 3]], [[KIND, 1, KIND]])
    table.loss_start[:] = [2, 2, 3]
    batch = Batch.build(np.zeros((1, 12), np.uint16), table, np.zeros(1, np.int32), CONTROL_IDS)
    assert "".join(".p"[prefix] for prefix in batch.prefix[0].tolist()) == "pp..." + "...." + "ppp"
    assert "".join(".x"[target] for target in batch.loss_mask[0].tolist()) == ".xxx" + "..xx" + "..."

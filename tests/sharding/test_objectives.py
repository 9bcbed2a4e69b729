from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_text import as_chunks, chunk, example, small

from contracts.errors import ConfigError, ShardError
from contracts.schemas import OBJECTIVES as NAMES
from contracts.special_tokens import END_OF_TEXT, PAD, STARCODER
from sharding.objectives import OBJECTIVES, Controls, build, causal
from sharding.objectives.causal import Causal
from sharding.objectives.fim import FimSettings
from sharding.objectives.span_corruption import SpanCorruptionSettings
from sharding.randomness import uniforms


class Wanted:
    span_corruption = SpanCorruptionSettings(max_spans=7)
    fim = FimSettings(cut="line")


def test_every_objective_has_a_code_and_a_restore() -> None:
    assert tuple(OBJECTIVES) == NAMES[1:]
    assert all(callable(module.restore) for module in OBJECTIVES.values())
    assert [module.CODE for module in OBJECTIVES.values()] == list(range(1, len(NAMES)))


def test_objectives_are_built_with_their_settings_in_the_order_of_their_codes() -> None:
    s = small()
    built: dict[str, Any] = dict(build(reversed(NAMES[1:]), Wanted(), s.controls, s.codec))
    assert tuple(built) == NAMES[1:]
    assert built["span_corruption"].settings is Wanted.span_corruption
    assert built["fim"].settings is Wanted.fim
    assert list(build(["chat", "causal", "chat"], Wanted(), s.controls, s.codec)) == ["causal", "chat"]


def test_an_unknown_objective_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown objective 'casual'\. Did you mean 'causal'\?.*span_corruption"):
        build(["casual"], Wanted(), small().controls, small().codec)


def test_a_vocabulary_may_lack_what_nobody_needs() -> None:
    s = small()
    starcoder = Controls.of({name: i for i, name in enumerate([END_OF_TEXT, *STARCODER])})
    assert PAD in starcoder.ids
    assert list(build(["causal", "fim", "prefix_lm"], Wanted(), starcoder, s.codec)) == ["causal", "fim", "prefix_lm"]
    with pytest.raises(
        ShardError, match=r"span_corruption needs the control token <sep>, which is not in the vocabulary; it has 19: "
    ):
        build(["span_corruption"], Wanted(), starcoder, s.codec)


def test_masks_are_counted_up_to_the_first_gap() -> None:
    assert Controls.of({"<mask_1>": 9, "<mask_2>": 8, "<mask_4>": 6}).masks == (9, 8)


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=20))
def test_causal_is_undone_by_restore(shapes: list[tuple[int, bool]]) -> None:
    edges = np.cumsum([0, *(n for n, _ in shapes)])
    ids = (np.arange(edges[-1]) % 200).astype(np.uint32)
    chunks = as_chunks(ids, edges[:-1], edges[1:], np.array([last for _, last in shapes]), 0)
    objective = Causal(small().controls)
    made = objective.examples(chunks)
    assert objective.lengths(chunks).tolist() == np.diff(made.offsets).tolist()
    for i, (n, last) in enumerate(shapes):
        assert len(example(made, i)) == n + last
        restored = causal.restore(example(made, i), small().controls)
        assert (restored.ids.tolist(), restored.last) == (chunk(chunks, i).tolist(), last)


def test_uniforms_are_uniform() -> None:
    draws = uniforms(np.arange(100_000, dtype=np.uint64), 3)
    assert chisquare(np.histogram(draws, bins=50, range=(0, 1))[0]).pvalue > 1e-4

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES as NAMES
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask
from sharding.objectives import OBJECTIVES, Chunks, Examples, causal, span_corruption
from sharding.objectives.base import Controls
from sharding.objectives.causal import Causal
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.randomness import uniforms

CONTROLS = Controls.of({END_OF_TEXT: 1000, SEP: 1001, END_OF_MASK: 1002, **{mask(i): 2001 - i for i in range(1, 65)}})
SEP_ID, EOM_ID = 1001, 1002


def chunks_of(lengths: list[int], last: list[bool], seed: int = 0) -> Chunks:
    edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = (np.arange(edges[-1]) % 900).astype(np.uint32)
    keys = np.array([(seed * 7919 + i * 104729 + 1) % 2**64 for i in range(len(lengths))], np.uint64)
    return Chunks(ids, edges[:-1], edges[1:], np.array(last, np.bool_), keys, edges[:-1], np.zeros(len(edges) - 1, np.int64))


def example(examples: Examples, i: int) -> np.ndarray:
    return examples.ids[examples.offsets[i] : examples.offsets[i + 1]]


corruption_settings = st.builds(
    lambda low, width, length, spans: SpanCorruptionSettings(
        min_mask_ratio=low, max_mask_ratio=min(0.99, low + width + 1e-3), max_span_length=length, max_spans=spans
    ),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.integers(1, 300),
    st.integers(1, 64),
)


def test_every_objective_has_a_code_and_a_restore() -> None:
    assert tuple(OBJECTIVES) == NAMES[1:]
    assert all(callable(module.restore) for module in OBJECTIVES.values())


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=20), corruption_settings, st.integers(0, 2**32))
def test_span_corruption_is_undone_by_restore(shapes: list[tuple[int, bool]], settings: SpanCorruptionSettings, seed: int) -> None:
    chunks = chunks_of([n for n, _ in shapes], [last for _, last in shapes], seed)
    objective = SpanCorruption(settings, CONTROLS)
    made = objective.examples(chunks)
    for i, (n, last) in enumerate(shapes):
        ids = example(made, i)
        restored = span_corruption.restore(ids, CONTROLS)
        assert restored.last == last
        assert restored.ids.tolist() == chunks.ids[chunks.start[i] : chunks.stop[i]].tolist()
        assert len(ids) <= n + objective.overhead


@given(st.integers(1, 3000), corruption_settings, st.integers(0, 2**32))
def test_what_is_cut_out_is_what_the_settings_ask_for(n: int, settings: SpanCorruptionSettings, seed: int) -> None:
    made = SpanCorruption(settings, CONTROLS).examples(chunks_of([n], [True], seed))
    low, high = settings.min_mask_ratio * n, settings.max_mask_ratio * n
    assert max(1, round(low) - 1) <= made.masked[0] <= max(1, round(high) + 1)
    assert made.masked[0] == made.span_lengths.sum()
    assert 1 <= len(made.span_lengths) <= settings.max_spans
    holes = np.flatnonzero(np.isin(made.ids[: np.flatnonzero(made.ids == SEP_ID)[0]], CONTROLS.masks))
    assert (np.diff(holes) > 1).all(), "spans touch"


def test_the_published_layout() -> None:
    settings = SpanCorruptionSettings(min_mask_ratio=0.3, max_mask_ratio=0.3, max_span_length=1, max_spans=3)
    ids = SpanCorruption(settings, CONTROLS).examples(chunks_of([10], [True])).ids.tolist()
    at = [i for i, token in enumerate(ids) if token in (2000, 1999, 1998)]
    assert [ids[i] for i in at] == [2000, 1999, 1998, 2000, 1999, 1998]
    assert ids[11 - 1 : 12] == [CONTROLS.end_of_text, SEP_ID]  # <|endoftext|> closes the file before <sep>
    assert [ids[i + 2] for i in at[3:]] == [EOM_ID] * 3
    assert len(ids) == 10 + 2 + 3 * 3


def test_no_end_of_text_before_the_end_of_the_document() -> None:
    settings = SpanCorruptionSettings()
    assert CONTROLS.end_of_text not in SpanCorruption(settings, CONTROLS).examples(chunks_of([50], [False])).ids
    assert CONTROLS.end_of_text not in Causal(CONTROLS).examples(chunks_of([50], [False])).ids


def test_mask_ratio_and_span_length_are_uniform() -> None:
    settings = SpanCorruptionSettings(min_mask_ratio=0.1, max_mask_ratio=0.5, max_span_length=40, max_spans=64)
    made = SpanCorruption(settings, CONTROLS).examples(chunks_of([2000] * 4000, [True] * 4000))
    ratios = np.histogram(made.masked / 2000, bins=8, range=(0.1, 0.5))[0]
    assert ((ratios - 500) ** 2 / 500).sum() < 24.3  # chi-square, 7 degrees of freedom, p = 0.001
    lengths = np.bincount(made.span_lengths, minlength=41)[1:]
    assert abs(lengths[:20].sum() / lengths.sum() - 0.5) < 0.03  # cut spans make short ones a little more frequent
    assert made.span_lengths.max() == 40


def test_every_place_is_equally_likely_to_be_cut_out() -> None:
    settings = SpanCorruptionSettings(min_mask_ratio=0.25, max_mask_ratio=0.25, max_span_length=1, max_spans=5)
    n, times = 20, 20_000
    made = SpanCorruption(settings, CONTROLS).examples(chunks_of([n] * times, [False] * times))
    counts = np.zeros(n)
    for i in range(times):
        ids = example(made, i)
        tail = ids[np.flatnonzero(ids == SEP_ID)[0] + 1 :]
        counts += np.bincount((tail[tail < 900].astype(np.int64) - i * n) % 900, minlength=n)[:n]
    # Five single tokens that may not touch, in twenty places: the ends are favoured, the middle is flat.
    assert np.ptp(counts[4:-4]) < 0.06 * counts.mean()


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=20))
def test_causal_is_undone_by_restore(shapes: list[tuple[int, bool]]) -> None:
    chunks = chunks_of([n for n, _ in shapes], [last for _, last in shapes])
    made = Causal(CONTROLS).examples(chunks)
    for i, (_, last) in enumerate(shapes):
        restored = causal.restore(example(made, i), CONTROLS)
        assert restored.last == last
        assert restored.ids.tolist() == chunks.ids[chunks.start[i] : chunks.stop[i]].tolist()


@given(st.integers(2, 200), st.integers(0, 2**32), st.data())
def test_a_torn_example_is_refused(n: int, seed: int, data: st.DataObject) -> None:
    ids = SpanCorruption(SpanCorruptionSettings(), CONTROLS).examples(chunks_of([n], [True], seed)).ids
    cut = data.draw(st.integers(0, len(ids) - 1))
    with pytest.raises(ShardError):
        span_corruption.restore(ids[:cut], CONTROLS)


def test_more_spans_than_sentinels_are_refused() -> None:
    with pytest.raises(ShardError, match=r"max_spans = 100.*64 <mask_i> tokens"):
        SpanCorruption(SpanCorruptionSettings(max_spans=100), CONTROLS)


def test_an_example_depends_on_its_key_alone() -> None:
    objective = SpanCorruption(SpanCorruptionSettings(), CONTROLS)
    many = chunks_of([100, 200, 300], [True, True, True])
    alone = Chunks(many.ids, many.start[1:2], many.stop[1:2], many.last[1:2], many.key[1:2], many.begin[1:2], many.head[1:2])
    assert example(objective.examples(many), 1).tolist() == objective.examples(alone).ids.tolist()


def test_uniforms_are_uniform() -> None:
    draws = uniforms(np.arange(100_000, dtype=np.uint64), 3)
    counts = np.histogram(draws, bins=50, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 85.4  # 49 degrees of freedom, p = 0.001

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_text import as_chunks, chunk, copies, example, fits, only

from contracts.errors import ShardError
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask
from sharding.objectives import Controls, span_corruption
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings

CONTROLS = Controls.of({END_OF_TEXT: 1000, SEP: 1001, END_OF_MASK: 1002, **{mask(i): 2001 - i for i in range(1, 129)}})

any_settings = st.builds(
    lambda variant, low, width, length, spans, density, mean: SpanCorruptionSettings(
        variant=variant,
        min_mask_ratio=low,
        max_mask_ratio=min(0.99, low + width + 1e-3),
        max_span_length=length,
        max_spans=spans,
        noise_density=density,
        mean_span_length=mean,
    ),
    st.sampled_from(["codegen2", "t5"]),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.integers(1, 300),
    st.integers(1, 64),
    st.floats(0.01, 0.99),
    st.floats(1, 20),
)

codegen2_settings = any_settings.map(lambda settings: settings.model_copy(update={"variant": "codegen2"}))


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=20),
    any_settings,
    st.integers(0, 9),
    st.integers(0, 2**32),
)
def test_every_chunk_comes_back_and_its_head_stays(
    shapes: list[tuple[int, bool]], settings: SpanCorruptionSettings, head: int, seed: int
) -> None:
    edges = np.cumsum([0, *(n for n, _ in shapes)])
    ids = (np.arange(edges[-1]) % 900).astype(np.uint32)
    chunks = as_chunks(ids, edges[:-1], edges[1:], np.array([last for _, last in shapes]), seed, None, head)
    objective = SpanCorruption(settings, CONTROLS)
    made = objective.examples(chunks)
    assert objective.lengths(chunks).tolist() == np.diff(made.offsets).tolist()
    for i, (n, last) in enumerate(shapes):
        restored = span_corruption.restore(example(made, i), CONTROLS)
        assert (restored.ids.tolist(), restored.last) == (chunk(chunks, i).tolist(), last)
        assert len(example(made, i)) <= n + objective.overhead
        assert example(made, i)[: chunks.head[i]].tolist() == chunk(chunks, i)[: chunks.head[i]].tolist()
        behind = n - int(chunks.head[i])
        assert min(1, behind) <= made.masked[i] <= behind
    assert made.masked.sum() == made.span_lengths.sum()
    if len(made.span_lengths):
        assert made.span_lengths.min() >= 1
        assert (made.span_starts >= 0).all()


@given(st.integers(1, 3000), codegen2_settings, st.integers(0, 2**32))
def test_what_is_cut_out_is_what_the_settings_ask_for(n: int, settings: SpanCorruptionSettings, seed: int) -> None:
    made = SpanCorruption(settings, CONTROLS).examples(copies([0] * n, 1, seed))
    low, high = settings.min_mask_ratio * n, settings.max_mask_ratio * n
    assert max(1, round(low) - 1) <= made.masked[0] <= max(1, round(high) + 1)
    assert 1 <= len(made.span_lengths) <= settings.max_spans
    ends = made.span_starts + made.span_lengths
    assert (made.span_starts[1:] > ends[:-1]).all(), "spans touch"
    assert made.span_starts[0] >= 0
    assert ends[-1] <= n


def picture(ids: np.ndarray[Any, Any]) -> str:
    names = {index: name for name, index in CONTROLS.ids.items()}
    return "".join(names.get(token) or chr(ord("a") + token) for token in ids.tolist())


def test_the_published_layout() -> None:
    settings = SpanCorruptionSettings(min_mask_ratio=0.5, max_mask_ratio=0.5, max_span_length=3, max_spans=2)
    objective = SpanCorruption(settings, CONTROLS)
    chunks = copies(list(range(10)), 500)
    made = objective.examples(chunks)
    wanted = "ab<mask_1>ef<mask_2>j<|endoftext|><sep><mask_1>cd<eom><mask_2>ghi<eom>"
    assert wanted in [picture(example(made, i)) for i in range(500)]
    unfinished = objective.examples(chunks._replace(last=~chunks.last))
    pictures = [picture(example(unfinished, i)) for i in range(500)]
    assert wanted.replace("<|endoftext|>", "") in pictures
    assert not any("<|endoftext|>" in each for each in pictures)


def test_single_tokens_are_cut_out_anywhere_as_likely_where_they_do_not_touch() -> None:
    settings = SpanCorruptionSettings(min_mask_ratio=0.375, max_mask_ratio=0.375, max_span_length=1, max_spans=3)
    made = SpanCorruption(settings, CONTROLS).examples(copies(list(range(8)), 100_000))
    seen = Counter(map(tuple, made.span_starts.reshape(-1, 3).tolist()))
    wanted = [places for places in itertools.combinations(range(8), 3) if min(np.diff(places)) > 1]
    assert set(seen) == set(wanted)
    assert fits([seen[places] for places in wanted], np.ones(20))


@given(st.integers(2, 200), st.integers(0, 2**32), st.data())
def test_a_torn_example_is_refused(n: int, seed: int, data: st.DataObject) -> None:
    ids = SpanCorruption(SpanCorruptionSettings(), CONTROLS).examples(copies([0] * n, 1, seed)).ids
    cut = data.draw(st.integers(0, len(ids) - 1))
    with pytest.raises(ShardError):
        span_corruption.restore(ids[:cut], CONTROLS)


def test_more_spans_than_sentinels_are_refused() -> None:
    with pytest.raises(ShardError, match=r"max_spans = 200.*128 <mask_i> tokens"):
        SpanCorruption(SpanCorruptionSettings(max_spans=200), CONTROLS)


@given(st.integers(2, 1500), st.floats(0.01, 0.99), st.floats(1, 20), st.integers(1, 128), st.integers(0, 2**32))
def test_t5_masks_as_many_tokens_in_as_many_spans_as_it_says(n: int, density: float, mean: float, spans: int, seed: int) -> None:
    settings = SpanCorruptionSettings(variant="t5", noise_density=density, mean_span_length=mean, max_spans=spans)
    made = SpanCorruption(settings, CONTROLS).examples(copies(list(range(n)), 1, seed))
    noise = min(max(round(n * density), 1), n - 1)
    assert made.masked[0] == noise
    assert len(made.span_lengths) == min(max(round(noise / mean), 1), spans, noise, n - noise)
    gaps = np.diff(made.span_starts, prepend=0) - np.concatenate([[0], made.span_lengths[:-1]])
    assert gaps.min() >= 1, "the first stretch stays, and spans do not touch"
    assert made.span_starts[-1] + made.span_lengths[-1] == n, "the last stretch is a span"


def compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    """Every way to write a total as a sum of so many numbers of 1 or more."""
    bars = itertools.combinations(range(1, total), parts - 1)
    return [tuple(np.diff([0, *places, total]).tolist()) for places in bars]


def test_t5_segments_both_kinds_uniformly() -> None:
    settings = SpanCorruptionSettings(variant="t5", noise_density=0.4, mean_span_length=2, max_spans=128)
    made = SpanCorruption(settings, CONTROLS).examples(copies(list(range(15)), 100_000))
    lengths, starts = made.span_lengths.reshape(-1, 3), made.span_starts.reshape(-1, 3)
    kept = np.diff(starts, axis=1, prepend=0) - np.pad(lengths[:, :2], ((0, 0), (1, 0)))
    seen = Counter(zip(map(tuple, lengths.tolist()), map(tuple, kept.tolist()), strict=True))
    wanted = list(itertools.product(compositions(6, 3), compositions(9, 3)))
    assert set(seen) == set(wanted)
    counts = [seen[each] for each in wanted]
    assert fits(counts, np.ones(len(wanted)))
    assert not fits(counts, [1 + (spans[0] == 1) * 0.1 for spans, _ in wanted])


def test_t5s_published_proportions() -> None:
    settings = SpanCorruptionSettings(variant="t5", max_spans=128)
    made = SpanCorruption(settings, CONTROLS).examples(copies([0] * 512, 1))
    assert (made.masked[0], len(made.span_lengths)) == (77, 26)  # 15 % of 512 in spans of 3: arXiv 1910.10683


def test_codegen2s_spans_are_where_uniform_gaps_put_them() -> None:
    """One span of two in six tokens: five places, each as likely; with a head of two, three."""
    settings = SpanCorruptionSettings(min_mask_ratio=0.33, max_mask_ratio=0.34, max_spans=1)
    for head, masked, places in ((0, 2, 5), (3, 1, 3)):
        made = SpanCorruption(settings, CONTROLS).examples(copies(list(range(6)), 100_000, head=head))
        assert (made.masked == masked).all()
        counts = np.bincount(made.span_starts - head, minlength=places)
        assert fits(counts, np.ones(places))
        assert not fits(counts, [1.05, *np.ones(places - 1)])


@pytest.mark.parametrize("variant", ["codegen2", "t5"])
def test_an_example_depends_on_its_key_alone(variant: str) -> None:
    start = np.arange(20) * 50
    chunks = as_chunks(np.arange(1000, dtype=np.uint32) % 900, start, start + 50, np.ones(20, np.bool_), 3)
    objective = SpanCorruption(SpanCorruptionSettings.model_validate({"variant": variant}), CONTROLS)
    many = objective.examples(chunks)
    few = objective.examples(only(chunks, [17, 4]))
    assert [example(few, k).tolist() for k in range(2)] == [example(many, i).tolist() for i in (17, 4)]


def test_the_tokens_it_cannot_do_without_are_named() -> None:
    with pytest.raises(
        ShardError, match=r"span_corruption needs the control token <mask_1>.*Set the weight of span_corruption to 0"
    ):
        SpanCorruption(SpanCorruptionSettings(), Controls.of({END_OF_TEXT: 0, SEP: 1, END_OF_MASK: 2}))

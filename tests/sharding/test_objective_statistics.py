from __future__ import annotations

import numpy as np
from small_text import copies, fits, small
from stages import CONTROL_IDS

from sharding.objectives import Chunks, Controls, Examples
from sharding.objectives.base import plain_examples
from sharding.objectives.causal import Causal
from sharding.objectives.chat import Chat
from sharding.objectives.fim import Fim, FimSettings
from sharding.objectives.prefix_lm import PrefixLm
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.objectives.statistics import BINS, count

CONTROLS = Controls.of({**CONTROL_IDS, **{f"<mask_{i}>": 2000 + i for i in range(5, 65)}})
TIMES = 100_000
N = 200


def corrupted(**settings: object) -> tuple[Examples, Chunks]:
    chunks = copies(list(range(N)), TIMES)
    return SpanCorruption(SpanCorruptionSettings.model_validate(settings), CONTROLS).examples(chunks), chunks


def test_mask_ratios_are_uniform_between_their_bounds() -> None:
    made = count("span_corruption", *corrupted(min_mask_ratio=0.1, max_mask_ratio=0.4))
    # A ratio is rounded to whole tokens, of which a bin of 5 % holds ten: half a token more or less at the two ends.
    tokens = np.clip(np.arange(N + 1) + 0.5, 20, 80) - np.clip(np.arange(N + 1) - 0.5, 20, 80)
    wanted = tokens[:N].reshape(BINS, 10).sum(axis=1)
    there = wanted > 0
    counts = np.array(made["mask_ratio_histogram"])
    assert counts[~there].sum() == 0
    assert fits(counts[there], wanted[there])
    other = np.array(count("span_corruption", *corrupted(min_mask_ratio=0.1, max_mask_ratio=0.41))["mask_ratio_histogram"])
    assert not fits(other[there], wanted[there])


def test_span_lengths_are_uniform_up_to_the_longest() -> None:
    examples, chunks = corrupted(min_mask_ratio=0.5, max_mask_ratio=0.5, max_span_length=4, max_spans=64)
    made = count("span_corruption", examples, chunks)
    assert made["masked_tokens"] == TIMES * N // 2
    # Of the spans that add up to 100 the last is cut to fit: count all ways to get there by renewal.
    reached = np.zeros(101)  # expected number of times that `left` tokens are left to be drawn
    reached[100] = 1
    lengths = np.zeros(5)
    for left in range(100, 0, -1):
        for drawn in range(1, 5):
            length = min(left, drawn)
            lengths[length] += reached[left] / 4
            reached[left - length] += reached[left] / 4
    histogram = np.array(made["span_length_log2_histogram"])
    assert histogram[3:].sum() == 0
    wanted = np.array([lengths[1], lengths[2] + lengths[3], lengths[4]])
    # Spans of one example depend on one another, which makes their counts vary less than chance: the test is strict where it fails.
    assert fits(histogram[:3], wanted)
    assert abs(int(made["spans"]) / TIMES - lengths.sum()) < 0.05
    assert not fits(histogram[:3], [1, 2, 1])


def test_positions_of_single_spans_are_uniform() -> None:
    settings = {"min_mask_ratio": 0.005, "max_mask_ratio": 0.005, "max_spans": 1}
    made = count("span_corruption", *corrupted(**settings))
    assert made["spans"] == TIMES
    assert fits(made["span_position_histogram"], np.ones(BINS))
    assert not fits(made["span_position_histogram"], [1.1, *np.ones(BINS - 1)])


def test_infill_counts_and_cuts_are_what_the_settings_ask_for() -> None:
    s, chunks = small(), copies([65] * 199, TIMES, head=0)
    made = count("fim", Fim(FimSettings(rate=0.8, spm_rate=0.25, cut="token"), s.controls, s.codec).examples(chunks), chunks)
    counts = [made["psm"], made["spm"], made["untransformed"]]
    assert fits(counts, [0.6, 0.2, 0.2])
    assert not fits(counts, [0.59, 0.21, 0.2])
    # The places 0 … 199 of 199 tokens: bins of 5 % hold ten each, but for the last, which holds the end too.
    places = np.bincount(np.minimum(19, np.arange(200) * 20 // 199), minlength=20)
    assert fits(made["cut_position_histogram"], places)
    assert not fits(made["cut_position_histogram"], np.r_[np.ones(19), 1.1])
    assert sum(made["middle_length_log2_histogram"]) == TIMES - int(counts[2])  # type: ignore[arg-type]


def test_prefix_shares_are_uniform() -> None:
    chunks = copies(list(range(201)), TIMES, head=2)
    made = count("prefix_lm", PrefixLm(CONTROLS).examples(chunks), chunks)
    places = np.bincount(np.minimum(19, np.arange(200) * 20 // 199), minlength=20)
    assert fits(made["prefix_share_histogram"], places)
    assert not fits(made["prefix_share_histogram"], np.r_[1.1, np.ones(19)])


def test_conversations_without_an_answer_are_counted() -> None:
    user, assistant = CONTROLS.ids["<dummy_1>"], CONTROLS.ids["<dummy_2>"]
    chunks = copies([user, 1, assistant, 2, user, 3], 2)
    chunks = chunks._replace(stop=np.array([2, 6]))
    assert count("chat", Chat(CONTROLS).examples(chunks), chunks) == {"examples": 2, "examples_without_targets": 1}


def test_counts_add_up_over_windows() -> None:
    examples, chunks = corrupted(max_spans=5)
    whole = count("span_corruption", examples, chunks)
    objective = SpanCorruption(SpanCorruptionSettings(max_spans=5), CONTROLS)
    halves = []
    for part in (slice(0, 777), slice(777, None)):
        few = Chunks(chunks.ids, *(column[part] for column in chunks[1:] if column is not None))
        halves.append(count("span_corruption", objective.examples(few), few))
    for name, value in whole.items():
        assert np.array_equal(value, np.add(halves[0][name], halves[1][name])), name


def test_causal_examples_have_nothing_to_count_and_no_examples_count_nothing() -> None:
    chunks = copies([1, 2], 3)
    assert count("causal", Causal(CONTROLS).examples(chunks), chunks) == {}
    none = copies([1], 0)
    for name in ("span_corruption", "fim", "prefix_lm", "chat"):
        nothing = count(name, plain_examples(1, none.ids, np.zeros(1, np.int64)), none)
        assert all(np.sum(value) == 0 for value in nothing.values())

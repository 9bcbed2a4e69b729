from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages import CONTEXT, segments_of, write_passes, write_stage

from contracts.errors import ConfigError, ShardError
from sharding.batch import Batch
from sharding.loader import Loader
from sharding.order import RowOrder, hold_out
from sharding.prefetch import prefetch
from sharding.shards import ShardSet, open_shards


@pytest.fixture
def shards(stage: Path) -> ShardSet:
    return open_shards(str(stage))


def origins(batch: Batch) -> list[tuple[str, int]]:
    """(first letter of source, row) of each row, as written into its ids."""
    return [(chr(row[0]), int(row[1]) * 256 + int(row[2])) for row in batch.input_ids]


def sequence(loader: Loader, samples: int) -> list[tuple[str, int]]:
    return origins(loader.samples(np.arange(samples)))


def test_an_epoch_holds_every_row_once_and_the_next_in_another_order(shards: ShardSet) -> None:
    loader, total = Loader(shards, seed=3), 387
    first, second = sequence(loader, 2 * total)[:total], sequence(loader, 2 * total)[total:]
    everything = sorted((source[0], row) for source in shards.sources for row in range(shards.rows(source)))
    assert sorted(first) == everything
    assert sorted(second) == everything
    assert first != second
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 20


def test_held_out_rows_are_never_given_out(shards: ShardSet) -> None:
    held_out = hold_out({source: shards.rows(source) for source in shards.sources}, 30)
    assert held_out == {"code": 3, "prose": 4, "issues": 24}
    loader = Loader(shards, held_out=held_out)
    kept_back = [origin for source in loader.sources for origin in origins(loader.held_out_batch(source))]
    assert len(set(kept_back)) == 31
    given_out = sequence(loader, 387 - 31)
    assert len(set(given_out)) == 387 - 31
    assert not set(given_out) & set(kept_back)


@given(rows=st.integers(1, 400), share=st.floats(0, 0.99), seed=st.integers(0, 50))
def test_order_splits_and_repeats(rows: int, share: float, seed: int) -> None:
    held_out = int(rows * share)
    order = RowOrder("s", [rows], held_out, seed)
    training = order.training_rows(np.arange(2 * order.training))
    for epoch in (training[: order.training], training[order.training :]):
        assert sorted([*epoch, *order.held_out_rows()]) == list(range(rows))


@pytest.mark.parametrize("world_size", [2, 3, 4, 12])
def test_any_world_size_gives_the_same_global_batches(shards: ShardSet, world_size: int) -> None:
    alone = Loader(shards, {"code": 1.0, "prose": 2.5}, seed=1, batch_size=12)
    for step in (0, 1, 40):
        parts = [Loader(shards, {"code": 1.0, "prose": 2.5}, 1, 12, rank, world_size).batch(step) for rank in range(world_size)]
        assert [origin for part in parts for origin in origins(part)] == origins(alone.batch(step))


def test_resume_goes_on_where_it_stopped_at_other_sizes(shards: ShardSet) -> None:
    whole = sequence(Loader(shards, seed=5), 240)
    got: list[tuple[str, int]] = []
    for batch_size in (4, 10, 1, 30):  # stopped and resumed thrice, each time with another batch size
        loader = Loader(shards, seed=5, batch_size=batch_size)
        position = loader.resume(loader.state(len(got)))
        for batch in islice(loader.iterate(position), 5):
            got += origins(batch)
    assert got == whole[: len(got)]
    assert len(got) == 225


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"seed": 1}, "seed"),
        ({"weights": {"code": 1.0}}, "mixture"),
        ({"held_out": {"code": 1}}, "mixture, held-out rows"),
    ],
)
def test_a_state_of_another_sequence_is_refused(shards: ShardSet, other: dict[str, object], words: str) -> None:
    state = Loader(shards).state(8)
    with pytest.raises(ShardError, match=f"made with other {words}, so .* Restore them"):
        Loader(shards, **other).resume(state)  # type: ignore[arg-type]


def test_a_state_of_other_shards_is_refused(shards: ShardSet) -> None:
    state = Loader(shards).state(8)
    entries = [replace(shards.manifest.files[0], xxh3_64="f" * 16), *shards.manifest.files[1:]]
    altered = ShardSet(shards.stage_dir, replace(shards.manifest, files=entries), shards.strata)
    with pytest.raises(ShardError, match="other shards"):
        Loader(altered).resume(state)


def test_weights_decide_the_mixture(shards: ShardSet) -> None:
    loader = Loader(shards, {"code": 3.0, "prose": 1.0, "issues": 0.0}, batch_size=8)
    plans = {plan.source: plan for plan in loader.plan(100)}
    assert loader.sources == ["code", "prose"]
    assert (plans["code"].rows, plans["prose"].rows) == (600, 200)
    assert plans["code"].epochs == 600 / 37
    assert plans["code"].tokens == 600 * CONTEXT
    drawn = [source for source, _ in sequence(loader, 800)]
    assert drawn.count("c") == 600


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"weights": {"cod": 1.0}}, "Did you mean 'code'"),
        ({"weights": {"code": -1.0}}, "0 or more"),
        ({"held_out": {"cod": 1}}, "unknown source in held_out 'cod'. Did you mean 'code'.*Known: code, issues, prose"),
        ({"held_out": {"code": 47}}, "47 rows of 'code', which has 37; 0 to 36 is allowed"),
        ({"held_out": {"code": 37}}, "37 rows of 'code', which has 37; 0 to 36 is allowed"),
        ({"held_out": {"code": -1}}, "-1 rows of 'code', which has 37; 0 to 36 is allowed"),
        ({"batch_size": 0}, "does not divide"),
        ({"batch_size": 6, "world_size": 4}, "Choose a multiple of 4"),
        ({"batch_size": 4, "world_size": 4, "rank": 4}, "0 to 3 is allowed"),
    ],
)
def test_settings_that_do_not_fit_are_refused(shards: ShardSet, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Loader(shards, **arguments)  # type: ignore[arg-type]


def test_a_weight_on_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    shards = open_shards(str(write_stage(tmp_path, [("c.arrow", "code", 3), ("e.arrow", "empty", 0)])))
    assert Loader(shards).sources == ["code"]
    with pytest.raises(ConfigError, match=r"'empty' has weight 1\.0 but no training rows"):
        Loader(shards, {"empty": 1.0})


@pytest.fixture
def five_passes(tmp_path: Path) -> ShardSet:
    return open_shards(str(write_passes(tmp_path, [(f"{number:05d}.arrow", 4 + number, number) for number in range(5)], epochs=5)))


def test_a_plan_counts_passes_over_the_documents(five_passes: ShardSet) -> None:
    loader = Loader(five_passes, batch_size=6)
    assert [each.epochs for steps in (5, 10) for each in loader.plan(steps)] == [5.0, 10.0]
    assert [each.rows for each in loader.plan(5)] == [five_passes.rows("code")]


def test_rows_that_come_again_in_other_passes_cannot_be_held_out(five_passes: ShardSet) -> None:
    assert Loader(five_passes, held_out={"code": 0}).held_out == {"code": 0}
    with pytest.raises(ConfigError, match="1 rows of 'code', whose documents come again in its 5 passes: only 0 is allowed"):
        Loader(five_passes, held_out={"code": 1})


def test_a_weight_of_a_source_goes_to_the_languages_that_have_none(tmp_path: Path) -> None:
    files = [("g.arrow", "code/go", 10), ("j.arrow", "code/java", 30), ("r.arrow", "code/rust", 20), ("p.arrow", "prose", 9)]
    shards = open_shards(str(write_stage(tmp_path, files)))

    def shares(**weights: float) -> dict[str, float]:
        plans = Loader(shards, {name.replace("_", "/"): weight for name, weight in weights.items()}).plan(1)
        return {plan.source: plan.share for plan in plans}

    dealt = {"code/go": 0.125, "code/java": 0.375, "code/rust": 0.5}
    assert shares(code=1.0, code_rust=1.0) == pytest.approx(dealt, abs=1e-6)
    assert shares(code_rust=1.0, code=1.0) == pytest.approx(dealt, abs=1e-6)
    each = {"code_go": 1.0, "code_java": 1.0, "code_rust": 2.0}
    assert shares(code=0.0, **each) == shares(**each) == {"code/go": 0.25, "code/java": 0.25, "code/rust": 0.5}
    with pytest.raises(
        ConfigError, match=r"weight 1\.5 of source 'code' has no language left to go to: code/go, code/java, code/rust have"
    ):
        shares(code=1.5, **each)
    with pytest.raises(ConfigError, match="unknown source 'cod'"):
        shares(cod=1.0)


def test_a_source_is_large_only_in_its_manifest(shards: ShardSet) -> None:
    huge = {source: replace(stratum, first_rows=stratum.first_rows + 0) for source, stratum in shards.strata.items()}
    huge["issues"].first_rows[-1] = 2**40
    began = time.perf_counter()
    loader = Loader(ShardSet(shards.stage_dir, shards.manifest, huge), seed=1)
    source, rows = loader.locate(np.arange(2**40, 2**40 + 1000))
    assert time.perf_counter() - began < 1
    assert rows[source == loader.sources.index("issues")].max() > 2**39


def brute_force(segments: list[list[tuple[int, int, int]]]) -> list[list[tuple[int, int, int, bool]]]:
    """(segment, position, kind, is target) of every token, from (length, kind, loss_start) of every segment."""
    rows = []
    for row in segments:
        tokens = []
        for number, (length, kind, loss_start) in enumerate(row):
            tokens += [(number, at, kind, at > 0 and kind > 0 and at >= loss_start) for at in range(length)]
        rows.append(tokens)
    return rows


segment_rows = st.lists(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=2).map(
        lambda row: [(n, k, min(n, s)) for n, k, s in row] + [(12 - sum(n for n, _, _ in row), 1, 0)]
    ),
    max_size=6,
)


@given(rows=segment_rows)
def test_tokens_know_their_segment(rows: list[list[tuple[int, int, int]]]) -> None:
    table = segments_of([[n for n, _, _ in row] for row in rows], [[k for _, k, _ in row] for row in rows])
    table.loss_start[:] = [s for row in rows for _, _, s in row]
    batch = Batch.build(np.zeros((len(rows), 12), np.uint16), table, np.zeros(len(rows), np.int32), {})
    columns = np.array(brute_force(rows), np.int64).reshape(len(rows), 12, 4)
    assert np.array_equal(batch.segment, columns[..., 0])
    assert np.array_equal(batch.positions, columns[..., 1])
    assert np.array_equal(batch.kind, columns[..., 2])
    assert np.array_equal(batch.loss_mask, columns[:, 1:, 3])
    assert [batch.segment.dtype, batch.positions.dtype, batch.kind.dtype] == [np.int32, np.int32, np.uint8]


def test_micro_batches_are_the_batch(shards: ShardSet) -> None:
    batch = Loader(shards, batch_size=6).batch(2)
    halves = [batch.rows(0, 3), batch.rows(3, 6)]
    for name, value in vars(batch).items():
        assert np.array_equal(np.concatenate([vars(half)[name] for half in halves]), value)
        assert np.shares_memory(vars(halves[0])[name], value)


def test_prefetch_keeps_order_and_passes_errors_on() -> None:
    def failing() -> Iterator[int]:
        yield from range(5)
        raise ShardError("torn")

    seen = []
    with pytest.raises(ShardError, match="torn"):  # noqa: PT012
        for item in prefetch(failing()):
            seen.append(item)  # noqa: PERF402
    assert seen == [0, 1, 2, 3, 4]
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_prefetch_works_ahead_no_further_than_told_and_ends_with_its_reader() -> None:
    made: list[int] = []

    def counting() -> Iterator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    threads = threading.active_count()
    ahead = prefetch(counting(), depth=2)
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == threads
    assert len(made) <= 5

"""Splitting: complete, within the size asked for, and blind to names and order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.base import Input, Part
from pipelines.sources.parts import cap, split_by_digest, split_by_label

INPUTS = st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(1, 40), max_size=6)), max_size=12)


def inputs_of(drawn: list[tuple[int, list[int]]]) -> list[Input]:
    """Equal digests have equal bytes, hence equal units."""
    units_of: dict[int, tuple[int, ...]] = {}
    for digest, units in drawn:
        units_of.setdefault(digest, tuple(units))
    return [Input(f"file{i}", 10, f"{digest:016x}", units_of[digest]) for i, (digest, _) in enumerate(drawn)]


def pieces(parts: list[Part]) -> list[tuple[str, int, int]]:
    """(digest, copy, piece) of everything the parts cover; piece -1 for an input without pieces."""
    covered = []
    for part in parts:
        for each in part.inputs:
            numbers = range(part.start, part.stop or len(each.units)) if each.units else [-1]
            covered += [(each.digest, part.copy, number) for number in numbers]
    return covered


def size_of(part: Part) -> int:
    return sum(sum(each.units[part.start : part.stop or None]) or each.size for each in part.inputs)


@given(INPUTS, st.integers(1, 100))
def test_every_piece_is_in_one_part(drawn: list[tuple[int, list[int]]], part_bytes: int) -> None:
    inputs = inputs_of(drawn)
    parts = split_by_digest("s", inputs, part_bytes, None)
    covered = pieces(parts)
    assert len(covered) == len(set(covered)) == sum(len(each.units) or 1 for each in inputs)
    for part in parts:
        one_piece = len(part.inputs) == 1 and (part.stop - part.start == 1 or len(part.inputs[0].units) <= 1)
        assert size_of(part) <= part_bytes or one_piece


@given(INPUTS, st.integers(1, 100), st.integers(1, 200), st.randoms(use_true_random=False))
def test_names_and_order_decide_nothing(
    drawn: list[tuple[int, list[int]]], part_bytes: int, limit: int, rng: random.Random
) -> None:
    inputs = inputs_of(drawn)
    renamed = [Input(f"elsewhere{rng.random()}", each.size, each.digest, each.units) for each in inputs]
    rng.shuffle(renamed)
    for max_bytes in (None, limit):
        one = split_by_digest("s", inputs, part_bytes, max_bytes)
        two = split_by_digest("s", renamed, part_bytes, max_bytes)
        assert pieces(one) == pieces(two)


@given(INPUTS, st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_a_cap_holds_and_does_not_depend_on_part_size(
    drawn: list[tuple[int, list[int]]], limit: int, first_size: int, second_size: int
) -> None:
    inputs = inputs_of(drawn)
    chosen = cap(inputs, limit)
    total = sum(sum(each.units) or each.size for each in chosen)
    assert total <= limit or sum(len(each.units) or 1 for each in chosen) == 1
    assert bool(chosen) == bool(inputs)
    one, two = (split_by_digest("s", inputs, size, limit) for size in (first_size, second_size))
    assert sorted(pieces(one)) == sorted(pieces(two))


def test_a_cap_takes_all_that_fits() -> None:
    inputs = [Input(f"f{i}", 10, f"{i:016x}") for i in range(20)]
    assert len(cap(inputs, 55)) == 5
    assert len(cap(inputs, 1000)) == 20
    assert {each.path for each in cap(inputs, 55)} <= {each.path for each in cap(inputs, 105)}


def test_a_capped_input_is_read_only_to_its_cap() -> None:
    (part,) = split_by_digest("s", [Input("f", 30, "0", (10, 10, 10))], 100, 25)
    assert (part.start, part.stop, part.inputs[0].units) == (0, 0, (10, 10))


def test_labels_order_source_trees() -> None:
    inputs = [Input(f"/x/{name}", 10, digest, label=name) for name, digest in (("b", "1"), ("a", "3"), ("c", "2"))]
    parts = split_by_label("s", inputs, 20, None)
    assert [[each.label for each in part.inputs] for part in parts] == [["a", "b"], ["c"]]

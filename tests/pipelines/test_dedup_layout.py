"""How the work is cut: nothing is left out, nothing is done twice, and no exchange holds more than it may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from dedup.banding import Banding
from pipelines.dedup_settings import ExchangeSettings
from pipelines.dedup_steps.layout import (
    DOCUMENTS_A_BUCKET,
    HASH_ROW,
    KEY_ROW,
    LEAST_ITEMS,
    MATCH_BYTES,
    MOST_BLOCK_BYTES,
    MOST_ITEM_BYTES,
    NODE_ROW,
    PRIORITY_ROW,
    Layout,
    Passes,
    deal,
    deal_rows,
    gathered,
    layout_of,
    records,
    share_of,
)
from pipelines.dedup_steps.pairs import EDGE
from pipelines.stage import Receipt, Stage

MIB = 2**20

layouts = st.builds(
    lambda documents, bands, settings: Layout(documents * settings.bytes // MIB, bands, settings),
    documents=st.integers(0, 3) | st.integers(0, 10**6),
    bands=st.integers(1, 100),
    settings=st.builds(ExchangeSettings, bytes=st.integers(MIB, 2**36), bands=st.none() | st.integers(1, 120)),
)
"""At most 16 exchanges a band."""
cut_up = st.builds(Passes, name=st.just("step"), items=st.integers(0, 200), each=st.integers(1, 30))
words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**32 - 1, 2**32, 2**63, 2**64 - 1])


def assert_each_item_is_in_one_pass(passes: Passes) -> None:
    assert [item for items in passes.names.values() for item in items] == list(range(passes.items))
    assert all(0 < len(items) <= passes.each for items in passes.names.values())
    assert list(passes.names) == sorted(passes.names), "steps are shown in the order of their items"


@given(passes=cut_up)
def test_every_item_is_in_exactly_one_pass(passes: Passes) -> None:
    assert_each_item_is_in_one_pass(passes)
    assert len(passes.names) == -(-passes.items // passes.each)


def test_names_of_passes() -> None:
    assert Passes("rank", 3, 3).names == {"rank": range(3)}
    assert Passes("rank", 5, 2).names == {"rank-00000": range(2), "rank-00002": range(2, 4), "rank-00004": range(4, 5)}
    assert Passes("number", 0, 4).names == {}


@given(layout=layouts, row=st.sampled_from([KEY_ROW, PRIORITY_ROW, HASH_ROW, NODE_ROW]))
def test_an_exchange_holds_no_more_than_it_may(layout: Layout, row: int) -> None:
    passes, whole = layout.passes("rank", row), layout.documents * row
    assert layout.item_bytes <= MOST_ITEM_BYTES
    assert passes.items * layout.item_bytes >= whole
    if passes.items > LEAST_ITEMS:
        assert whole > (passes.items - 1) * layout.item_bytes, "no more items than needed"
    else:
        assert passes.items == 1 or whole > (passes.items - 1) * min(MOST_BLOCK_BYTES, layout.item_bytes), (
            "a small one has few items"
        )
        assert whole <= passes.items * MOST_BLOCK_BYTES or passes.items == LEAST_ITEMS, "Flink joins the blocks of an item"
    assert passes.each * layout.item_bytes <= layout.settings.bytes
    assert passes.each >= LEAST_ITEMS, "items of one exchange are its parallelism"


@given(layout=layouts, items=st.integers(0, 10**5), row=st.sampled_from([NODE_ROW, HASH_ROW]))
def test_given_items_are_put_into_as_few_exchanges_as_may_be(layout: Layout, items: int, row: int) -> None:
    passes, whole = layout.spread("number", items, row), layout.documents * row
    assert passes.items == items
    assert passes.each * whole <= layout.settings.bytes * items or passes.each == 1
    assert (passes.each + 1) * whole > layout.settings.bytes * items or not whole


@given(layout=layouts)
def test_band_passes_cover_each_band_once_and_follow_the_budget(layout: Layout) -> None:
    found = layout.band_passes()
    assert [band for bands in found for band in bands] == list(range(layout.bands))
    assert len({name for passes in found.values() for name in passes.names}) == sum(len(each.names) for each in found.values())
    for bands, passes in found.items():
        asked, whole = layout.settings.bands, layout.documents * KEY_ROW * len(bands)
        assert len(bands) <= (asked or layout.bands)
        assert asked or len(bands) == 1 or whole <= layout.settings.bytes
        assert passes.items * layout.item_bytes >= whole
        assert passes.each * layout.item_bytes <= layout.settings.bytes


@given(layout=layouts)
def test_names_of_band_passes_sort_as_bands_do(layout: Layout) -> None:
    names = [next(iter(passes.names)) for passes in layout.band_passes().values()]
    assert names == sorted(names)


def test_a_band_that_is_too_much_for_one_exchange_takes_several() -> None:
    found = Layout(10**6, 3, ExchangeSettings(bytes=4 * MIB)).band_passes()
    assert list(found) == [range(1), range(1, 2), range(2, 3)]
    passes = found[range(1)]
    assert list(passes.names) == [f"match-000-000-{first:05d}" for first in range(0, 62, 16)]
    assert_each_item_is_in_one_pass(passes)


def test_few_documents_are_one_item_of_one_exchange() -> None:
    layout = layout_of(5, Banding(51, 5), ExchangeSettings())
    assert {bands: passes.names for bands, passes in layout.band_passes().items()} == {range(51): {"match-000-050": range(1)}}
    assert layout.passes("rank", PRIORITY_ROW).items == layout.pair_ranges == layout.removals.items == 1
    assert layout.star_shares == 1
    assert layout_of(0, Banding(51, 5), ExchangeSettings()).passes("rank", PRIORITY_ROW).items == 1


def test_files_of_removals_depend_on_the_corpus_alone() -> None:
    small, large = ExchangeSettings(bytes=MIB, bands=1), ExchangeSettings(bytes=2**40)
    for documents, files in [(0, 1), (1, 1), (DOCUMENTS_A_BUCKET, 1), (DOCUMENTS_A_BUCKET + 1, 2), (10**10, 2500)]:
        assert Layout(documents, 51, small).removals.items == Layout(documents, 51, large).removals.items == files


@given(layout=layouts)
def test_pair_ranges_hold_the_pairs_that_were_seen(layout: Layout) -> None:
    assert layout.pair_ranges >= 1
    assert layout.pair_ranges * layout.item_bytes >= layout.documents * MATCH_BYTES


class Emitting:
    """Sends every item its number, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def sizes(self) -> Sequence[int]:
        return [1, 1]

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        self.asked.append(list(wanted))
        yield from ((number, b"%d" % number) for number in wanted)


class Working:
    """Says which item it is, and what came for it."""

    def sizes(self) -> Sequence[int]:
        return [10 * number for number in range(5)]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        return {"item": number, "blocks": [int(block) for block in blocks]}


def test_exchanges_of_a_step_know_their_items_by_their_own_numbers(tmp_path: Path) -> None:
    passes, stage, emit = Passes("rank", 5, 2), Stage("dedup", str(tmp_path), {}, 0, {}), Emitting()
    exchanges = passes.steps(emit, Working())
    assert [exchange.name for exchange in exchanges] == list(passes.names)
    assert [list(exchange.sizes()) for exchange in exchanges] == [[0, 10], [20, 30], [40]]
    for exchange in exchanges:
        assert list(exchange.emit.sizes()) == [1, 1]
        local = range(len(exchange.sizes()))
        for number, block in exchange.emit(1, local):
            stage.write_receipt(exchange.name, number, exchange.work(number, [block]))
    assert emit.asked == [[0, 1], [2, 3], [4]]
    assert passes.receipts(stage) == [{"item": item, "blocks": [item]} for item in range(5)]


def test_a_step_without_items_is_no_exchange(tmp_path: Path) -> None:
    none = Passes("number", 0, 4)
    assert none.steps(Emitting(), Working()) == []
    assert none.receipts(Stage("dedup", str(tmp_path), {}, 0, {})) == []


@given(values=st.lists(words, max_size=50), shares=st.sampled_from([1, 2, 3, 1000, 2**31 - 1]))
def test_shares_are_ranges_of_values_in_order(values: list[int], shares: int) -> None:
    found = share_of(np.array(sorted(values), np.uint64), shares).tolist()
    assert found == sorted(found)
    assert all(0 <= share < shares for share in found)
    assert found == [(value >> 32) * shares >> 32 for value in sorted(values)]


@pytest.mark.parametrize("shares", [1, 3, 16, 1000])
def test_shares_are_about_even(shares: int) -> None:
    values = np.random.default_rng(shares).integers(0, 2**64, 1000 * shares, np.uint64)
    counts = np.bincount(share_of(values, shares), minlength=shares)
    assert len(counts) == shares
    assert np.abs(counts - 1000).max() < 6 * 1000**0.5


items = st.lists(st.integers(0, 6) | st.sampled_from([2**16 - 1, 2**16, 2**31]), max_size=30)


@given(item=items, wanted=st.sets(st.integers(0, 8) | st.just(2**16)), data=st.data())
def test_gathered_is_what_was_dealt(item: list[int], wanted: set[int], data: st.DataObject) -> None:
    size = len(item)
    unsigned = data.draw(st.lists(words, min_size=size, max_size=size))
    signed = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=size, max_size=size))
    strided = np.array([signed, signed], np.int64).T[:, 0]
    blocks = dict(
        deal(np.array(item, np.int64), [np.array(unsigned, np.uint64), strided], data.draw(st.permutations(sorted(wanted))))
    )
    assert sorted(blocks) == sorted(wanted & set(item)), "no empty blocks"
    for each, block in blocks.items():
        found = gathered([block], 2)
        mine = [place for place, other in enumerate(item) if other == each]
        assert found[0].tolist() == [unsigned[place] for place in mine]
        assert found[1].view(np.int64).tolist() == [signed[place] for place in mine]


def test_no_block_is_larger_than_an_engine_can_sort() -> None:
    rows = np.arange(100_000)
    blocks = list(deal(rows % 3, [rows, rows + 7], range(3)))
    assert max(len(block) for _, block in blocks) <= MOST_BLOCK_BYTES < max(np.bincount(rows % 3)) * 16, "else nothing is split"
    for each in range(3):
        found = gathered([block for item, block in blocks if item == each], 2).view(np.int64)
        assert found[0].tolist() == rows[each::3].tolist()
        assert (found[1] == found[0] + 7).all()
    marked = list(deal_rows(rows % 3, b"x", rows, [1]))
    assert len(marked) > 1
    assert records([block[1:] for _, block in marked], rows.dtype).tolist() == rows[1::3].tolist()


@given(places=st.lists(items, max_size=4))
def test_an_item_gets_its_rows_of_all_places(places: list[list[int]]) -> None:
    dealt = [dict(deal(np.array(item, np.int64), [np.arange(len(item)) + 100 * at], range(7))) for at, item in enumerate(places)]
    for each in range(7):
        found = gathered([blocks[each] for blocks in dealt if each in blocks], 1).view(np.int64)
        assert found.tolist() == [
            [place + 100 * at for at, item in enumerate(places) for place, other in enumerate(item) if other == each]
        ]


def test_nothing_was_dealt() -> None:
    assert gathered([], 3).shape == gathered([b"", b""], 3).shape == (3, 0)
    assert gathered([], 3).view(np.int64).dtype == np.int64
    assert records([], EDGE).shape == (0,)
    assert list(deal(np.zeros(0, np.int64), [np.zeros(0, np.int64)], range(3))) == []


@given(item=items, wanted=st.sets(st.integers(0, 8)), seed=st.integers(0, 9))
def test_rows_come_as_they_were_dealt_and_marked(item: list[int], wanted: set[int], seed: int) -> None:
    rows = np.frombuffer(np.random.default_rng(seed).bytes(len(item) * EDGE.itemsize), EDGE)
    blocks = dict(deal_rows(np.array(item, np.int64), b"e", rows, wanted))
    assert sorted(blocks) == sorted(wanted & set(item))
    for each, block in blocks.items():
        assert block[:1] == b"e"
        mine = rows[[place for place, other in enumerate(item) if other == each]]
        assert records([block[1:]], EDGE).tobytes() == mine.tobytes()
    whole = records((blocks[each][1:] for each in sorted(blocks)), EDGE)
    assert len(whole) == sum(other in wanted for other in item)


def test_a_budget_that_is_absurd_for_the_corpus_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"exchange\.bytes = 1,048,576 would take [\d,]+ passes .* at most 2,000"):
        layout_of(10**9, Banding(51, 5), ExchangeSettings(bytes=2**20))
    assert layout_of(10**9, Banding(51, 5), ExchangeSettings(bytes=2**30)).band_passes()

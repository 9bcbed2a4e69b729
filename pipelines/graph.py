"""The Beam graph of a stage: a chain of steps, each a numbered list of items.

    start ─▶ deal ─▶ spread ─▶ do ─▶ wait ─▶ deal ─▶ spread ─▶ do ─▶ wait ─▶ …        one step: deal, spread, do, wait

`deal` names the items that have no receipt yet; `spread` shuffles their numbers to the workers; `do` does an item and leaves its receipt;
`wait` is a shuffle under one key, which lets its group through when all items are done. What a number means, workers read from the
storage, so the graph is of one size whatever the corpus. Every collection is read by one transform only: an engine that recomputes what
it lost (Spark) then recomputes no more than that.

The keys of all shuffles are fixed-width bytes that the item decides. Beam's own Reshuffle draws keys at random, and an engine that
recomputes a lost part of such a shuffle may deal an item twice, or to nobody.

Beam's local engine deals a list out to its workers before they begin. There, `deal` names lanes instead, one for each worker, and each
lane takes the largest item that is left, until none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.pvalue import PCollection

from pipelines.envelope import Envelope
from pipelines.stage import Receipt, Stage
from pipelines.worker import Session, carried, claimed, do_item, missing_items, stopping

WORD = b"go"

NOBODY = 2**32 - 1
"""The item that is always dealt and is no work, so that a step with nothing to do still passes on the word."""


class Work(Protocol):
    """What a step does with one item. Pickled into workers; opens what it needs in `setup`."""

    def sizes(self) -> Sequence[int]:
        """Bytes of each item. Called when the steps before are done, on workers and where progress is shown."""
        ...

    def setup(self) -> None:
        """Called once in each worker, when the steps before are done."""
        ...

    def __call__(self, number: int) -> Receipt:
        """Does item `number`, writes its files, and returns what the receipt says. May run twice, at once."""
        ...


class Once:
    """Work of a single item."""

    def sizes(self) -> Sequence[int]:
        """One, of no size to speak of."""
        return [0]

    def setup(self) -> None:
        """Nothing to open."""


class Emit(Protocol):
    """Makes the blocks that an exchange brings to its items."""

    def sizes(self) -> Sequence[int]:
        """Bytes of each place that blocks come from."""
        ...

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """(item, block) for those of the `wanted` items that the place has something for."""
        ...


class BlockWork(Protocol):
    """What an exchange does with the blocks of one item."""

    def sizes(self) -> Sequence[int]:
        """Bytes of each item."""
        ...

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """As Work; at least one block is there, and empty ones may be."""
        ...


class Step(Protocol):
    """A link of the chain: from the word to the word."""

    @property
    def name(self) -> str:
        """Names its receipts' folder."""
        ...

    def sizes(self) -> Sequence[int]:
        """Bytes of each item."""
        ...

    def transform(self, stage: Stage, session: Session) -> beam.PTransform:
        """Its part of the graph."""
        ...


@dataclass(frozen=True)
class Items:
    """A step whose items need nothing but the storage."""

    name: str
    work: Work

    def sizes(self) -> Sequence[int]:
        """Bytes of each item."""
        return self.work.sizes()

    def transform(self, stage: Stage, session: Session) -> beam.PTransform:
        """Its part of the graph."""
        return _DoItems(self, stage, session)


@dataclass(frozen=True)
class Exchange:
    """A step whose items need blocks from every place: places ─▶ blocks by item ─▶ items."""

    name: str
    emit: Emit
    work: BlockWork

    def sizes(self) -> Sequence[int]:
        """Bytes of each item."""
        return self.work.sizes()

    def transform(self, stage: Stage, session: Session) -> beam.PTransform:
        """Its part of the graph."""
        return _DoExchange(self, stage, session)


def build(pipeline: beam.Pipeline, stage: Stage, steps: Sequence[Step], session: Session) -> None:
    """Chains the steps of a stage."""
    word: Any = pipeline | "Start" >> beam.Create([WORD], reshuffle=False).with_output_types(bytes)
    for step in steps:
        word = word | step.name.title() >> step.transform(stage, session)


PAIR = tuple[bytes, bytes]
"""Key and value of all that is shuffled. Said where it is used: Beam infers nothing from annotations that are not evaluated, and would
pickle keys."""


@dataclass
class _DoItems(beam.PTransform):
    step: Items
    stage: Stage
    session: Session

    def expand(self, word: PCollection[Any]) -> PCollection[Any]:
        number = word | "Deal" >> beam.ParDo(Envelope(_Deal(self.step, self.stage, self.session))).with_output_types(PAIR)
        spread = number | "Spread" >> beam.GroupByKey()
        done = spread | "Do" >> beam.ParDo(Envelope(_Do(self.step, self.stage, self.session))).with_output_types(PAIR)
        word_again: PCollection[Any] = done | "Wait" >> beam.GroupByKey()
        return word_again


@dataclass
class _DoExchange(beam.PTransform):
    step: Exchange
    stage: Stage
    session: Session

    def expand(self, word: PCollection[Any]) -> PCollection[Any]:
        place = word | "Deal" >> beam.ParDo(Envelope(_DealPlaces(self.step, self.stage, self.session))).with_output_types(PAIR)
        spread = place | "Spread" >> beam.GroupByKey()
        item_to_block = spread | "Emit" >> beam.ParDo(Envelope(_Emit(self.step, self.stage, self.session))).with_output_types(PAIR)
        item_to_blocks = item_to_block | "Exchange" >> beam.GroupByKey()
        done = item_to_blocks | "Do" >> beam.ParDo(Envelope(_DoBlocks(self.step, self.stage, self.session))).with_output_types(PAIR)
        word_again: PCollection[Any] = done | "Wait" >> beam.GroupByKey()
        return word_again


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _number(group: tuple[bytes, Any]) -> int:
    return int.from_bytes(group[0], "big")


class _OnStage(beam.DoFn):
    """A DoFn that belongs to a step of a stage."""

    def __init__(self, step: Any, stage: Stage, session: Session) -> None:
        super().__init__()
        self.step, self.stage, self.session = step, stage, session

    def setup(self) -> None:
        with carried():
            self.session.check_in(self.stage)

    def missing(self) -> list[int]:
        """Items of the step without a receipt."""
        self.stage.check_ours()
        return missing_items(self.stage, self.step.name, self.step.sizes())

    def dealt(self, numbers: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
        """The numbers as keys, or as many lanes as are of use."""
        dealt = range(min(self.session.lanes, len(numbers))) if self.session.lanes else numbers
        yield from ((_key(number), b"") for number in (*dealt, NOBODY))

    def taken(self, dealt: int, step: str, numbers: Sequence[int]) -> Iterable[int]:
        """What a dealt number stands for."""
        if dealt == NOBODY:
            return ()
        return claimed(self.session, step, numbers) if self.session.lanes else (dealt,)


class _Deal(_OnStage):
    def process(self, word: Any) -> Iterator[tuple[bytes, bytes]]:
        with carried():
            yield from self.dealt(self.missing())


class _Do(_OnStage):
    _ready = False

    def process(self, group: tuple[bytes, Iterable[bytes]]) -> Iterator[tuple[bytes, bytes]]:
        step, dealt = self.step, _number(group)
        with carried(), stopping(self.session):
            numbers = self.missing() if self.session.lanes and dealt != NOBODY else ()
            for number in self.taken(dealt, step.name, numbers):
                # Not in `setup`: who is dealt NOBODY alone has nothing to ready itself for.
                if not self._ready:
                    step.work.setup()
                    self._ready = True
                do_item(self.stage, step.name, number, partial(step.work, number))
        yield WORD, b""


class _DealPlaces(_OnStage):
    def process(self, word: Any) -> Iterator[tuple[bytes, bytes]]:
        with carried():
            wanted = self.missing()
            yield from self.dealt(_largest_first(self.step.emit.sizes()) if wanted else ())


class _Emit(_OnStage):
    _wanted: list[int] | None = None

    def process(self, group: tuple[bytes, Iterable[bytes]]) -> Iterator[tuple[bytes, bytes]]:
        step, dealt = self.step, _number(group)
        with carried(), stopping(self.session):
            # If this runs again after some items were done, these lack their blocks; they also have receipts and are not done again.
            # Looked up once: items that are done by now get blocks for nothing, and one look for each place would be their square.
            if self._wanted is None:
                self._wanted = self.missing()
            if dealt == NOBODY:
                yield from ((_key(number), b"") for number in (*self._wanted, NOBODY))
            places = _largest_first(step.emit.sizes()) if self.session.lanes and dealt != NOBODY else ()
            for place in self.taken(dealt, f"{step.name}-emit", places):
                yield from ((_key(number), block) for number, block in step.emit(place, self._wanted))


class _DoBlocks(_OnStage):
    def process(self, item_to_blocks: tuple[bytes, Iterable[bytes]]) -> Iterator[tuple[bytes, bytes]]:
        number = _number(item_to_blocks)
        if number != NOBODY:
            do_item(self.stage, self.step.name, number, partial(self.step.work, number, item_to_blocks[1]))
        yield WORD, b""


def _largest_first(sizes: Sequence[int]) -> list[int]:
    return sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))

"""How the work is cut: into how many items, and which of them one exchange serves.

An exchange holds all its blocks at a time, so one that would hold too much is done in passes: the same places are looked at again for
other items. How often follows from the number of documents and one setting, and decides no byte of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.errors import ConfigError
from dedup.banding import Banding
from pipelines.dedup_settings import ExchangeSettings
from pipelines.graph import BlockWork, Emit, Exchange
from pipelines.rows import Array
from pipelines.stage import Receipt, Stage

KEY_ROW, PRIORITY_ROW, HASH_ROW, NODE_ROW, VERDICT_ROW, REMOVAL_ROW = 16, 64, 32, 16, 34, 85
"""Bytes that an exchange holds of a document: for each band a key and a node; its priority and address; its content hash, node and
address; its row and node, or cause; and, if it is removed, its verdict, and its removal with its keeper."""

MATCH_BYTES = 400
"""Bytes of the pairs that the bands find, for each document: 16 pairs of 18 bytes were seen on source code."""

LEAST_ITEMS = 16
"""Items that one exchange serves, at least, if it holds more than a block for each: they are its parallelism, and Flink joins what its
tasks send to one item before it sorts it."""

MOST_ITEM_BYTES = 256 * 2**20
"""Of blocks for one item, at most."""

MOST_BLOCK_BYTES = 256 * 2**10
"""Of one block, at most: Flink sorts in buffers that may be no larger than a megabyte, and a value has to fit into one."""


@dataclass(frozen=True)
class Passes:
    """The items of one exchange, or of several that follow one another."""

    name: str
    items: int
    each: int
    """Items of one exchange."""

    @property
    def names(self) -> dict[str, range]:
        """The exchanges, by the name of their step."""
        firsts = range(0, self.items, self.each)
        if len(firsts) == 1:
            return {self.name: range(self.items)}
        return {f"{self.name}-{first:05d}": range(first, min(self.items, first + self.each)) for first in firsts}

    def receipts(self, stage: Stage) -> list[Receipt]:
        """Of all items, in order."""
        return [receipt for name, items in self.names.items() for receipt in stage.all_receipts(name, len(items))]

    def steps(self, emit: Emit, work: BlockWork) -> list[Exchange]:
        """The exchanges."""
        return [Exchange(name, _SomeEmitted(emit, items), _SomeWork(work, items)) for name, items in self.names.items()]


@dataclass(frozen=True)
class Layout:
    """Sizes of all exchanges of one dedup stage."""

    documents: int
    bands: int
    settings: ExchangeSettings

    @property
    def item_bytes(self) -> int:
        """Blocks of one item."""
        return min(MOST_ITEM_BYTES, self.settings.bytes // LEAST_ITEMS)

    def passes(self, name: str, bytes_a_document: int) -> Passes:
        """For an exchange that brings together so much of every document."""
        total = self.documents * bytes_a_document
        items = max(1, min(LEAST_ITEMS, -(-total // MOST_BLOCK_BYTES)), -(-total // self.item_bytes))
        return Passes(name, items, self.settings.bytes // self.item_bytes)

    def spread(self, name: str, items: int, bytes_a_document: int) -> Passes:
        """For an exchange whose items are given, such as parts, over which so much of every document is spread at most."""
        return Passes(name, items, max(1, self.settings.bytes * items // max(1, self.documents * bytes_a_document)))

    def band_passes(self) -> dict[range, Passes]:
        """Bands that go together, and their exchanges: more than one where a single band is too much."""
        together = self.settings.bands or max(1, self.settings.bytes // max(1, self.documents * KEY_ROW))
        groups = [range(first, min(self.bands, first + together)) for first in range(0, self.bands, together)]
        return {bands: self.passes(f"match-{bands[0]:03d}-{bands[-1]:03d}", KEY_ROW * len(bands)) for bands in groups}

    @property
    def pair_ranges(self) -> int:
        """Items that candidate pairs are dealt to."""
        return max(1, -(-self.documents * MATCH_BYTES // self.item_bytes))

    @property
    def star_shares(self) -> int:
        """Items that nodes are dealt to while components are found: an edge a document is plenty."""
        return self.passes("", NODE_ROW).items

    @property
    def removals(self) -> Passes:
        """For the exchange whose items are files of removals."""
        return self.spread("removals", max(1, -(-self.documents // DOCUMENTS_A_BUCKET)), REMOVAL_ROW)


DOCUMENTS_A_BUCKET = 4_000_000
"""Documents whose removals share a file. Part of the format: it decides the names of files, so it depends on the corpus alone."""


MOST_PASSES = 2_000
"""Exchanges over the bands that one job may have: its graph grows by 8 kB with each."""


def layout_of(documents: int, bands: Banding, settings: ExchangeSettings) -> Layout:
    """The layout for a number of documents. Raises ConfigError if it would take too many passes."""
    layout = Layout(documents, bands.bands, settings)
    passes = sum(len(each.names) for each in layout.band_passes().values())
    if passes > MOST_PASSES:
        raise ConfigError(
            f"dedup.exchange.bytes = {settings.bytes:,} would take {passes:,} passes over the bands of {documents:,} documents, at most "
            f"{MOST_PASSES:,} are made: set it to {settings.bytes * -(-passes // MOST_PASSES) * 2:,} or more."
        )
    return layout


def share_of(value: Array, shares: int) -> Array:
    """int64[n]: which of so many equal shares of the 64-bit range each uint64 value falls into; `shares` < 2^31."""
    return ((value >> np.uint64(32)) * np.uint64(shares) >> np.uint64(32)).astype(np.int64)


def deal(item: Array, columns: Sequence[Array], wanted: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """(item, block) for the wanted items: columns of rows, 64-bit values, one column behind the other; MOST_BLOCK_BYTES at most."""
    order = np.argsort(item.astype(np.uint16) if item.max(initial=0) < 2**16 else item, kind="stable")
    for each, start, stop in _bounds(item[order], wanted, 8 * len(columns)):
        mine = order[start:stop]
        yield each, b"".join(np.ascontiguousarray(values[mine]).view(np.uint64).tobytes() for values in columns)


def gathered(blocks: Iterable[bytes], columns: int) -> Array:
    """uint64[columns, k]: what `deal` sent, in no order. Columns of other types are views of it."""
    arrays = [np.frombuffer(block, np.uint64).reshape(columns, -1) for block in blocks]
    return np.concatenate(arrays, axis=1) if arrays else np.zeros((columns, 0), np.uint64)


def deal_rows(item: Array, kind: bytes, rows: Array, wanted: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """(item, block) for the wanted items, of about MOST_BLOCK_BYTES at most: a mark, then rows as they are."""
    order = np.argsort(item, kind="stable")
    for each, start, stop in _bounds(item[order], wanted, rows.dtype.itemsize):
        yield each, kind + rows[order[start:stop]].tobytes()


def records(blocks: Iterable[bytes], dtype: np.dtype[Any]) -> Array:
    """dtype[k]: rows that were sent as they are, in no order."""
    return np.frombuffer(b"".join(blocks), dtype)


def _bounds(ordered: Array, wanted: Iterable[int], row_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Where in the sorted items the blocks of each wanted one begin and end; those that are not there are left out."""
    wanted = sorted(wanted)
    rows = max(1, MOST_BLOCK_BYTES // row_bytes)
    starts, stops = np.searchsorted(ordered, wanted, "left").tolist(), np.searchsorted(ordered, wanted, "right").tolist()
    for each, start, stop in zip(wanted, starts, stops, strict=True):
        yield from ((each, first, min(stop, first + rows)) for first in range(start, stop, rows))


@dataclass(frozen=True)
class _SomeEmitted:
    emit: Emit
    items: range

    def sizes(self) -> Sequence[int]:
        return self.emit.sizes()

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        first = self.items[0] if self.items else 0
        for number, block in self.emit(place, [first + each for each in wanted]):
            yield number - first, block


@dataclass(frozen=True)
class _SomeWork:
    work: BlockWork
    items: range

    def sizes(self) -> Sequence[int]:
        return list(self.work.sizes())[self.items.start : self.items.stop]

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        return self.work(self.items[number], blocks)

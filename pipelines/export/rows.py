"""Rows of a source, read in order, a batch at a time, with what was forgotten already gone.

A shard's checksum is compared with its manifest before its first row is read: a bit that flipped in an uncompressed shard would otherwise
be copied without anyone knowing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from contracts.errors import ShardError
from contracts.manifest import FileEntry
from sharding.batch import Batch
from sharding.segments import SegmentTable
from sharding.shards import Shard, ShardSet

TOKENS_PER_BATCH = 2**20
"""About 40 MB with positions, targets and a format's columns; below that, a batch's fixed costs begin to show."""


class RowBatch(NamedTuple):
    """Consecutive rows of one shard."""

    first: int
    """Number of the first row within its source."""
    shard: str
    """The shard's path below the stage's folder."""
    shard_row: int
    """Number of the first row within the shard, as `spanmill trace` counts them."""
    batch: Batch
    segments: SegmentTable


def read_rows(shards: ShardSet, source: str, first: int, last: int) -> Iterator[RowBatch]:
    """Rows [first, last) of a source.

    Cost: about 10 µs a row, and 0.1 s a GB of shards for their checksums, as the bytes that are hashed are those that the rows are then
    read from. Memory: TOKENS_PER_BATCH, and from a store the shard that is being read. Raises ShardError for a shard that is not the file
    that its manifest lists.
    """
    stratum = shards.strata[source]
    step = max(TOKENS_PER_BATCH // (shards.metadata.context_length + 1), 1)
    for number, (entry, (begin, end)) in enumerate(zip(stratum.entries, pairwise(stratum.first_rows.tolist()), strict=True)):
        if first <= begin < min(end, last):
            _check(shards.shard(source, number), entry)
        for row in range(max(begin, first), min(end, last), step):
            yield RowBatch(row, entry.path, row - begin, *_gather(shards, source, row, min(row + step, end, last)))
        if first < end <= last:
            shards.close()


def _check(shard: Shard, entry: FileEntry) -> None:
    found = shard.checksum()
    if found != entry.xxh3_64:
        raise ShardError(
            f"{shard.path} is not the file that its manifest lists (xxh3-64 {found}, should be {entry.xxh3_64}): it was changed or "
            "damaged. Copy it again, or make the shard stage again."
        )


def _gather(shards: ShardSet, source: str, first: int, last: int) -> tuple[Batch, SegmentTable]:
    ids = np.empty((last - first, shards.metadata.context_length + 1), shards.dtype)
    tables = []
    for slot in range(last - first):
        ids[slot], table = shards.row(source, first + slot)
        tables.append(table)
    segments = SegmentTable.concatenate(tables)
    unused = np.zeros(last - first, np.int32)
    return Batch.build(ids, segments, unused, shards.metadata.special_ids), segments

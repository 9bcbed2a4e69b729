"""The invariants of a shard, recomputed from its bytes, and the way back from rows to documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES as NAMES
from contracts.special_tokens import PAD
from sharding.objectives import OBJECTIVES, Restored
from sharding.objectives.base import Controls
from sharding.shards import Shard

PROBLEMS_SHOWN = 5
"""Problems of one kind that are told for one shard; the rest is counted."""


class Stretch(NamedTuple):
    """What one segment was made of."""

    doc_id: bytes
    doc_start: int
    """Tokens of the document before it."""
    ids: npt.NDArray[np.uint32]
    """Token ids of the document from there."""
    last: bool
    """Whether the document ends with it."""


def stretches(shard: Shard) -> Iterator[Stretch]:
    """Every segment but padding, turned back into the stretch of document it holds. Raises ShardError for one that is not whole."""
    controls = Controls.of(shard.metadata.special_ids)
    for row in range(shard.rows):
        ids, segments = shard.row(row), shard.segments(row)
        for index in np.flatnonzero(segments.kind > 0).tolist():
            start, stop = int(segments.start[index]), int(segments.start[index] + segments.length[index])
            restored = _restore(shard, ids[start:stop], int(segments.kind[index]), controls, row, index)
            yield Stretch(segments.doc_id[index].tobytes(), int(segments.doc_start[index]), *restored)


def documents(shards: Iterator[Shard]) -> dict[bytes, npt.NDArray[np.uint32]]:
    """Token ids of every document by doc_id. Raises ShardError if a document has a gap, an overlap or no end.

    Cost: holds all tokens; for tests and small runs.
    """
    found: dict[bytes, list[Stretch]] = {}
    for shard in shards:
        for stretch in stretches(shard):
            found.setdefault(stretch.doc_id, []).append(stretch)
    return {doc_id: _join(doc_id, sorted(pieces, key=lambda piece: piece.doc_start)) for doc_id, pieces in found.items()}


class Inspection(NamedTuple):
    """What a shard really holds."""

    problems: list[str]
    """What is wrong with it; empty if it is sound."""
    documents: int
    """Documents that begin in it."""
    text_tokens: int
    """Tokens of documents, control tokens and padding not counted."""


def inspect(shard: Shard) -> Inspection:
    """Recomputes all that can be known of a shard from its bytes.

    Checks that segments tile each row, ids lie below the vocabulary, padding is padding, every example is whole, and no control token
    stands where its objective did not put it. Cost: about 30 µs a segment.
    """
    found = [problem for row in range(shard.rows) for problem in _row_problems(shard, row)]
    control_ids = np.array(sorted(shard.metadata.special_ids.values()))
    begun = tokens = 0
    try:
        for stretch in stretches(shard):
            begun += stretch.doc_start == 0
            tokens += len(stretch.ids)
            if np.isin(stretch.ids, control_ids).any():
                found.append(f"document {stretch.doc_id.hex()}: a control token stands in its text")
    except ShardError as error:
        found.append(str(error))
    more = [f"and {len(found) - PROBLEMS_SHOWN} more problems"] if len(found) > PROBLEMS_SHOWN else []
    return Inspection(found[:PROBLEMS_SHOWN] + more, begun, tokens)


def _row_problems(shard: Shard, row: int) -> Iterator[str]:
    ids, segments = shard.row(row), shard.segments(row)
    try:
        segments.check(1, len(ids))
    except ValueError as error:
        yield f"row {row}: {error}"
        return
    if int(ids.max()) >= shard.metadata.vocab_size:
        yield f"row {row}: token id {int(ids.max())} is outside the vocabulary of {shard.metadata.vocab_size}"
    for index in np.flatnonzero(segments.kind == 0).tolist():
        start, stop = int(segments.start[index]), int(segments.start[index] + segments.length[index])
        if (ids[start:stop] != shard.metadata.special_ids[PAD]).any():
            yield f"row {row}: its padding holds other tokens than {PAD}"


def _restore(shard: Shard, ids: npt.NDArray[np.uint32], kind: int, controls: Controls, row: int, index: int) -> Restored:
    if kind >= len(NAMES):
        raise ShardError(f"{shard.path}, row {row}, segment {index}: kind {kind} is unknown; known: 1 to {len(NAMES) - 1}.")
    try:
        restored: Restored = OBJECTIVES[NAMES[kind]].restore(ids, controls)
        return restored
    except ShardError as error:
        raise ShardError(f"{shard.path}, row {row}, segment {index}: {error}") from None


def _join(doc_id: bytes, pieces: list[Stretch]) -> npt.NDArray[np.uint32]:
    at = 0
    for piece in pieces:
        if piece.doc_start != at:
            raise ShardError(f"document {doc_id.hex()}: its tokens go to {at}, the next stretch starts at {piece.doc_start}.")
        at += len(piece.ids)
    if not pieces[-1].last or any(piece.last for piece in pieces[:-1]):
        raise ShardError(f"document {doc_id.hex()}: the end of the document is not where its last stretch is.")
    return np.concatenate([piece.ids for piece in pieces])

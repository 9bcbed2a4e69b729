"""The invariants of a shard, recomputed from its bytes, and the way back from rows to documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES as NAMES
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, PAD, SEP
from sharding.headers import strip_header
from sharding.objectives import OBJECTIVES, Restored, TextTable, fim
from sharding.objectives.base import Controls
from sharding.shards import Shard

PROBLEMS_SHOWN = 5
"""Problems of one kind that are told for one shard; the rest is counted."""


class Stretch(NamedTuple):
    """What one segment was made of."""

    doc_id: bytes
    doc_start: int
    """Tokens of the plain document before it."""
    ids: npt.NDArray[np.uint32]
    """Token ids of the document from there. Where `slack` is not 0, ids of its text, which may be split otherwise."""
    last: bool
    """Whether the document ends with it."""
    slack: int
    """Most tokens that `ids` may be longer or shorter than the plain document's: 0 but where text was encoded anew."""


def stretches(shard: Shard) -> Iterator[Stretch]:
    """Every segment but padding, turned back into the stretch of document it holds. Raises ShardError for one that is not whole."""
    controls = Controls.of(shard.metadata.special_ids)
    for row in range(shard.rows):
        ids, segments = shard.row(row), shard.segments(row)
        for index in np.flatnonzero(segments.kind > 0).tolist():
            start, stop = int(segments.start[index]), int(segments.start[index] + segments.length[index])
            kind = int(segments.kind[index])
            restored = _restore(shard, ids[start:stop], kind, controls, row, index)
            slack = fim.GROWTH if kind == fim.CODE else 0
            yield Stretch(segments.doc_id[index].tobytes(), int(segments.doc_start[index]), *restored, slack)


class Place(NamedTuple):
    """Where a stretch stands in its document."""

    doc_start: int
    tokens: int
    last: bool
    slack: int
    """As of Stretch."""

    @staticmethod
    def of(stretch: Stretch) -> Place:
        """Without the ids."""
        return Place(stretch.doc_start, len(stretch.ids), stretch.last, stretch.slack)


class Document(NamedTuple):
    """A whole document, from all of its stretches."""

    doc_id: bytes
    epoch: int
    """The pass over the corpus that it was made in."""
    ids: npt.NDArray[np.uint32]
    """Its tokens, those of its header and other control tokens of its own included."""


def whole_documents(shards: Iterable[Shard]) -> Iterator[Document]:
    """Every document of every epoch, as soon as the last of its stretches was read.

    Raises ShardError if a document has a gap, an overlap or no end. A gap of at most fim.GROWTH tokens beside text that was encoded anew
    cannot be told from the change in length that this brings; a chunk so short is only ever a document's last, whose absence is seen.

    Cost: holds the tokens of one shard. The shard stage lets no document go on in another; where another maker's shards do, the tokens of
    such documents are held until their end is read.
    """
    unfinished: dict[tuple[int, bytes], list[Stretch]] = {}
    for shard in shards:
        epoch = shard.metadata.epoch
        for stretch in stretches(shard):
            unfinished.setdefault((epoch, stretch.doc_id), []).append(stretch)
        for key in [key for key, pieces in unfinished.items() if key[0] == epoch and _may_be_whole(pieces)]:
            yield Document(key[1], epoch, _join(key[1], unfinished.pop(key)))
    for (_, doc_id), pieces in unfinished.items():
        _join(doc_id, pieces)  # says what is missing


def documents(shards: Iterable[Shard]) -> dict[bytes, npt.NDArray[np.uint32]]:
    """Token ids of every document by doc_id. Raises ShardError as `whole_documents` does, and for a document that occurs twice.

    Cost: holds all tokens; for tests and small runs.
    """
    found: dict[bytes, npt.NDArray[np.uint32]] = {}
    for document in whole_documents(shards):
        if document.doc_id in found:
            raise ShardError(
                f"document {document.doc_id.hex()} occurs twice, the second time in epoch {document.epoch}. "
                "Give the shards of one epoch at a time; if these are, remove what is in the folder twice."
            )
        found[document.doc_id] = document.ids
    return found


def restored_bytes(shards: Iterable[Shard], table: TextTable) -> Iterator[tuple[bytes, bytes]]:
    """(doc_id, text) of every document, whatever objective it went through, without its header; control tokens stand for nothing.

    `table` is the tokenizer's. Raises and costs as `whole_documents`.
    """
    control_ids: dict[str, int] = {}

    def noted() -> Iterator[Shard]:
        for shard in shards:
            control_ids.update(shard.metadata.special_ids)
            yield shard

    for document in whole_documents(noted()):
        yield document.doc_id, table.spell(strip_header(document.ids, control_ids, table.newline))


class Inspection(NamedTuple):
    """What a shard really holds."""

    problems: list[str]
    """What is wrong with it; empty if it is sound."""
    documents: int
    """Documents that have tokens in it."""
    text_tokens: int
    """Tokens of documents as they stand there: what objectives added as control tokens and padding not counted, what text encoded anew
    grew by (`Examples.grown`) counted."""
    id_sum: int
    """Sum of the ids of its documents, as numbers of 128 bits: the same for shards that hold the same documents."""


def inspect(shard: Shard) -> Inspection:
    """Recomputes all that can be known of a shard from its bytes.

    Checks that segments tile each row, ids lie below the vocabulary, padding is padding, every example is whole, the stretches of each
    document follow one another from its start to its end (the shard stage lets no document go on in another shard), and no control token
    of an objective stands where its objective did not put it. Those that documents hold themselves (their header, roles, parts of issues,
    commits and notebooks) may stand in text. Cost: about 30 µs a segment; memory about 300 bytes a segment.
    """
    found = [problem for row in range(shard.rows) for problem in _row_problems(shard, row)]
    not_text = _never_in_documents(shard)
    places: dict[bytes, list[Place]] = {}
    tokens = 0
    try:
        for stretch in stretches(shard):
            places.setdefault(stretch.doc_id, []).append(Place.of(stretch))
            tokens += len(stretch.ids)
            if not_text[np.minimum(stretch.ids, len(not_text) - 1)].any():
                found.append(f"document {stretch.doc_id.hex()}: a control token stands in its text")
        for doc_id, of_document in places.items():
            _check_whole(doc_id, of_document)
    except ShardError as error:
        found.append(str(error))
    more = [f"and {len(found) - PROBLEMS_SHOWN} more problems"] if len(found) > PROBLEMS_SHOWN else []
    id_sum = sum(int.from_bytes(doc_id, "big") for doc_id in places) % 2**128
    return Inspection(found[:PROBLEMS_SHOWN] + more, len(places), tokens, id_sum)


def _never_in_documents(shard: Shard) -> npt.NDArray[np.bool_]:
    """bool[vocabulary + 1]: ids that only an objective writes. The last entry stands for all ids beyond the vocabulary."""
    written = {END_OF_TEXT, SEP, END_OF_MASK, PAD, fim.PREFIX, fim.MIDDLE, fim.SUFFIX}
    controls = Controls.of(shard.metadata.special_ids)
    never = np.zeros(shard.metadata.vocab_size + 1, np.bool_)
    never[[controls.ids[name] for name in written if name in controls.ids]] = True
    never[list(controls.masks)] = True
    return never


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


def _may_be_whole(pieces: list[Stretch]) -> bool:
    """Whether there is nothing to wait for: its last stretch is there, and the others fill what is before it, or more than that."""
    slack = sum(piece.slack for piece in pieces)
    ends = [piece.doc_start for piece in pieces if piece.last]
    return bool(ends) and sum(len(piece.ids) for piece in pieces if not piece.last) + slack >= max(ends)


def _join(doc_id: bytes, pieces: list[Stretch]) -> npt.NDArray[np.uint32]:
    """The document, checked for gaps, overlaps and its end."""
    _check_whole(doc_id, [Place.of(piece) for piece in pieces])
    return np.concatenate([piece.ids for piece in sorted(pieces, key=lambda piece: piece.doc_start)])


def _check_whole(doc_id: bytes, places: list[Place]) -> None:
    """Raises ShardError for gaps, overlaps, or an end that is missing or not at the end."""
    ordered = sorted(places, key=lambda place: place.doc_start)
    at, slack = 0, 0
    for place in ordered:
        if abs(place.doc_start - at) > slack:
            raise ShardError(f"document {doc_id.hex()}: its tokens go to {at}, the next stretch starts at {place.doc_start}.")
        at, slack = place.doc_start + place.tokens, place.slack
    if not ordered[-1].last or any(place.last for place in ordered[:-1]):
        raise ShardError(f"document {doc_id.hex()}: the end of the document is not where its last stretch is.")

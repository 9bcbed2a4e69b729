"""From a token of a shard back to its document, and from a document to its tokens: `spanmill trace`.

    shard, row, token ─▶ segment ─▶ doc_id ─▶ curate: source, repository, path, licences, input file
                                          └─▶ dedup: duplicates that were removed for it
    doc_id ─▶ every row of every shard, or what became of it

What a run lacks, such as stages that lie elsewhere, is noted, and the rest is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import ConfigError, InputError, ShardError, StageError
from contracts.schemas import OBJECTIVES as NAMES
from pipelines import lookup
from pipelines.forget import scan
from pipelines.guesses import did_you_mean
from pipelines.input_run import check_input
from pipelines.storage import absolute, exists, join, read_manifest
from pipelines.storage.errors import reading
from pipelines.storage.systems import file_system
from pipelines.token_text import TokenText
from pipelines.trace_home import Answer, Home, folders_above, is_shard_stage
from sharding.batch import Batch
from sharding.objectives import OBJECTIVES
from sharding.objectives.base import Controls
from sharding.shards import SegmentTable, Shard

AROUND = 40
"""Tokens shown on either side of the one that is asked for, by default."""

SHARDS_SHOWN = 5
"""Shards of a run that are named where the one that was asked for is not there."""


def trace_token(path: str, row: int, token: int, input_dir: str = "", around: int = AROUND) -> Answer:
    """All that is known of one token of a shard file, local or any fsspec URL.

    Raises ShardError for what is no shard, ConfigError for a folder and for a row or token that the shard does not have. Cost: a pass over
    the ids of the source's documents in curate, and one over dedup's removals.
    """
    check_input(input_dir)
    _check_path(path)
    shard = Shard.open(path)
    _check_range("row", row, shard.rows, path)
    ids, segments = shard.row(row), shard.segments(row)
    _check_range("token", token, len(ids), f"a row of {path}")
    number = int(np.searchsorted(segments.start, token, side="right")) - 1
    home = Home.of(path, input_dir)
    text, notes = home.token_text(shard)
    answer: Answer = {
        "shard": path,
        "row": row,
        "token": token,
        "stratum": shard.metadata.source,
        "epoch": shard.metadata.epoch,
        "segment": _segment_words(shard, ids, segments, number, token),
        **_neighbourhood(ids, segments, number, token, around, text),
    }
    if segments.kind[number]:
        doc_id = segments.doc_id[number].tobytes()
        answer |= home.document(doc_id, shard.metadata.source, notes)
        answer["forgotten"] = home.forgotten(doc_id, answer["document"], [(home.shard_path, row, number)])
    return {**answer, "notes": notes}


def trace_document(run_dir: str, doc_id: bytes, input_dir: str = "") -> Answer:
    """What became of a document: every row of every shard that holds it, or why there is none.

    Raises StageError for a folder that is no run, InputError for a document that no stage has seen. Cost: a pass over the ids of all
    documents, and one over the segments of all shards.
    """
    check_input(input_dir)
    home = Home(run_dir, input_dir)
    notes: list[str] = []
    shards = lookup.folder_of("shard", run_dir)
    if not shards and not home.folder("curate"):
        raise StageError(
            f"{run_dir} holds neither a finished curate nor a finished shard stage: nothing is known there. Name the folder of a run."
        )
    answer = home.document(doc_id, "", notes)
    answer["fate"] = home.fate(doc_id)
    answer["rows"] = _rows(shards, doc_id) if shards else []
    if answer["fate"]["kept"] and not answer["document"] and not answer["rows"]:
        raise InputError(home.unknown(doc_id))
    if not shards:
        notes.append(f"{run_dir} has no finished shard stage yet")
    segments = [(row["shard"], row["row"], row["segment"]) for row in answer["rows"]]
    answer["forgotten"] = home.forgotten(doc_id, answer["document"], segments)
    return {**answer, "shards": shards, "notes": notes}


def _check_path(path: str) -> None:
    """Raises ConfigError for a folder, and ShardError, with the shards that there are, for what is not there."""
    with reading(path):
        fs, name = file_system(path)
        is_folder = fs.isdir(name)
    if not is_folder and not exists(path):
        raise ShardError(f"{path}: no such shard.{_shards_near(absolute(path))}")
    if is_folder:
        raise ConfigError(
            f"{path} is a folder; a row and a token are those of one shard file. Name it, for instance RUN/shard/code/00000.arrow, or ask "
            "for a document with RUN --doc-id HEX."
        )


def _shards_near(path: str) -> str:
    """Which shards the run has that a path is in, and the one that was probably meant."""
    folders = [each for folder in folders_above(path) for each in (folder, join(folder, "shard"))]
    stage = next(filter(is_shard_stage, folders), "")
    if not stage:
        return " Name one as RUN/shard/code/00000.arrow."
    paths = [join(stage, entry.path) for entry in read_manifest(stage).files]
    more = f" and {len(paths) - SHARDS_SHOWN:,} more" if len(paths) > SHARDS_SHOWN else ""
    guess = next(iter(get_close_matches(path, paths, n=1)), "")
    return (
        f"{did_you_mean(guess)} {stage} has {', '.join(entry.removeprefix(f'{stage}/') for entry in paths[:SHARDS_SHOWN])}{more}."
    )


def _check_range(what: str, value: int, count: int, where: str) -> None:
    if not 0 <= value < count:
        allowed = f"0 to {count - 1} is allowed" if count else "it has none"
        raise ConfigError(f"{what} {value} of {where}: {allowed}.")


def _segment_words(shard: Shard, ids: npt.NDArray[Any], segments: SegmentTable, number: int, token: int) -> Answer:
    start, length, kind = (int(column[number]) for column in (segments.start, segments.length, segments.kind))
    answer: Answer = {"number": number, "start": start, "length": length, "objective": NAMES[kind], "offset": token - start}
    if not kind:
        return answer
    targets = Batch.build(ids[np.newaxis], segments, np.zeros(1, np.int32), shard.metadata.special_ids).loss_mask[0]
    doc_start, place = int(segments.doc_start[number]), _document_token(shard, ids[start : start + length], kind, token - start)
    return {
        **answer,
        "is_target": token > 0 and bool(targets[token - 1]),
        "doc_start": doc_start,
        "document_token": None if place is None else doc_start + place,
    }


def _document_token(shard: Shard, ids: npt.NDArray[Any], kind: int, offset: int) -> int | None:
    """Where in its chunk a token of an example stands, in the order of the document; None for a control token that the objective wrote.

    Ordinary ids, and the one that is asked for, give way to numbers above all ids, and the objective's inverse puts these in order. A
    control token was the objective's if the example cannot do without it.
    """
    special = shard.metadata.special_ids
    restore, controls = OBJECTIVES[NAMES[kind]].restore, Controls.of(special)
    numbers = shard.metadata.vocab_size + np.arange(len(ids), dtype=np.uint32)
    plain = np.where(np.isin(ids, list(special.values())), ids, numbers).astype(np.uint32)
    asked = plain.copy()
    asked[offset] = numbers[offset]
    try:
        whole, found = restore(plain, controls), restore(asked, controls)
    except ShardError:  # the token is the objective's, or the example is not whole, of which `spanmill verify` tells
        return None
    place = np.flatnonzero(found.ids == numbers[offset])
    same = len(found.ids) == len(whole.ids) and found.last == whole.last
    return int(place[0]) if same and len(place) else None


def _neighbourhood(
    ids: npt.NDArray[Any], segments: SegmentTable, number: int, token: int, around: int, text: TokenText | None
) -> Answer:
    """`token_id`, and the text of the token and of those before and after it in its segment."""
    start = int(segments.start[number])
    stop = start + int(segments.length[number])
    if text is None:
        return {"token_id": int(ids[token])}
    return {
        "token_id": int(ids[token]),
        "before": text.pieces(ids[max(start, token - around) : token]),
        "asked": text.pieces(ids[token : token + 1]),
        "after": text.pieces(ids[token + 1 : min(stop, token + 1 + around)]),
    }


def _rows(shards: str, doc_id: bytes) -> list[Answer]:
    """Every segment of a document, pass by pass in the order of its tokens."""
    rows: list[Answer] = []
    for path, found in sorted(scan(shards, [doc_id]).items()):
        epoch, columns = Shard.open(join(shards, path)).metadata.epoch, found.segments
        values: Sequence[list[int]] = [
            column.tolist() for column in (found.row, found.number, columns.start, columns.length, columns.doc_start, columns.kind)
        ]
        for row, number, start, length, doc_start, kind in zip(*values, strict=True):
            place = {"shard": path, "epoch": epoch, "row": row, "segment": number, "start": start, "length": length}
            rows.append({**place, "doc_start": doc_start, "objective": NAMES[kind]})
    return sorted(rows, key=lambda each: (each["epoch"], each["doc_start"], each["shard"], each["row"]))

"""From a token of a shard back to its document, and from a document to its tokens: `spanmill trace`.

    shard, row, token ─▶ segment ─▶ doc_id ─▶ curate: source, repository, path, licences, input file
                                          └─▶ dedup: duplicates that were removed for it
    doc_id ─▶ every row of every shard, or what became of it

What a run lacks, such as stages that lie elsewhere, is noted, and the rest is told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.errors import ConfigError, InputError, ShardError, StageError
from contracts.schemas import OBJECTIVES as NAMES
from pipelines import lookup
from pipelines.forget import scan
from pipelines.forgotten import Listed
from pipelines.storage import absolute, exists, join, read_manifest
from pipelines.storage.errors import reading
from pipelines.storage.systems import file_system
from pipelines.token_text import TokenText
from sharding.batch import Batch
from sharding.forgotten import Mask
from sharding.objectives import OBJECTIVES
from sharding.objectives.base import Controls
from sharding.shards import SegmentTable, Shard

AROUND = 40
"""Tokens shown on either side of the one that is asked for, by default."""

Answer = dict[str, Any]
"""A JSON object."""


def trace_token(path: str, row: int, token: int, input_dir: str = "", around: int = AROUND) -> Answer:
    """All that is known of one token of a shard file, local or any fsspec URL.

    Raises ShardError for what is no shard, ConfigError for a folder and for a row or token that the shard does not have. Cost: a pass over
    the ids of the source's documents in curate, and one over dedup's removals.
    """
    _refuse_folder(path)
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
        answer["forgotten"] = home.forgotten(doc_id, [(home.shard_path, row, number)])
    return {**answer, "notes": notes}


def trace_document(run_dir: str, doc_id: bytes, input_dir: str = "") -> Answer:
    """What became of a document: every row of every shard that holds it, or why there is none.

    Raises StageError for a folder that is no run, InputError for a document that no stage has seen. Cost: a pass over the ids of all
    documents, and one over the segments of all shards.
    """
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
    answer["forgotten"] = home.forgotten(doc_id, [(row["shard"], row["row"], row["segment"]) for row in answer["rows"]])
    return {**answer, "notes": notes}


@dataclass(frozen=True)
class Home:
    """The run that a shard belongs to, if it lies in one."""

    run_dir: str
    """Empty if the shard lies in none."""
    input_dir: str = ""
    """Another run, for earlier stages that this one lacks."""
    shard_path: str = ""
    """Path of the shard in its manifest."""

    @staticmethod
    def of(path: str, input_dir: str) -> Home:
        """Looks for the manifest of a shard stage in the folders above."""
        folder, name = absolute(path).rsplit("/", 1)
        while folder.rstrip("/") and not folder.endswith(":/"):
            if _is_shard_stage(folder):
                return Home(os.path.dirname(folder), input_dir, name)
            folder, _, last = folder.rpartition("/")
            name = f"{last}/{name}"
        return Home("", input_dir, "")

    def folder(self, stage: str) -> str:
        """Of a committed stage, or empty."""
        return lookup.folder_of(stage, self.run_dir, self.input_dir)

    def forgotten(self, doc_id: bytes, places: Sequence[tuple[str, int, int]]) -> Answer:
        """Whether a document is on the run's list, and whether all its places (shard, row, segment) are hidden from loaders."""
        listed, mask = self.run_dir != "" and doc_id in Listed.of(self.run_dir).ids, self.mask()
        return {"listed": listed, "hidden": bool(places) and all(_is_hidden(mask, *place) for place in places)}

    def mask(self) -> Mask | None:
        """What loaders of the run's shards read as padding. Raises ShardError if it is not theirs."""
        shards = lookup.folder_of("shard", self.run_dir) if self.run_dir else ""
        return Mask.open(shards, read_manifest(shards).digest) if shards else None

    def token_text(self, shard: Shard) -> tuple[TokenText | None, list[str]]:
        """What turns the shard's ids into text; None, and a note, where its tokenizer is not there."""
        folder = self.folder("tokenizer")
        if not folder:
            return None, ["text is not shown: no tokenizer stage lies beside the shard; --input names a run that has it"]
        text = TokenText.load(join(folder, "tokenizer.json"), shard.metadata)
        return text, [] if text else [f"text is not shown: {folder} holds another tokenizer than the shard was made with"]

    def document(self, doc_id: bytes, stratum: str, notes: list[str]) -> Answer:
        """`doc_id`, what curate says of it, and how many duplicates were removed for it."""
        answer: Answer = {"doc_id": doc_id.hex(), "document": None, "duplicates_removed": None}
        if curate := self.folder("curate"):
            row = lookup.documents(curate, [doc_id], stratum).get(doc_id)
            answer["document"] = _document_words(curate, row) if row else None
            if row is None:
                notes.append(f"{curate} kept no document of this id")
        else:
            notes.append(
                "document and origin are not known: no curate stage lies beside the shards; --input names a run that has it"
            )
        if dedup := self.folder("dedup"):
            answer["duplicates_removed"] = lookup.copies_of(dedup, doc_id)
        return answer

    def fate(self, doc_id: bytes) -> Answer:
        """The decision or removal that took it out of the corpus; {"kept": True} if there is none, as for an id that is of no document."""
        curate, dedup = self.folder("curate"), self.folder("dedup")
        for row in lookup.decisions(curate, [doc_id]) if curate else ():
            return {"kept": False, **{name: row[name] for name in ("outcome", "check", "reason", "origin")}}
        for row in lookup.removals(dedup, [doc_id]) if dedup else ():
            keeper = {"keeper_id": row["keeper_id"].hex(), "jaccard": round(float(row["jaccard"]), 6)}
            return {"kept": False, "outcome": "duplicate", "check": row["kind"], "reference": row["reference"], **keeper}
        return {"kept": True}

    def unknown(self, doc_id: bytes) -> str:
        """Words for an id that is of no document."""
        stages = [stage for stage in ("curate", "dedup", "shard") if self.folder(stage)]
        listed = (
            ", though it is on the list of what was forgotten" if self.run_dir and doc_id in Listed.of(self.run_dir).ids else ""
        )
        lacking = "" if "curate" in stages else " What curate dropped is not known here: --input names a run that has that stage."
        return (
            f"{self.run_dir}: document {doc_id.hex()} is unknown{listed}: {', '.join(stages)} tell nothing of it. Compare the id with "
            f"those that `spanmill trace SHARD ROW TOKEN` prints.{lacking}"
        )


def _refuse_folder(path: str) -> None:
    with reading(path):
        fs, name = file_system(path)
        is_folder = fs.isdir(name)
    if is_folder:
        raise ConfigError(
            f"{path} is a folder; a row and a token are those of one shard file. Name it, for instance RUN/shard/code/00000.arrow, or ask "
            "for a document with RUN --doc-id HEX."
        )


def _is_shard_stage(folder: str) -> bool:
    try:
        return exists(join(folder, "manifest.json")) and read_manifest(folder).stage == "shard"
    except StageError:  # a manifest.json that is not Spanmill's
        return False


def _is_hidden(mask: Mask | None, shard: str, row: int, number: int) -> bool:
    places = mask.of(shard) if mask else None
    return places is not None and number in places.in_row(row)


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


def _document_words(curate: str, row: lookup.Row) -> Answer:
    described = {name: row[name] for name in lookup.DESCRIBED if name != "doc_id"}
    return {**described, "input_paths": lookup.input_paths(curate, row["origin"])}


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

"""The run around a shard or a document: what its stages tell of one document."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contracts.errors import StageError
from pipelines import lookup
from pipelines.forgotten import Listed
from pipelines.storage import absolute, exists, join, read_manifest
from pipelines.token_text import TokenText
from sharding.forgotten import Mask
from sharding.shards import Shard

Answer = dict[str, Any]
"""A JSON object."""

Segment = tuple[str, int, int]
"""A shard's path in its manifest, a row of it, a segment of that."""


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
        whole = absolute(path)
        for folder in folders_above(whole):
            if is_shard_stage(folder):
                return Home(os.path.dirname(folder), input_dir, whole.removeprefix(f"{folder}/"))
        return Home("", input_dir, "")

    def folder(self, stage: str) -> str:
        """Of a committed stage, or empty. Shards are those of the run itself."""
        return lookup.folder_of(stage, self.run_dir, "" if stage == "shard" else self.input_dir)

    @cached_property
    def lists(self) -> list[Listed]:
        """What is forgotten in the run, and in the other that it takes stages from: its shards are made without either."""
        return [Listed.of(base) for base in (self.run_dir, self.input_dir) if base]

    def forgotten(self, doc_id: bytes, document: Answer | None, segments: Sequence[Segment]) -> Answer:
        """Whether a document is on a list, and whether all its segments are hidden from loaders.

        `left_out` says that it is listed and that no shard has a segment of it.
        """
        listed, mask = any(each.holds(doc_id, document) for each in self.lists), self.mask
        hidden = bool(segments) and all(_is_hidden(mask, *segment) for segment in segments)
        return {"listed": listed, "hidden": hidden, "left_out": listed and not segments}

    @cached_property
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
        listed = any(doc_id in each.ids for each in self.lists)
        lacking = "" if "curate" in stages else " What curate dropped is not known here: --input names a run that has that stage."
        return (
            f"{self.run_dir}: document {doc_id.hex()} is unknown{', though it is on the list of what was forgotten' if listed else ''}. It "
            f"was looked for in {_and(stages)}. Compare the id with those that `spanmill trace SHARD ROW TOKEN` prints.{lacking}"
        )


def folders_above(path: str) -> Iterator[str]:
    """The folders that an absolute path lies in, the innermost first, without the root of a disk or store."""
    folder = path.rpartition("/")[0]
    while folder.rstrip("/") and not folder.endswith(":/"):
        yield folder
        folder = folder.rpartition("/")[0]


def is_shard_stage(folder: str) -> bool:
    """Whether a folder is that of a finished shard stage."""
    try:
        return exists(join(folder, "manifest.json")) and read_manifest(folder).stage == "shard"
    except StageError:  # a manifest.json that is not Spanmill's
        return False


def _is_hidden(mask: Mask | None, shard: str, row: int, number: int) -> bool:
    places = mask.of(shard) if mask else None
    return places is not None and number in places.in_row(row)


def _document_words(curate: str, row: lookup.Row) -> Answer:
    described = {name: row[name] for name in lookup.DESCRIBED if name != "doc_id"}
    return {**described, "input_paths": lookup.input_paths(curate, row["origin"])}


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

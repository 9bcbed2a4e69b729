"""Making a run forget documents: `spanmill forget`.

    names ─▶ ids ─▶ list (RUN/forget) ─▶ segments in shards ─▶ mask (RUN/shard/forgotten) ─▶ receipt

The list is written first: whatever happens then, shards that are made later leave those documents out, and the same command goes on.
The mask is one file that is replaced at once: loaders see the old one or the new one. The receipt is written last: with it, it is done.

Duplicates. Copies that dedup removed are in no shard, and stay out: what was removed for a keeper does not return when the keeper goes,
since shards are made of what dedup left. The other way round, where a named document was itself removed as a duplicate, its keeper holds
the same or nearly the same text and is in the shards. Keepers are told, and forgotten too if so asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.errors import ConfigError, InputError, StageError
from contracts.manifest import Manifest, digest_of
from pipelines import lookup
from pipelines.forgotten import RECEIPTS, Listed, as_rows
from pipelines.lookup import Row
from pipelines.storage import exists, join, read_bytes, read_manifest, write_bytes
from sharding.forgotten import MASK_PATH, Mask, Places, mask_bytes
from sharding.whereabouts import Found, find

SCANNERS = 4
"""Shards that are scanned at a time."""

Receipt = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What is to be forgotten."""

    doc_ids: frozenset[bytes] = frozenset()
    repos: frozenset[str] = frozenset()
    with_keepers: bool = False
    """Also the documents for which dedup removed one of those that are named."""

    def words(self) -> Receipt:
        """As JSON."""
        return {
            "doc_ids": sorted(doc_id.hex() for doc_id in self.doc_ids),
            "repos": sorted(self.repos),
            "with_keepers": self.with_keepers,
        }


def read_request(doc_ids: str, repos: str, with_keepers: bool) -> Request:
    """The question that two files ask; either path may be empty. Raises ConfigError for a line that is no id, or if nothing is asked."""
    ids = frozenset(_to_id(line, number, doc_ids) for number, line in _lines(doc_ids))
    request = Request(ids, frozenset(line for _, line in _lines(repos)), with_keepers)
    if not request.doc_ids and not request.repos:
        raise ConfigError(
            "Nothing to forget: give --doc-ids FILE or --repos FILE, with one id (32 hex digits) or one repository name a line."
        )
    return request


def forget(run_dir: str, request: Request, input_dir: str = "") -> Receipt:
    """Forgets documents, and says what was found; the same is in RUN/forget/receipts. Asking twice changes nothing.

    Earlier stages that the run lacks are looked up in the run `input_dir`, which is not changed: list, mask and receipt are those of
    `run_dir`. Raises StageError if the folder is no run, or if repositories are asked for and neither run has a curate stage. Cost: one
    pass over the ids of curate's documents and dedup's removals, one over the segments of all shards.
    """
    _check_runs(run_dir, request, input_dir)
    curate, keepers = lookup.folder_of("curate", run_dir, input_dir), []
    of_repos = lookup.documents_of_repos(curate, request.repos) if request.repos else []
    ids = request.doc_ids.union(row["doc_id"] for row in of_repos)
    if dedup := lookup.folder_of("dedup", run_dir, input_dir):
        keepers = [row for row in lookup.removals(dedup, ids) if not row["reference"]]
    chosen = ids.union(row["keeper_id"] for row in keepers) if request.with_keepers else ids
    Listed.of(run_dir).with_(chosen, request.repos).write(run_dir)
    shards = lookup.folder_of("shard", run_dir)
    found = scan(shards, chosen) if shards else {}
    if shards:
        write_mask(shards, read_manifest(shards).digest, {path: each.places for path, each in found.items()})
    receipt = {
        "asked": request.words(),
        "found": _found_words(curate, request, of_repos, found),
        "keepers": _keeper_words(keepers, chosen),
        "shards": _shard_words(read_manifest(shards), found) if shards else None,
    }
    name = digest_of([receipt["asked"], read_manifest(shards).digest if shards else ""])
    write_bytes(join(run_dir, RECEIPTS, f"{name}.json"), (json.dumps(receipt, indent=1, sort_keys=True) + "\n").encode())
    return {**receipt, "receipt": join(run_dir, RECEIPTS, f"{name}.json")}


def check_found(receipt: Receipt) -> None:
    """Raises InputError where nothing of what was asked for is known: an opt-out that hides nothing must not pass for one that is done."""
    found = receipt["found"]
    if not found["doc_ids"] and not found["repos"]:
        raise InputError(
            "Nothing of what was asked for was found, so nothing was hidden: no document of these ids or repositories was kept here, or "
            "the names are spelled otherwise, or this is another run than the one meant. They stay on the list for shards that are made "
            "later. Compare the names with those that `spanmill trace` prints, and ask again."
        )


def scan(shards: str, ids: Iterable[bytes]) -> dict[str, Found]:
    """Where documents lie in the shards of a stage, by the shard's path in the manifest; shards that hold none are left out."""
    wanted = as_rows(ids)
    paths = [entry.path for entry in read_manifest(shards).files]
    with ThreadPoolExecutor(SCANNERS) as scanners:
        found = list(scanners.map(lambda path: find(join(shards, path), wanted), paths))
    return {path: each for path, each in zip(paths, found, strict=True) if len(each.row)}


def write_mask(shards: str, digest: str, places: Mapping[str, Places]) -> None:
    """Hides more segments of the shards of a stage, whose manifest has the digest; those that are hidden stay so."""
    mask = Mask.open(shards, digest)
    union = dict(mask.places()) if mask else {}
    for path, more in places.items():
        union[path] = union[path].union(more) if path in union else more
    content = mask_bytes(digest, union)
    if any(len(each.row) for each in union.values()) and not _is_same(join(shards, MASK_PATH), content):
        write_bytes(join(shards, MASK_PATH), content)


def _is_same(path: str, content: bytes) -> bool:
    return exists(path) and read_bytes(path) == content


def _check_runs(run_dir: str, request: Request, input_dir: str) -> None:
    stages = [stage for stage in ("curate", "shard") if lookup.folder_of(stage, run_dir)]
    if not stages:
        raise StageError(
            f"{run_dir} holds neither a finished curate nor a finished shard stage: there is nothing to forget. Name a run."
        )
    if input_dir and not any(lookup.folder_of(stage, input_dir) for stage in ("curate", "dedup")):
        raise StageError(
            f"--input {input_dir} holds neither a finished curate nor a finished dedup stage. Name the run that has them."
        )
    if request.repos and not lookup.folder_of("curate", run_dir, input_dir):
        raise StageError(
            f"{' and '.join(filter(None, (run_dir, input_dir)))} has no finished curate stage, so it is not known which documents are of "
            f"which repository. Name the run that has it: `spanmill forget {run_dir} --input RUN --repos FILE`; or name the documents with "
            "--doc-ids."
        )
    if request.repos and "shard" in stages and "curate" not in stages:
        _check_corpus(run_dir, input_dir)


def _check_corpus(run_dir: str, input_dir: str) -> None:
    """Another corpus need not know the repositories' documents that the shards hold."""
    made, there = read_manifest(join(run_dir, "shard")), read_manifest(join(input_dir, "curate"))
    if made.upstream.get("curate") != there.digest:
        raise StageError(
            f"The shards of {run_dir} were made from another curate stage (digest {made.upstream.get('curate')}) than that of {input_dir} "
            f"({there.digest}), so not all of their documents of a repository may be known. Name the run that they were made from with "
            "--input, or name the documents with --doc-ids."
        )


def _found_words(curate: str, request: Request, of_repos: Sequence[Row], found: Mapping[str, Found]) -> Receipt:
    """What became of each name: documents by repository as the corpus spells it, and what was not found."""
    known = lookup.known(curate, request.doc_ids) if curate else set()
    known |= {row.tobytes() for each in found.values() for row in each.segments.doc_id} & request.doc_ids
    repos: dict[str, int] = {}
    for row in of_repos:
        repos[row["repo"]] = repos.get(row["repo"], 0) + 1
    spelled = {repo.casefold() for repo in repos}
    return {
        "doc_ids": len(known),
        "repos": dict(sorted(repos.items())),
        "unknown_doc_ids": sorted(doc_id.hex() for doc_id in request.doc_ids - known),
        "unknown_repos": sorted(repo for repo in request.repos if repo.casefold() not in spelled),
    }


def _keeper_words(removals: Sequence[Row], chosen: frozenset[bytes]) -> list[Receipt]:
    """The keepers of documents that were named and had been removed already."""
    return [
        {
            "doc_id": row["doc_id"].hex(),
            "keeper_id": row["keeper_id"].hex(),
            "kind": row["kind"],
            "jaccard": round(float(row["jaccard"]), 6),
            "forgotten": row["keeper_id"] in chosen,
        }
        for row in sorted(removals, key=lambda row: row["doc_id"])
    ]


def _shard_words(made: Manifest, found: Mapping[str, Found]) -> Receipt:
    """Every row that holds a token of what was forgotten, and how much that is."""
    tables = [each.segments for each in found.values()]
    return {
        "manifest_digest": made.digest,
        "documents": len({row.tobytes() for table in tables for row in table.doc_id}),
        "segments": sum(len(table.length) for table in tables),
        "tokens": sum(int(table.length.sum()) for table in tables),
        "rows": {path: np.unique(each.row).tolist() for path, each in sorted(found.items())},
    }


def _lines(path: str) -> list[tuple[int, str]]:
    """(number from 1, content) of the lines that say something. A `#` at the start of a line or behind a space begins a comment."""
    if not path:
        return []
    try:
        text = read_bytes(path).decode().removeprefix("\ufeff")  # some editors begin a file with this mark of its encoding
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}): convert it first.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. It should hold one id or one repository name a line.") from None
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.split("\n")]
    return [(number, line) for number, line in enumerate(lines, 1) if line]


def _to_id(line: str, number: int, path: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", line):
        raise ConfigError(
            f"{path}, line {number}: {line[:80]!r} is no document id; 32 hex digits are allowed, as `spanmill trace` prints them."
        )
    return bytes.fromhex(line)

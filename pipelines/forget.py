"""Making a run forget documents: `spanmill forget`.

    names ─▶ ids ─▶ list (RUN/forget) ─▶ segments in shards ─▶ mask (RUN/shard/forgotten) ─▶ receipt

The list is written first: whatever happens then, shards that are made later leave those documents out, and the same command goes on.
The mask hides all that is on the list, and is one file that is replaced at once: loaders see the old one or the new one. The receipt is
written last: with it, it is done.

Duplicates. Copies that dedup removed are in no shard, and stay out: what was removed for a keeper does not return when the keeper goes,
since shards are made of what dedup left. The other way round, where a named document was itself removed as a duplicate, its keeper holds
the same or nearly the same text and is in the shards. Keepers are told, and forgotten too if so asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from contracts.errors import InputError, ShardError, StageError
from contracts.manifest import Manifest, digest_of
from pipelines import lookup
from pipelines.forget_request import Request
from pipelines.forgotten import RECEIPTS, Listed, as_rows, forgotten_ids
from pipelines.guesses import guess_paths, guess_repos
from pipelines.lookup import Row
from pipelines.named import Names, documents_named
from pipelines.storage import exists, join, read_bytes, read_manifest, write_bytes
from sharding.forgotten import MASK_PATH, Mask, Places, mask_bytes
from sharding.whereabouts import Found, find

SCANNERS = 4
"""Shards that are scanned at a time."""

Receipt = dict[str, Any]


def forget(run_dir: str, request: Request, input_dir: str = "") -> Receipt:
    """Forgets documents, and says what was found; the same is in RUN/forget/receipts. Asking twice changes nothing.

    Earlier stages that the run lacks are looked up in the run `input_dir`, which is not changed: list, mask and receipt are those of
    `run_dir`. Raises StageError if the folder is no run, or if repositories or paths are asked for and neither run has a curate stage.
    Cost: one pass over the ids of curate's documents and dedup's removals, one over the segments of all shards.
    """
    _check_runs(run_dir, request, input_dir)
    shards = lookup.folder_of("shard", run_dir)
    before = _listed(run_dir, input_dir, shards)
    curate, keepers = lookup.folder_of("curate", run_dir, input_dir), []
    names = Names.of(request.repos, request.paths)
    named = [row for each in documents_named(curate, names, columns=("doc_id", "repo", "path")) for row in each.rows]
    ids = request.doc_ids.union(row["doc_id"] for row in named)
    if dedup := lookup.folder_of("dedup", run_dir, input_dir):
        keepers = [row for row in lookup.removals(dedup, ids) if not row["reference"]]
    chosen = ids.union(row["keeper_id"] for row in keepers) if request.with_keepers else ids
    before.with_(chosen, request.repos, request.paths).write(run_dir)
    listed = forgotten_ids(run_dir, input_dir)
    hidden = scan(shards, map(bytes, listed)) if shards else {}
    if shards:
        places = {path: each.places for path, each in hidden.items()}
        write_mask(shards, read_manifest(shards).digest, places, complete=True)
    found = {path: mine for path, each in hidden.items() if len((mine := each.of(as_rows(chosen))).row)}
    receipt = {
        "asked": request.words(),
        "found": _found_words(curate, request, named, found),
        "keepers": _keeper_words(keepers, chosen | before.ids),
        "shards": _shard_words(read_manifest(shards), found) if shards else None,
    }
    name = digest_of([receipt["asked"], read_manifest(shards).digest if shards else ""])
    write_bytes(join(run_dir, RECEIPTS, f"{name}.json"), (json.dumps(receipt, indent=1, sort_keys=True) + "\n").encode())
    return {**receipt, "receipt": join(run_dir, RECEIPTS, f"{name}.json")}


def _listed(run_dir: str, input_dir: str, shards: str) -> Listed:
    """The list as it is, with all that the input run's has, and all that the mask hides: the mask can then be made from it at any time.

    Raises ShardError for a damaged mask where there is no list to make it anew from.
    """
    own, of_input = Listed.of(run_dir), Listed.of(input_dir) if input_dir else Listed(frozenset(), frozenset())
    listed = own.with_(of_input.ids, of_input.repos, of_input.paths)
    try:
        mask = Mask.open(shards, read_manifest(shards).digest) if shards else None
    except ShardError:
        if own.is_empty:
            raise
        return listed
    return listed.with_(ids_of(mask), ()) if mask else listed


def ids_of(mask: Mask) -> set[bytes]:
    """Of the documents that a mask hides."""
    return {row.tobytes() for each in mask.places().values() for row in each.doc_id}


def check_found(receipt: Receipt) -> None:
    """Raises InputError where nothing of what was asked for is known: an opt-out that hides nothing must not pass for one that is done."""
    found = receipt["found"]
    if not found["doc_ids"] and not found["repos"] and not found["paths"]:
        raise InputError(
            "Nothing of what was asked for was found, so nothing was hidden: no document of these ids, repositories or paths was kept "
            "here, or the names are spelled otherwise, or this is another run than the one meant. They stay on the list for shards "
            "that are made later. Compare the names with those that `spanmill trace` prints, and ask again."
        )


def scan(shards: str, ids: Iterable[bytes]) -> dict[str, Found]:
    """Where documents lie in the shards of a stage, by the shard's path in the manifest; shards that hold none are left out.

    Cost: one pass over the segments of all shards; none where no document is asked for.
    """
    wanted = as_rows(ids)
    paths = [entry.path for entry in read_manifest(shards).files] if len(wanted) else []
    with ThreadPoolExecutor(SCANNERS) as scanners:
        found = list(scanners.map(lambda path: find(join(shards, path), wanted), paths))
    return {path: each for path, each in zip(paths, found, strict=True) if len(each.row)}


def write_mask(shards: str, digest: str, places: Mapping[str, Places], *, complete: bool = False) -> None:
    """Hides more segments of the shards of a stage, whose manifest has the digest; those that are hidden stay so.

    `complete`: the places are all there is to hide, so that a mask that is damaged, or of other shards, is replaced. Raises ShardError
    for such a one otherwise.
    """
    try:
        mask = Mask.open(shards, digest)
    except ShardError:
        if not complete:
            raise
        mask = None
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
    named = [option for option, names in (("--repos", request.repos), ("--paths", request.paths)) if names]
    if named and not lookup.folder_of("curate", run_dir, input_dir):
        raise StageError(
            f"{' and '.join(filter(None, (run_dir, input_dir)))} has no finished curate stage, so it is not known which documents are of "
            f"which repository or path. Name the run that has it: `spanmill forget {run_dir} --input RUN {named[0]} FILE`; or name the "
            "documents with --doc-ids."
        )
    if named and "shard" in stages and "curate" not in stages:
        _check_corpus(run_dir, input_dir)


def _check_corpus(run_dir: str, input_dir: str) -> None:
    """Another corpus need not know the repositories' documents that the shards hold."""
    made, there = read_manifest(join(run_dir, "shard")), read_manifest(join(input_dir, "curate"))
    if made.upstream.get("curate") != there.digest:
        raise StageError(
            f"The shards of {run_dir} were made from another curate stage (digest {made.upstream.get('curate')}) than that of {input_dir} "
            f"({there.digest}), so not all of their documents of these names may be known. Name the run that they were made from with "
            "--input, or name the documents with --doc-ids."
        )


def _found_words(curate: str, request: Request, named: Sequence[Row], found: Mapping[str, Found]) -> Receipt:
    """What became of each name: documents by repository as the corpus spells it, and by path; what was not found, and what was meant."""
    known = lookup.known(curate, request.doc_ids) if curate else set()
    known |= {row.tobytes() for each in found.values() for row in each.segments.doc_id} & request.doc_ids
    names = Names.of(request.repos, request.paths)
    repos = Counter(row["repo"] for row in named if row["repo"].casefold() in names.repos)
    paths = Counter(place for row in named for place in names.places_of(row))
    spelled = {repo.casefold() for repo in repos}
    unknown_repos = sorted(repo for repo in request.repos if repo.casefold() not in spelled)
    unknown_paths = sorted(place for place in request.paths if place.folded() not in paths)
    meant = {place.words(): guess.words() for place, guess in guess_paths(curate, unknown_paths).items()} if unknown_paths else {}
    return {
        "doc_ids": len(known),
        "repos": dict(sorted(repos.items())),
        "paths": {place.words(): paths[place.folded()] for place in sorted(request.paths) if place.folded() in paths},
        "unknown_doc_ids": sorted(doc_id.hex() for doc_id in request.doc_ids - known),
        "unknown_repos": unknown_repos,
        "unknown_paths": [place.words() for place in unknown_paths],
        "did_you_mean": meant | (guess_repos(curate, unknown_repos) if unknown_repos else {}),
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

"""What a run has been asked to forget, for people: `spanmill forget RUN --list`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contracts.errors import InputError
from pipelines import lookup
from pipelines.forgotten import RECEIPTS, Listed
from pipelines.input_run import check_input
from pipelines.named import Names, Place, Row
from pipelines.storage import join, names_in, read_bytes

Answer = dict[str, Any]


def list_forgotten(run_dir: str, input_dir: str, at_most: int) -> Answer:
    """What is on the list of a run, by which receipts, and the names of the first documents where the corpus still has them.

    Documents come in the order of their ids. Raises InputError if the list or a receipt is damaged. Cost: one pass over the ids of curate's
    documents; memory: the ids, and `at_most` documents.
    """
    check_input(input_dir)
    listed, receipts = Listed.of(run_dir), dict(_receipts(run_dir))
    ids = sorted(listed.ids)[:at_most]
    curate = lookup.folder_of("curate", run_dir, input_dir)
    known = lookup.documents(curate, ids) if curate else {}
    others = {input_dir: Listed.of(input_dir)} if input_dir else {}
    return {
        "lists": {base: each.words() for base, each in ({run_dir: listed} | others).items()},
        "repos": [{"name": repo, "receipts": _by(receipts, Names.of([repo]))} for repo in sorted(listed.repos)[:at_most]],
        "paths": [
            {"name": place.words(), "receipts": _by(receipts, Names.of((), [place]))} for place in sorted(listed.paths)[:at_most]
        ],
        "documents": [_document(doc_id, known.get(doc_id), receipts) for doc_id in ids],
        "more": len(listed.ids) - len(ids),
    }


def _document(doc_id: bytes, row: Row | None, receipts: dict[str, Answer]) -> Answer:
    names = {name: row[name] if row else None for name in ("source", "repo", "path", "language")}
    return {
        "doc_id": doc_id.hex(),
        **names,
        "receipts": [receipt for receipt, said in receipts.items() if _named(doc_id, row, said)],
    }


def _named(doc_id: bytes, row: Row | None, receipt: Answer) -> bool:
    """Whether a document is on the list for what one receipt says: by its id, its names, or as the keeper of what was named."""
    asked = receipt["asked"]
    if doc_id.hex() in asked["doc_ids"]:
        return True
    if asked["with_keepers"] and any(each["keeper_id"] == doc_id.hex() for each in receipt["keepers"]):
        return True
    names = _names(asked)
    return row is not None and (row["repo"].casefold() in names.repos or bool(names.places_of(row)))


def _by(receipts: dict[str, Answer], names: Names) -> list[str]:
    """The receipts that asked for a name."""
    return [
        receipt
        for receipt, said in receipts.items()
        if _names(said["asked"]).repos & names.repos or _names(said["asked"]).paths & names.paths
    ]


def _names(asked: Answer) -> Names:
    return Names.of(asked["repos"], [Place(*each) for each in asked.get("paths", ())])


def _receipts(run_dir: str) -> Iterator[tuple[str, Answer]]:
    """By their ids."""
    for name in names_in(join(run_dir, RECEIPTS)):
        path = join(run_dir, RECEIPTS, name)
        if not name.endswith(".json"):
            continue
        try:
            receipt = json.loads(read_bytes(path))
            yield name.removesuffix(".json"), {"asked": receipt["asked"], "keepers": receipt["keepers"]}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no receipt ({error!r}): it was changed or damaged. Remove it; the list does not need it."
            ) from None

"""Whether a run has really forgotten what it was asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from contracts.errors import SpanmillError
from pipelines import lookup
from pipelines.cells import some
from pipelines.forget import ids_of, scan
from pipelines.forgotten import Listed, forgotten_ids
from pipelines.storage import read_manifest
from sharding.forgotten import Mask, Places


class Checked(NamedTuple):
    """What was checked of lists and mask."""

    words: str
    """What there is; empty where nothing was forgotten."""
    problems: list[str]
    """All that is wrong with it, one line each."""


def check_forgotten(run_dir: str, input_dir: str = "") -> Checked:
    """Whether no document can be read that is on the list of a run, or on that of the run `input_dir` which has its earlier stages.

    Cost: nothing where nothing was forgotten; else a pass over the segments of all shards.
    """
    try:
        ids = {row.tobytes() for row in forgotten_ids(run_dir, input_dir)}
        shards = lookup.folder_of("shard", run_dir)
        mask = Mask.open(shards, read_manifest(shards).digest) if shards else None
        if not ids and not mask:
            return Checked("", [])
        again = f"spanmill forget {run_dir}{f' --input {input_dir}' if input_dir else ''}"
        own = Listed.of(run_dir)
        problems = [f"forgotten: {problem}" for problem in _problems(again, shards, ids, mask, not own.is_empty)]
        words = _words(run_dir, input_dir, mask)
        return Checked(words if mask or problems or not shards else f"{words}; no shard holds any of them", problems)
    except SpanmillError as error:
        return Checked("the list, or what hides it, cannot be read", [f"forgotten: {error}"])


def _words(run_dir: str, input_dir: str, mask: Mask | None) -> str:
    listed = ((base, Listed.of(base)) for base in (run_dir, input_dir) if base)
    words = [f"{each.words()} on the list of {base}" for base, each in listed if not each.is_empty]
    if mask:
        segments, documents = (some(mask.totals[f"{noun}s"], noun) for noun in ("segment", "document"))
        words.append(f"the mask hides {segments} of {documents}")
    return "; ".join(words)


def _problems(again: str, shards: str, ids: set[bytes], mask: Mask | None, is_listed: bool) -> Iterator[str]:
    hidden = mask.places() if mask else {}
    masked = ids_of(mask) if mask else set()
    if is_listed and masked - ids:  # a folder of shards that was copied by hand has its mask, but no list
        yield f"{some(len(masked - ids), 'document')} hidden but not on the list, such as {min(masked - ids).hex()}: they would come back"
    held = {path: each.places for path, each in scan(shards, ids | masked).items()} if shards else {}
    if readable := _missing(held, hidden):
        yield (
            f"{some(sum(readable.values()), 'segment')} of forgotten documents can still be read, such as in {min(readable)}: run "
            f"`{again}` again with the same files"
        )
    if wrong := _missing(hidden, held):
        yield f"{some(sum(wrong.values()), 'segment')} hidden by {mask and mask.path} not what it says, such as in {min(wrong)}"


def _missing(places: Mapping[str, Places], others: Mapping[str, Places]) -> dict[str, int]:
    """How many segments of each shard `others` lacks."""
    counts = {path: len(_keys(each) - _keys(others.get(path))) for path, each in places.items()}
    return {path: count for path, count in counts.items() if count}


def _keys(places: Places | None) -> set[tuple[int, int, int, bytes]]:
    """Row, number, length and document of each segment."""
    if places is None:
        return set()
    columns = (places.row.tolist(), places.number.tolist(), places.length.tolist(), [row.tobytes() for row in places.doc_id])
    return set(zip(*columns, strict=True))

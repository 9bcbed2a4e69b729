"""Whether a run has really forgotten what it was asked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from contracts.errors import SpanmillError
from pipelines import lookup
from pipelines.forget import scan
from pipelines.forgotten import forgotten_ids
from pipelines.storage import read_manifest
from sharding.forgotten import Mask, Places, digest_of_places


def forgotten_problems(run_dir: str) -> list[str]:
    """All that is wrong with the mask and the list of a run, one line each.

    Cost: nothing where nothing was forgotten; else a pass over the segments of all shards.
    """
    try:
        ids = {row.tobytes() for row in forgotten_ids(run_dir)}
        shards = lookup.folder_of("shard", run_dir)
        mask = Mask.open(shards, read_manifest(shards).digest) if shards else None
        return [f"forgotten: {problem}" for problem in _problems(run_dir, shards, ids, mask)] if ids or mask else []
    except SpanmillError as error:
        return [f"forgotten: {error}"]


def _problems(run_dir: str, shards: str, ids: set[bytes], mask: Mask | None) -> Iterator[str]:
    hidden = mask.places() if mask else {}
    if mask and digest_of_places(hidden) != mask.digest:
        yield f"{mask.path} was changed or damaged: what it hides has digest {digest_of_places(hidden)}, it says {mask.digest}"
        return
    masked = {row.tobytes() for each in hidden.values() for row in each.doc_id}
    if ids and masked - ids:  # shards that were fetched come with their mask, but without the list
        yield f"{len(masked - ids):,} documents are hidden but not on the list, such as {min(masked - ids).hex()}: they would come back"
    held = {path: each.places for path, each in scan(shards, ids | masked).items()} if shards else {}
    if readable := _missing(held, hidden):
        yield (
            f"{sum(readable.values()):,} segments of forgotten documents can still be read, such as in {min(readable)}: run "
            f"`spanmill forget {run_dir}` again with the same files"
        )
    if wrong := _missing(hidden, held):
        yield f"{sum(wrong.values()):,} segments in {mask and mask.path} are not what it says they hold, such as in {min(wrong)}"


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

"""Finding documents in a run's tables: by id, by repository, among removals and decisions.

There is no index: each question is one pass over the columns it needs, in row groups, several files at a time; none if no id is asked for.
On one core two million ids are looked up in 0.6 s; a hundred million are 1.6 GB to read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.schemas import DOCUMENT
from pipelines.named import row_groups
from pipelines.storage import exists, join, read_manifest
from sharding.whereabouts import among

READERS = 8
"""Files that are read at a time."""

DESCRIBED = tuple(name for name in DOCUMENT.names if name not in ("text", "marks", "content_hash"))
"""Columns that say what a document is and where it is from."""

Row = dict[str, Any]


class Condition(NamedTuple):
    """Which rows are asked for."""

    column: str
    """The only column that decides."""
    holds: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    """bool for each of its values"""


def folder_of(stage: str, run_dir: str, input_dir: str = "") -> str:
    """The folder of a committed stage: this run's, or else the input run's; empty if neither has it."""
    bases = [base for base in (run_dir, input_dir) if base and exists(join(base, stage, "manifest.json"))]
    return join(bases[0], stage) if bases else ""


def documents(curate: str, ids: Collection[bytes], stratum: str = "") -> dict[bytes, Row]:
    """What curate kept under the ids: DESCRIBED columns by id. Where all are of one stratum of shards, it is enough to read its source."""
    return {row["doc_id"]: row for row in _of_ids(curate, "documents/", DESCRIBED, ids, stratum)}


def known(curate: str, ids: Collection[bytes]) -> set[bytes]:
    """Those of the ids under which curate kept a document."""
    return {row["doc_id"] for row in _of_ids(curate, "documents/", ("doc_id",), ids)}


def removals(dedup: str, ids: Collection[bytes]) -> list[Row]:
    """Rows of REMOVAL of the documents that are duplicates."""
    return list(_of_ids(dedup, "removals/", None, ids))


def copies_of(dedup: str, keeper: bytes) -> dict[str, int]:
    """How many duplicates were removed for a document, by kind."""
    counts = {"exact": 0, "near": 0}
    for row in _rows(dedup, "removals/", ("keeper_id", "kind", "reference"), _has("keeper_id", [keeper])):
        counts[row["kind"]] += not row["reference"]
    return counts


def decisions(curate: str, ids: Collection[bytes]) -> list[Row]:
    """Rows of DECISION of documents that were not kept."""
    return list(_of_ids(curate, "decisions/", None, ids))


def input_paths(curate: str, origin: str) -> list[str]:
    """Where the input file of an origin lay when curate read it; several where copies of it did."""
    digest = origin.partition("#")[0]
    path = join(curate, "inputs.parquet")
    if not exists(path):
        return []
    held = _read(path, ("input", "path"), Condition("input", lambda inputs: pc.equal(inputs, digest)))
    return sorted({str(row["path"]) for row in held})


def _has(column: str, ids: Collection[bytes]) -> Condition:
    wanted = np.frombuffer(b"".join(sorted(ids)), np.uint8).reshape(-1, 16)
    return Condition(
        column, lambda found: pa.chunked_array([pa.array(among(_id_rows(each), wanted)) for each in found.chunks], pa.bool_())
    )


def _id_rows(ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint8]:
    """uint8[k, 16]: a column of ids as it lies in memory."""
    held = np.frombuffer(ids.buffers()[1] or b"", np.uint8, count=16 * len(ids), offset=16 * ids.offset)
    return held.reshape(-1, 16)


def _of_ids(stage: str, folder: str, columns: Sequence[str] | None, ids: Collection[bytes], stratum: str = "") -> Iterator[Row]:
    """Rows of the documents with the ids. Where there are none, nothing is read."""
    return _rows(stage, folder, columns, _has("doc_id", ids), stratum) if ids else iter(())


def _rows(stage: str, folder: str, columns: Sequence[str] | None, condition: Condition, stratum: str = "") -> Iterator[Row]:
    """Rows of a stage's files for which a condition holds, in file order."""
    files = [entry for entry in read_manifest(stage).files if entry.path.startswith(folder)]
    sources = {entry.stratum for entry in files} & set(stratum.split("/"))  # SOURCE, SOURCE/LANGUAGE, held_out/SOURCE …
    files = [entry for entry in files if entry.stratum in sources] if sources else files
    with ThreadPoolExecutor(READERS) as readers:
        for found in readers.map(
            partial(_read, columns=columns, condition=condition), [join(stage, entry.path) for entry in files]
        ):
            yield from found


def _read(path: str, columns: Sequence[str] | None, condition: Condition) -> list[Row]:
    """Rows of one file for which it holds. Other columns than the one that decides are read only of row groups in which it does for some.

    From a store only those columns are fetched: a request a row group for the one that decides.
    """
    found: list[Row] = []
    for table, read in row_groups(path, (condition.column,)):
        passed = condition.holds(table[condition.column])
        if pc.any(passed).as_py():
            found += read(columns=list(columns) if columns else None).filter(passed).to_pylist()
    return found

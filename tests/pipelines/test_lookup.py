"""What questions to a run's tables cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counted_store import CountedStore

from contracts.manifest import FileEntry, Manifest
from contracts.schemas import DOCUMENT, REMOVAL
from pipelines import forget, lookup

ROWS, GROUP = 6000, 1000


def ids_of(rows: range) -> list[bytes]:
    return [row.to_bytes(8, "big") * 2 for row in rows]


def commit(folder: Path, path: str, table: pa.Table) -> str:
    """A stage of one file."""
    (folder / path).parent.mkdir(parents=True)
    pq.write_table(table, folder / path, row_group_size=GROUP)
    entry = FileEntry(path, table.num_rows, (folder / path).stat().st_size, "0" * 16, 0, "code")
    manifest = Manifest("curate", {}, 0, {}, {}, {}, {}, [entry])
    (folder / "manifest.json").write_text(manifest.to_json())
    return str(folder)


@pytest.fixture
def curate(tmp_path: Path) -> str:
    """Documents of 500 bytes that do not compress."""
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "doc_id": ids_of(range(ROWS)),
        "source": ["code"] * ROWS,
        "text": [rng.bytes(250).hex() for _ in range(ROWS)],
        "marks": [[]] * ROWS,
        "language": ["python"] * ROWS,
        "kind": ["code"] * ROWS,
        "repo": [f"owner/{row // 10}" for row in range(ROWS)],
        "path": [f"{row}.py" for row in range(ROWS)],
        "stars": [row % 7 for row in range(ROWS)],
        "licenses": [["MIT"]] * ROWS,
        "license_evidence": [""] * ROWS,
        "origin": [f"ab#{row}" for row in range(ROWS)],
        "content_hash": ids_of(range(ROWS)),
    }
    return commit(tmp_path / "curate", "documents/00000.parquet", pa.table(values, DOCUMENT))


def test_only_the_columns_that_are_needed_are_fetched_from_a_store(curate: str) -> None:
    path = f"{curate}/documents/00000.parquet"
    wanted = ids_of(range(2, 4000, 1999))
    CountedStore.asked.clear()
    assert lookup.known(f"counted://{curate}", [*wanted, bytes(15) + b"x"]) == set(wanted)
    size, requests = Path(path).stat().st_size, CountedStore.asked[path]
    assert size > 2_000_000
    assert (
        sum(requests) < 65536 + 20 * ROWS + 20 * 3 * GROUP + 10_000
    )  # the end of the file, all ids, once more where some are wanted
    assert len(requests) <= 1 + 6 + 3
    CountedStore.asked.clear()
    found = lookup.documents(f"counted://{curate}", wanted)
    assert {row["path"] for row in found.values()} == {"2.py", "2001.py"}
    assert found == lookup.documents(curate, wanted)
    assert sum(CountedStore.asked[path]) < 0.15 * size


@pytest.mark.parametrize("ask", [lookup.known, lookup.documents, lookup.removals, lookup.decisions])
def test_who_asks_for_nothing_reads_nothing(ask: Any) -> None:
    assert len(ask("/there/is/no/such/stage", frozenset())) == 0
    assert len(ask("/there/is/no/such/stage", [])) == 0
    assert forget.scan("/there/is/no/such/stage", []) == {}


def test_removals_are_found_by_id(tmp_path: Path) -> None:
    rows = [
        {"doc_id": doc_id, "keeper_id": ids_of(range(1))[0], "jaccard": 1.0, "kind": kind, "band": -1, "reference": ""}
        for doc_id, kind in zip(ids_of(range(1, 5)), ["exact", "near", "near", "exact"], strict=True)
    ]
    dedup = commit(tmp_path / "dedup", "removals/00000.parquet", pa.Table.from_pylist(rows, REMOVAL))
    assert lookup.removals(dedup, ids_of(range(2, 9))) == rows[1:]
    assert lookup.copies_of(dedup, ids_of(range(1))[0]) == {"exact": 2, "near": 2}

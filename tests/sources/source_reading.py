"""Running a source from end to end, as the curate stage does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.schemas import DECISION, DOCUMENT
from pipelines.sources.base import Part, Source

PART_BYTES = 32 * 2**20


class Found(NamedTuple):
    documents: pa.Table
    lost: pa.Table

    def texts(self) -> list[str]:
        return self.documents["text"].to_pylist()

    def column(self, name: str) -> list[Any]:
        return self.documents[name].to_pylist()

    def checks(self) -> list[str]:
        return self.lost["check"].to_pylist()

    def reasons(self) -> list[str]:
        return self.lost["reason"].to_pylist()


def plan(source: Source, part_bytes: int = PART_BYTES) -> list[Part]:
    return source.split([source.survey(path) for path in source.list_inputs()], part_bytes)


def read_part(source: Source, part: Part) -> Found:
    documents, lost = [], []
    for reading in source.read(part):
        assert reading.documents.schema.equals(DOCUMENT)
        assert reading.lost.schema.equals(DECISION)
        assert set(reading.lost["outcome"].to_pylist()) <= {"quarantined"}
        reading.documents.validate(full=True)
        reading.lost.validate(full=True)
        documents.append(reading.documents)
        lost.append(reading.lost)
    return Found(pa.Table.from_batches(documents, DOCUMENT), pa.Table.from_batches(lost, DECISION))


def read_all(source: Source, part_bytes: int = PART_BYTES) -> Found:
    return gathered([read_part(source, part) for part in plan(source, part_bytes)])


def gathered(found: Sequence[Found]) -> Found:
    return Found(
        pa.concat_tables([each.documents for each in found] or [DOCUMENT.empty_table()]),
        pa.concat_tables([each.lost for each in found] or [DECISION.empty_table()]),
    )


def write_code(
    path: Path, texts: Sequence[Any], *, text_type: pa.DataType | None = None, group: int = 1000, **columns: Any
) -> Path:
    """A file in StarCoderData's layout; `columns` replace its columns, None leaves one out."""
    n = len(texts)
    values = {
        "max_stars_repo_path": [f"src/{i}.py" for i in range(n)],
        "max_stars_repo_name": [f"owner/repo{i % 3}" for i in range(n)],
        "max_stars_count": list(range(n)),
        "id": [str(i) for i in range(n)],
        "content": pa.array(texts, text_type or pa.string()),
    }
    values |= columns
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: value for name, value in values.items() if value is not None}), path, row_group_size=group)
    return path


def not_utf8(texts: Sequence[bytes]) -> pa.Array:
    """A string column that holds these bytes, whatever they are: what careless writers leave in Parquet files."""
    return pa.array(texts, pa.binary()).view(pa.string())

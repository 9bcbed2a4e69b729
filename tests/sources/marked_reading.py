"""Documents with marks: read from files of our own, and written out as StarCoder spells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_reading import Found, read_all

from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.parquet import ParquetSettings

COMMIT = "<commit_before>a<commit_msg>Fix b<commit_after>ab"


def spelled(document: dict[str, Any]) -> str:
    """A document with its marks written out: the inverse of taking them."""
    data, done, out = document["text"].encode(), 0, b""
    for mark in document["marks"]:
        out += data[done : mark["at"]] + mark["token"].encode()
        done = mark["at"]
    return (out + data[done:]).decode()


def jsonl(folder: Path, rows: list[Any], **settings: Any) -> Found:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_all(JsonlSettings.model_validate({"name": "j", "path": str(folder), **settings}).open())


def parquet(folder: Path, rows: list[Any], **settings: Any) -> Found:
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=2)
    return read_all(ParquetSettings.model_validate({"name": "j", "path": str(folder), **settings}).open())


both = pytest.mark.parametrize("read", [jsonl, parquet])


def documents(found: Found) -> list[str]:
    return [spelled(each) for each in found.documents.to_pylist()]

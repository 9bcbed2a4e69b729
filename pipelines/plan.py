"""What a curate stage is to read: the surveyed inputs, and the parts they are cut into."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from contracts.manifest import digest_of
from pipelines.sources.base import Input, Part
from pipelines.storage import read_bytes

INPUT = pa.schema(
    [
        pa.field("input", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
    ]
)
"""curate/inputs.parquet: where the INPUT of a document's origin lay."""


@dataclass(frozen=True)
class Plan:
    """What a curate stage is to read."""

    parts: list[Part]
    inputs: list[tuple[str, Input]]
    """(source name, input), ordered by source, digest and path"""

    @property
    def digest(self) -> str:
        """Of the corpus: what is read, but not where it lies."""
        return digest_of([[p.source, [[i.digest, i.label] for i in p.inputs], p.start, p.stop, p.copy] for p in self.parts])

    def table(self) -> pa.RecordBatch:
        """Schema INPUT."""
        rows = [{"input": i.digest, "source": name, "bytes": i.size, "path": i.path} for name, i in self.inputs]
        return pa.RecordBatch.from_pylist(rows, schema=INPUT)

    def to_json(self) -> str:
        """See `read_plan`."""
        return json.dumps(
            {"parts": [asdict(part) for part in self.parts], "inputs": [[name, asdict(i)] for name, i in self.inputs]}
        )


def read_plan(path: str) -> Plan:
    """What Plan.to_json wrote."""
    values = json.loads(read_bytes(path))
    return Plan([_part(each) for each in values["parts"]], [(name, input_of(each)) for name, each in values["inputs"]])


def part_bytes_of(part: Part) -> int:
    """Bytes that reading a part takes, about."""
    if len(part.inputs) == 1 and part.inputs[0].units:
        return sum(part.inputs[0].units[part.start : part.stop or None])
    if part.stop:
        return part.stop - part.start
    return sum(each.size for each in part.inputs)


def input_of(values: dict) -> Input:
    """An Input from its fields as JSON or Parquet hold them."""
    return Input(**{**values, "units": tuple(values["units"])})


def _part(values: dict) -> Part:
    return Part(**{**values, "inputs": tuple(input_of(each) for each in values["inputs"])})

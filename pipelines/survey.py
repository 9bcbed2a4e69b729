"""Looking at the corpus before anything is done: which files there are, their digests, and the parts they are read in.

Files are known by the digest of their bytes from here on, so renaming a corpus or listing it in another order changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pyarrow as pa
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import ConfigError
from contracts.manifest import digest_of
from pipelines.sources import SourceSettings, open_source
from pipelines.sources.base import Input, Part, Source

READERS = 16
"""Threads that wait for an object store. A local disk is read by one: small files would only pass the interpreter lock around."""

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
        """The parts; see `parts_from_json`."""
        return json.dumps([asdict(part) for part in self.parts])


def parts_from_json(text: str) -> list[Part]:
    """What Plan.to_json wrote."""
    return [_part(values) for values in json.loads(text)]


def survey(sources: Sequence[SourceSettings], part_bytes: int) -> Plan:
    """Reads every input once (a GB a second and thread, or what the storage gives) and plans the parts.

    Raises InputError for a source without files, ConfigError if there is no source.
    """
    if not sources:
        raise ConfigError(
            "The recipe names no source: add a [[source]] table with a type and a name, or start from configs/quickstart.toml."
        )
    parts: list[Part] = []
    inputs: list[tuple[str, Input]] = []
    for settings in sorted(sources, key=lambda source: source.name):
        source = open_source(settings)
        found = _look_at(source, source.list_inputs())
        parts += source.split(found, part_bytes)
        inputs += [(source.name, each) for each in found]
    inputs.sort(key=lambda pair: (pair[0], pair[1].digest, pair[1].path))
    return Plan(parts, inputs)


def _look_at(source: Source, paths: list[str]) -> list[Input]:
    if all(isinstance(url_to_fs(path)[0], LocalFileSystem) for path in paths[:1]):
        return [source.survey(path) for path in paths]
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(source.survey, paths))


def part_bytes_of(part: Part) -> int:
    """Bytes that reading a part takes, about."""
    if len(part.inputs) == 1 and part.inputs[0].units:
        return sum(part.inputs[0].units[part.start : part.stop or None])
    if part.stop:
        return part.stop - part.start
    return sum(each.size for each in part.inputs)


def _part(values: dict) -> Part:
    inputs = tuple(Input(**{**each, "units": tuple(each["units"])}) for each in values.pop("inputs"))
    return Part(inputs=inputs, **values)

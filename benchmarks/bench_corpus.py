"""The corpus that every side reads: Parquet files in one plain layout, so that no side has to guess columns.

CORPUS/code/00000.parquet    CORPUS/prose/00000.parquet
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipelines.sources.python_environment import PythonEnvironmentSettings

LAYOUT = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("text", pa.large_string()),
        ("language", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("stars", pa.int64()),
        ("licenses", pa.list_(pa.string())),
    ]
)
"""Columns of every file. `kind` is the name of its folder."""

COLUMNS = {
    "id": ("id", "origin"),
    "text": ("content", "text"),
    "language": ("lang", "language", "language_hint"),
    "repo": ("max_stars_repo_name", "repo"),
    "path": ("max_stars_repo_path", "path"),
    "stars": ("max_stars_count", "stars"),
    "licenses": ("max_stars_repo_licenses", "licenses"),
}
"""Names that a column may have: The Stack's, a plain one, our own."""

FILE_BYTES = 16 * 2**20
"""Text in a file, so that every core gets several even from a small corpus: datatrove does not split files."""

ENVIRONMENT = (
    PythonEnvironmentSettings(name="code", part="code", max_bytes=50_000_000),
    PythonEnvironmentSettings(name="docs", part="docs", max_bytes=10_000_000),
)
"""What is taken from the Python environment where there is no corpus."""

ALL_CODE = (PythonEnvironmentSettings(name="code", part="code"),)
"""All code of the environment, about 350 MB with torch: enough that start-up counts for little."""


class Size(NamedTuple):
    """How much text a corpus holds."""

    documents: int
    bytes: int


def prepare(
    folder: Path | None, out: Path, limit: int | None, environment: Sequence[PythonEnvironmentSettings] = ENVIRONMENT
) -> Size:
    """Copies the Parquet files below `folder` to `out`, or the Python environment's files if it is None.

    `limit`: bytes of text to take, about. Documents are chosen by a hash of their text, so that the same corpus gives the same
    subset, and exact duplicates stay together.
    """
    batches = _from_parquet(folder) if folder else _from_environment(environment)
    share = 1.0 if limit is None or folder is None else min(1.0, limit / max(1, _text_bytes(folder)))
    writers = {kind: _Rotating(out / kind) for kind in ("code", "prose")}
    for batch in batches:
        chosen = batch if share >= 1 else batch.filter(_chosen(batch["text"], share))
        for kind, writer in writers.items():
            writer.write(chosen.filter(pc.equal(chosen["kind"], kind)))
    for writer in writers.values():
        writer.close()
    return Size(sum(w.documents for w in writers.values()), sum(w.bytes for w in writers.values()))


def write(table: pa.Table, path: Path) -> None:
    """A single file, in row groups of 1,000 documents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=1000, compression="zstd")


def in_layout(table: pa.Table, kind: str) -> pa.Table:
    """A table with any of the known column names in LAYOUT; columns that are missing are null."""
    made = {"kind": pa.array([kind] * table.num_rows, pa.string())}
    for name, known in COLUMNS.items():
        found = next((each for each in known if each in table.column_names), None)
        made[name] = table[found].cast(LAYOUT.field(name).type) if found else pa.nulls(table.num_rows, LAYOUT.field(name).type)
    return pa.table([made[name] for name in LAYOUT.names], schema=LAYOUT)


def _from_parquet(folder: Path) -> Iterator[pa.Table]:
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            wanted = [name for names in COLUMNS.values() for name in names if name in file.schema_arrow.names]
            kind = "code" if "content" in file.schema_arrow.names else "prose"
            for batch in file.iter_batches(1000, columns=wanted):
                yield in_layout(pa.Table.from_batches([batch]), kind)


def _from_environment(environment: Sequence[PythonEnvironmentSettings]) -> Iterator[pa.Table]:
    for settings in environment:
        source = settings.open()
        for piece in source.split([source.survey(path) for path in source.list_inputs()], FILE_BYTES):
            for documents, _ in source.read(piece):
                yield in_layout(pa.Table.from_batches([documents]), "code" if settings.part == "code" else "prose")


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("**/*.parquet"))
    if not found:
        raise SystemExit(f"{folder}: no parquet files; give --corpus a folder that has some, with a column content or text")
    return found


def _text_bytes(folder: Path) -> int:
    """Uncompressed bytes of the text columns, as the files' own metadata tell."""
    total = 0
    for path in _files(folder):
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            columns = (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
            total += sum(each.total_uncompressed_size for each in columns if each.path_in_schema in COLUMNS["text"])
    return total


def _chosen(texts: pa.ChunkedArray, share: float) -> pa.Array:
    below = share * 2.0**64
    return pa.array([xxhash.xxh3_64_intdigest(text) < below for text in texts.cast(pa.large_binary()).to_pylist()], pa.bool_())


class _Rotating:
    """Files of about FILE_BYTES in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[pa.Table] = []
        self._held_bytes = self._files = self.documents = self.bytes = 0

    def write(self, table: pa.Table) -> None:
        """Adds documents."""
        size = pc.sum(pc.binary_length(table["text"])).as_py() or 0
        self._held.append(table)
        self._held_bytes += size
        self.bytes += size
        self.documents += table.num_rows
        if self._held_bytes >= FILE_BYTES:
            self.close()

    def close(self) -> None:
        """Writes what is held."""
        if self._held_bytes:
            write(pa.concat_tables(self._held), self._folder / f"{self._files:05d}.parquet")
            self._files += 1
        self._held, self._held_bytes = [], 0

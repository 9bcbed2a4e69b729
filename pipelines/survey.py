"""Looking at the corpus before anything is done: which files there are, their digests, and the pieces that can be read alone.

    list (here) ─▶ survey batches of files (workers) ─▶ RUN/survey/inputs.parquet ─▶ parts (here)

Files are known by the digest of their bytes from here on, so renaming a corpus or listing it in another order changes nothing. What was
surveyed once is not read again while the storage says that it is unchanged: for that, RUN/survey notes times and places, and alone of all
stages it tells of the machine. No other stage depends on these.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from contracts.errors import ConfigError, InputError, SpanmillError
from contracts.manifest import FileEntry, digest_of
from pipelines.corpus import read_columns
from pipelines.engine import Engine
from pipelines.graph import Items, Once
from pipelines.plan import Plan, input_of
from pipelines.recipe import Recipe
from pipelines.sources import SourceSettings, open_source
from pipelines.sources.base import Input, Part, Source
from pipelines.sources.stores import LISTING, ask, is_store, located
from pipelines.stage import Receipt, Stage
from pipelines.storage import exists, is_local, join, read_bytes, read_manifest, write_bytes, write_parquet

RATE = 500e6
"""Bytes of stored files that are digested in a second, roughly; decides only whether workers are started."""

READERS = 16
"""Threads that wait for an object store. A local disk is read by one: small files would only pass the interpreter lock around."""

BATCH_BYTES, BATCH_FILES = 256 * 2**20, 1000
"""What one worker surveys at a time, at most."""

NOT_SURVEYED = {"license_policy", "max_bytes"}
"""Settings of a source that decide nothing here."""

SURVEYED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("stamp", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("units", pa.list_(pa.int64()), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("unreadable", pa.string(), nullable=False),
        pa.field("xxh3", pa.string(), nullable=False),
    ]
)
"""survey/inputs.parquet: every input, as pipelines.sources.base.Input says, and the storage's own mark of its state."""


@dataclass(frozen=True)
class Listed:
    """A file that a source lists."""

    source: str
    path: str
    size: int
    stamp: str
    """Changes with the file, as far as the storage tells (time, size, ETag); empty where it does not."""


def survey(recipe: Recipe, run_dir: str, engine: Engine) -> Plan:
    """Surveys every input that is new or changed, and plans the parts.

    Cost: one read of each such file, at the storage's speed or a GB a second and worker. Raises InputError for a source without files,
    ConfigError if there is no source.
    """
    if not recipe.source:
        raise ConfigError(
            "The recipe names no source: add a [[source]] table with a type and a name, or start from configs/quickstart.toml."
        )
    listed = [each for settings in _by_name(recipe.source) for each in _list(settings)]
    config = {"source": [settings.model_dump(mode="json", exclude=NOT_SURVEYED) for settings in _by_name(recipe.source)]}
    stage = Stage("survey", run_dir, config, 0, {"listing": digest_of([asdict(each) for each in listed])})
    known = _known(stage)
    if engine.finished(stage, again=_some_unreadable(stage)) is None:
        if not engine.dry:
            write_bytes(stage.work_path("listed.json"), json.dumps([asdict(each) for each in listed]).encode())
            if not exists(stage.work_path("known.parquet")):  # what a run that goes on began with stays known
                rows = [known[key] for key in _keys(listed) if key in known]
                write_parquet(stage.work_path("known.parquet"), iter([_rows(rows)]), SURVEYED)
        new = sum(each.size for each in listed if _key(each.source, each.path, each.stamp) not in known)
        steps = [
            Items("files", SurveyFiles(stage, tuple(recipe.source))),
            Items("commit", CommitSurvey(stage, len(_batches(listed)))),
        ]
        totals = engine.run(stage, steps, new / RATE).totals
        engine.reporter.say(f"  {totals['inputs']:,} inputs, {totals['bytes'] / 1e6:.1f} MB as stored")
    return _plan(recipe, read_columns(stage.path("inputs.parquet"), SURVEYED.names).to_pylist())


@dataclass
class SurveyFiles:
    """Surveys a batch of files."""

    stage: Stage
    sources: tuple[SourceSettings, ...]

    def sizes(self) -> list[int]:
        """Stored bytes of each batch."""
        return [sum(each.size for each in batch) for batch in _batches(_listed(self.stage))]

    def setup(self) -> None:
        """Reads the list."""
        self._batches = _batches(_listed(self.stage))
        known = read_columns(self.stage.work_path("known.parquet"), SURVEYED.names).to_pylist()
        self._known = {_key(row["source"], row["path"], row["stamp"]): row for row in known}
        self._sources: dict[str, Source] = {each.name: open_source(each) for each in self.sources}

    def __call__(self, number: int) -> Receipt:
        """Writes the batch's rows, in the list's order."""
        batch = self._batches[number]
        if is_local(batch[0].path):
            rows = [self._row(each) for each in batch]
        else:
            with ThreadPoolExecutor(READERS) as readers:
                rows = list(readers.map(self._row, batch))
        write_parquet(self.stage.work_path(f"{number:05d}.parquet"), iter([_rows(rows)]), SURVEYED)
        return {"inputs": len(batch), "unreadable": sum(bool(row["unreadable"]) for row in rows)}

    def _row(self, each: Listed) -> dict:
        known = self._known.get(_key(each.source, each.path, each.stamp))
        return known or {"source": each.source, "stamp": each.stamp, **asdict(self._look_at(each))}

    def _look_at(self, each: Listed) -> Input:
        seen = self._sources[each.source].survey(each.path)
        if each.stamp and "FileNotFoundError" in seen.unreadable:
            raise InputError(
                f"The worker on {socket.gethostname()} does not find the input {each.path!r}, which the submitter listed. Sources must lie "
                "on storage that all workers see under the same name; or the file was removed meanwhile: run the same command again."
            )
        return seen


@dataclass
class CommitSurvey(Once):
    """Puts the batches together."""

    stage: Stage
    batches: int

    def __call__(self, number: int) -> Receipt:
        """Commits the stage."""
        receipts = self.stage.all_receipts("files", self.batches)
        names = [f"{batch:05d}.parquet" for batch in range(self.batches)]
        table = pa.concat_tables([read_columns(self.stage.work_path(name), SURVEYED.names) for name in names])
        table = table.cast(SURVEYED).sort_by([("source", "ascending"), ("path", "ascending")]).combine_chunks()
        written = write_parquet(self.stage.path("inputs.parquet"), iter(table.to_batches()), SURVEYED)
        wanted, unreadable = len(_listed(self.stage)), sum(receipt["unreadable"] for receipt in receipts)
        if table.num_rows != wanted:
            raise SpanmillError(f"survey: {table.num_rows} of {wanted} inputs were surveyed. This is a bug; nothing was committed.")
        totals = {"inputs": wanted, "bytes": sum(table["size"].to_pylist()), "unreadable": unreadable}
        self.stage.commit([FileEntry("inputs.parquet", table.num_rows, *written)], totals, {})
        return totals


def _by_name(sources: Sequence[SourceSettings]) -> list[SourceSettings]:
    return sorted(sources, key=lambda source: source.name)


def _list(settings: SourceSettings) -> Iterator[Listed]:
    paths = sorted(open_source(settings).list_inputs())
    with ThreadPoolExecutor(READERS if paths and not is_local(paths[0]) else 1) as readers:
        for path, found in zip(paths, readers.map(_size_and_stamp, paths), strict=True):
            yield Listed(settings.name, path, *found)


def _size_and_stamp(path: str) -> tuple[int, str]:
    """Neither where it cannot be had: the survey will say what is wrong with the file."""
    try:
        fs, name = located(path)
        if not is_store(fs):  # of what a link points at, which fsspec would not look at
            found = os.stat(name)
            return found.st_size, f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"
        info = ask(fs, path, lambda: fs.info(name), LISTING)
    except OSError:
        return 0, ""
    return int(info["size"] or 0), digest_of(sorted((key, str(value)) for key, value in info.items()))


def _listed(stage: Stage) -> list[Listed]:
    return [Listed(**each) for each in json.loads(read_bytes(stage.work_path("listed.json")))]


def _batches(listed: Sequence[Listed]) -> list[list[Listed]]:
    batches: list[list[Listed]] = []
    size = 0
    for each in listed:
        if not batches or size + each.size > BATCH_BYTES or len(batches[-1]) >= BATCH_FILES:
            batches.append([])
            size = 0
        batches[-1].append(each)
        size += each.size
    return batches


def _some_unreadable(stage: Stage) -> bool:
    """Whether an earlier survey could not read something: it may have been mended, which no listing tells."""
    try:
        return bool(read_manifest(stage.folder).totals.get("unreadable"))
    except SpanmillError:
        return False


def _known(stage: Stage) -> dict[str, dict]:
    """Rows of an earlier survey with the same sources that are still good, by what they were listed as."""
    try:
        earlier = read_manifest(stage.folder)
        rows = read_columns(join(stage.folder, "inputs.parquet"), SURVEYED.names).to_pylist()
    except (SpanmillError, OSError, KeyError, pa.ArrowException):  # none, or not to be used: everything is surveyed
        return {}
    now = {source["name"]: source for source in stage.config["source"]}
    same = {source["name"] for source in earlier.config.get("source", []) if now.get(source["name"]) == source}
    good = [row for row in rows if row["source"] in same and row["stamp"] and not row["unreadable"]]
    return {_key(row["source"], row["path"], row["stamp"]): row for row in good}


def _key(source: str, path: str, stamp: str) -> str:
    return json.dumps([source, path, stamp])


def _keys(listed: Sequence[Listed]) -> list[str]:
    return [_key(each.source, each.path, each.stamp) for each in listed]


def _rows(rows: list[dict]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SURVEYED)


def _plan(recipe: Recipe, rows: list[dict]) -> Plan:
    names = {field.name for field in fields(Input)}
    surveyed = [(row["source"], input_of({name: value for name, value in row.items() if name in names})) for row in rows]
    parts: list[Part] = []
    for settings in _by_name(recipe.source):
        parts += open_source(settings).split([each for name, each in surveyed if name == settings.name], recipe.part_bytes)
    return Plan(parts, sorted(surveyed, key=lambda pair: (pair[0], pair[1].digest, pair[1].path)))

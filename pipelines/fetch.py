"""Bringing committed stages to this machine: training maps shards from a local disk, wherever they were made."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import xxhash

from contracts.errors import ConfigError, StageError
from contracts.manifest import FileEntry
from pipelines.progress import Reporter
from pipelines.storage import digest_file, exists, is_local, join, read_bytes, read_manifest, remove, sizes_below, write_bytes

READERS = 8
"""Files that are fetched at a time; each is held in memory."""


def fetch(stages: Sequence[str], input_dir: str, run_dir: str, reporter: Reporter) -> None:
    """Makes stages in `run_dir` equal to those of `input_dir`, the manifest last. A copy that was interrupted goes on.

    Raises StageError if `input_dir` has not committed one, or if a file is not what its manifest lists.
    """
    for stage in stages:
        target, source = join(run_dir, stage), join(input_dir, stage)
        made = read_manifest(source)
        if exists(join(target, "manifest.json")):
            if read_manifest(target).digest == made.digest:
                continue
            remove(join(target, "manifest.json"))
        have = sizes_below(target)
        missing = [entry for entry in made.files if have.get(entry.path) != entry.bytes or not _is_same(target, entry)]
        reporter.say(f"fetching {stage} from {source}: {len(missing):,} files, {sum(e.bytes for e in missing) / 1e6:.1f} MB")
        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(lambda entry: _copy(source, target, entry), missing))  # noqa: B023  ends with the block
        write_bytes(join(target, "manifest.json"), made.to_json().encode())


def need_disk(run_dir: str, what: str) -> None:
    """Raises ConfigError unless a run's folder lies on a disk of this machine."""
    if not is_local(run_dir):
        raise ConfigError(
            f"{what} needs a folder on this machine, and {run_dir} is none. Make the stages there with --until=shard, then train here: "
            f"spanmill train --input {run_dir} --output FOLDER"
        )


def _is_same(target: str, entry: FileEntry) -> bool:
    return digest_file(join(target, entry.path)).xxh3_64 == entry.xxh3_64


def _copy(source: str, target: str, entry: FileEntry) -> None:
    content = read_bytes(join(source, entry.path))
    found = f"{xxhash.xxh3_64_intdigest(content):016x}"
    if found != entry.xxh3_64:
        raise StageError(
            f"{join(source, entry.path)} is not the file that its manifest lists (xxh3-64 {found}, should be {entry.xxh3_64}): it was "
            "changed or damaged. Make the stage again there."
        )
    write_bytes(join(target, entry.path), content)

"""Bringing committed stages to this machine: training maps shards from a local disk, wherever they were made."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from contracts.errors import ConfigError, StageError
from contracts.manifest import FileEntry
from pipelines.progress import Reporter
from pipelines.storage import exists, is_local, join, read_bytes, read_manifest, sizes_below, write_bytes

READERS = 8
"""Files that are fetched at a time; each is held in memory."""


def fetch(stages: Sequence[str], input_dir: str, run_dir: str, reporter: Reporter) -> None:
    """Copies stages that `run_dir` lacks from `input_dir`, the manifest last. A copy that was interrupted goes on.

    Raises StageError if `input_dir` has not committed one, or if a file is not what its manifest lists.
    """
    for stage in stages:
        target = join(run_dir, stage)
        if exists(join(target, "manifest.json")):
            continue
        source = join(input_dir, stage)
        made = read_manifest(source)
        have = sizes_below(target)
        missing = [entry for entry in made.files if have.get(entry.path) != entry.bytes]
        reporter.say(f"fetching {stage} from {source}: {len(missing):,} files, {sum(e.bytes for e in missing) / 1e6:.1f} MB")
        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(lambda entry: _copy(source, target, entry), missing))  # noqa: B023  ends with the block
        write_bytes(join(target, "manifest.json"), read_bytes(join(source, "manifest.json")))


def need_disk(run_dir: str, what: str) -> None:
    """Raises ConfigError unless a run's folder lies on a disk of this machine."""
    if not is_local(run_dir):
        raise ConfigError(
            f"{what} needs a folder on this machine, and {run_dir} is none. Make the stages there with --until=shard, then train here: "
            f"spanmill train --input {run_dir} --output FOLDER"
        )


def _copy(source: str, target: str, entry: FileEntry) -> None:
    written = write_bytes(join(target, entry.path), read_bytes(join(source, entry.path)))
    if written.xxh3_64 != entry.xxh3_64:
        raise StageError(
            f"{join(source, entry.path)} is not the file that its manifest lists (xxh3-64 {written.xxh3_64}, should be {entry.xxh3_64}): "
            f"it was changed or damaged. Make the stage again there, and remove {target}."
        )

"""Bringing committed stages to this machine: training maps shards from a local disk, wherever they were made."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from contracts.errors import ConfigError, StageError
from contracts.manifest import FileEntry
from pipelines.corpus import read_checked
from pipelines.forget import ids_of, write_mask
from pipelines.forgotten import Listed
from pipelines.progress import Reporter
from pipelines.storage import digest_file, exists, is_local, join, read_manifest, sizes_below, write_bytes
from sharding.forgotten import Mask

READERS = 8
"""Files that are fetched at a time; each is held in memory."""


def fetch(stages: Sequence[str], input_dir: str, run_dir: str, reporter: Reporter) -> None:
    """Copies stages of `input_dir` to `run_dir`, the manifest last. A copy that was interrupted goes on.

    Raises StageError if `input_dir` has not committed one, if a file is not what its manifest lists, or if `run_dir` has another such
    stage already.
    """
    for stage in stages:
        target, source = join(run_dir, stage), join(input_dir, stage)
        made = read_manifest(source)
        if exists(join(target, "manifest.json")):
            if read_manifest(target).digest == made.digest:
                _fetch_mask(source, run_dir, target, made.digest)
                continue
            raise StageError(
                f"{target} holds another {stage} stage than {source}: leave --input out to train on it, or choose another --output (or "
                f"remove {target}) to train on what was made there."
            )
        have = sizes_below(target)
        missing = [entry for entry in made.files if have.get(entry.path) != entry.bytes or not _is_same(target, entry)]
        reporter.say(f"fetching {stage} from {source}: {len(missing):,} files, {sum(e.bytes for e in missing) / 1e6:.1f} MB")
        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(lambda entry: _copy(source, target, entry), missing))  # noqa: B023  ends with the block
        _fetch_mask(source, run_dir, target, made.digest)  # first: shards must never be read without it
        write_bytes(join(target, "manifest.json"), made.to_json().encode())


def _fetch_mask(source: str, run_dir: str, target: str, digest: str) -> None:
    """Hides here what is hidden there, beside what is hidden here already, and puts it on the list first, as `forget` does."""
    if mask := Mask.open(source, digest):
        Mask.open(target, digest)  # a damaged one is told before anything is written
        Listed.of(run_dir).with_(ids_of(mask), ()).write(run_dir)
        write_mask(target, digest, mask.places())


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
    write_bytes(join(target, entry.path), read_checked(source, entry))

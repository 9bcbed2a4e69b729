"""A run's committed shards in the formats of other trainers: `spanmill export RUN --to FORMAT --output DIR`.

    RUN/shard ─▶ rows of one source after another (rows.py) ─▶ a format's files ─▶ the format's index ─▶ export.json

A format is one module with one `Format` for each unit it can be written in, and one line in FORMATS. Formats are written here by hand,
so that none of the trainers' libraries is needed to make them; the tests read every one of them back with its own library. What a format
has no place for is said in its `lost`, which the command prints. Bytes depend on the shards, and on what was forgotten of them, alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contracts.errors import ConfigError, OutputError, ShardError, unknown_name
from contracts.manifest import FileEntry
from pipelines.cells import sized, some
from pipelines.export import hf, mds, megatron, nanoset
from pipelines.export.folder import claim, commit
from pipelines.export.job import Format, Job, folder_names
from pipelines.input_run import STAGES, check_input
from pipelines.storage import absolute, join, locked, read_bytes_or_none, write_bytes
from sharding.shards import open_shards

FORMATS: Mapping[str, Mapping[str, Format]] = {
    "hf": {"row": hf.ROWS},
    "mds": {"row": mds.ROWS},
    "megatron": {"row": megatron.ROWS, "segment": megatron.SEGMENTS},
    "nanoset": {"row": nanoset.ROWS},
}
"""By name, then by unit: what the format calls a sequence, a window or a sample."""

MAX_VOCABULARY = 2**31
"""Ids beyond do not fit the int32 that Megatron's files and the labels for Hugging Face hold."""


class Exported(NamedTuple):
    """What an export made."""

    output: str
    to: str
    unit: str
    files: list[FileEntry]
    rows: int
    tokens: int
    """Of the rows, padding included."""
    tokenizer_note: str
    """Why there is no tokenizer.json beside the data; empty if there is."""
    how_to_read: str
    lost: tuple[str, ...]

    def lines(self) -> list[str]:
        """What the command prints."""
        size = sized(sum(entry.bytes for entry in self.files))
        made = f"{some(self.rows, 'row')}, {self.tokens:,} tokens in {some(len(self.files), 'file')}, {size}: {self.output}"
        return [
            made,
            f"To read it: {self.how_to_read}",
            f"Not in {self.to} (unit {self.unit}):",
            *(f"  - {each}" for each in self.lost),
            *([f"note: {self.tokenizer_note}"] if self.tokenizer_note else []),
        ]


def export(run_dir: str, output: str, to: str, unit: str = "row", input_dir: str = "") -> Exported:
    """Writes the shards of a run in another format, and the format's index last.

    `run_dir` and `output` are folders or fsspec URLs; tokenizer.json may also be that of the run `input_dir`. Memory: one batch of rows, or
    an MDS shard (64 MiB) twice; from a store also the shard that is being read. Time: 0.02 to 0.1 s a million tokens, and that of writing
    the files. Raises ConfigError for an unknown format or unit, StageError or ShardError for shards that cannot be read or are not what
    their manifest lists, OutputError for a folder that holds anything but an interrupted export.
    """
    chosen = _format(to, unit)
    check_input(input_dir)
    shards = open_shards(join(absolute(run_dir), "shard"))
    if shards.metadata.vocab_size > MAX_VOCABULARY:
        raise ShardError(
            f"The vocabulary has {shards.metadata.vocab_size:,} ids; {MAX_VOCABULARY:,} can be exported. Use a smaller one."
        )
    for base in filter(None, (run_dir, input_dir)):
        _check_apart(absolute(base), absolute(output))
    job = Job(shards, absolute(output), folder_names(list(shards.strata)))
    with locked(job.output):
        claim(job.output)
        note = _copy_tokenizer(job, [absolute(base) for base in (run_dir, input_dir) if base])
        files = chosen.write(job)
        commit(job.output, _description(job, to, unit, chosen, files))
    rows = sum(shards.rows(source) for source in job.sources)
    tokens = rows * job.row_length
    return Exported(job.output, to, unit, files, rows, tokens, note, chosen.how_to_read, chosen.lost)


def _check_apart(run_dir: str, output: str) -> None:
    """Raises OutputError for an export into a stage, where `verify` would find it and a new stage would remove it."""
    for stage in STAGES:
        folder = join(run_dir, stage)
        if output == folder or output.startswith(f"{folder}/"):
            raise OutputError(
                f"--output {output} lies in the {stage} stage of {run_dir}. Choose another folder, such as {run_dir}/export."
            )


def _format(to: str, unit: str) -> Format:
    if to not in FORMATS:
        raise ConfigError(f"--to: {unknown_name('format', to, FORMATS)}")
    if unit not in FORMATS[to]:
        raise ConfigError(f"--unit: {unknown_name(f'unit of {to}', unit, FORMATS[to])}")
    return FORMATS[to][unit]


def _copy_tokenizer(job: Job, runs: Sequence[str]) -> str:
    """tokenizer.json beside the data, if one of the runs has the one that the shards were made with; otherwise why it is not there."""
    others = []
    for run_dir in runs:
        path = join(run_dir, "tokenizer", "tokenizer.json")
        text = read_bytes_or_none(path)
        if text is not None and hashlib.sha256(text).hexdigest() == job.shards.metadata.tokenizer_sha256:
            write_bytes(join(job.output, "tokenizer.json"), text)
            return ""
        others += [path] if text is not None else []
    found = f"{' and '.join(others)} is not the one that the shards were made with" if others else f"none is in {' or '.join(runs)}"
    return (
        f"no tokenizer.json was copied: {found}. Take it from the run that made it (sha256 {job.shards.metadata.tokenizer_sha256}); an "
        "export with --input RUN takes it from there by itself."
    )


def _description(job: Job, to: str, unit: str, chosen: Format, files: list[FileEntry]) -> dict[str, Any]:
    """What export.json says: enough to trace the files to their shards and to use them without the run."""
    metadata = job.shards.metadata
    return {
        "format": to,
        "unit": unit,
        "shards": job.shards.manifest.digest,
        "forgotten": job.shards.mask.digest if job.shards.mask else "",
        "context_length": metadata.context_length,
        "vocab_size": metadata.vocab_size,
        "tokenizer_sha256": metadata.tokenizer_sha256,
        "special_ids": metadata.special_ids,
        "sources": {source: {"folder": job.folders[source], "rows": job.shards.rows(source)} for source in job.sources},
        "files": [vars(entry) for entry in files],
        "how_to_read": chosen.how_to_read,
        "lost": list(chosen.lost),
    }

"""The run that `--input` names: where commands that look at a run find the stages that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.errors import StageError
from pipelines import lookup
from pipelines.storage import exists, join, read_manifest

STAGES = ("survey", "curate", "signatures", "dedup", "tokenizer", "shard", "train")
"""All stages, in their order."""

EARLIER = STAGES[:-2]
"""Those that a run may take from another. Shards and what was trained on them are always looked for in the run itself."""


def check_input(input_dir: str) -> None:
    """Raises StageError if another run is named that has none of the stages it is named for."""
    if input_dir and not any(exists(join(input_dir, stage, "manifest.json")) for stage in EARLIER):
        raise StageError(f"--input {input_dir} holds no finished stage. Name the run that has the earlier stages.")


def folders_of(run_dir: str, input_dir: str, stages: Iterable[str]) -> dict[str, str]:
    """The folder of each stage that is finished: this run's, or else the input run's if it may be taken from there."""
    found = {stage: lookup.folder_of(stage, run_dir, input_dir if stage in EARLIER else "") for stage in stages}
    return {stage: folder for stage, folder in found.items() if folder}


def disagreements(folders: Mapping[str, str]) -> list[str]:
    """Stages that were made from another than the one found beside them or in the input run, a line each."""
    digests = {stage: read_manifest(folder).digest for stage, folder in folders.items()}
    found = []
    for stage, folder in folders.items():
        for name, digest in read_manifest(folder).upstream.items():
            if digests.get(name, digest) != digest:
                found.append(
                    f"{stage}: it was made from another {name!r} stage (digest {digest}) than {folders[name]} ({digests[name]})"
                )
    return found

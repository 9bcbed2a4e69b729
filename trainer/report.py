"""What a finished run leaves behind: loss.png and manifest.json, the manifest last; and finding that it is finished."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import xxhash

from contracts.manifest import FileEntry, Manifest
from sharding.loader import Loader
from sharding.shards import ShardSet
from trainer.checkpoint import check_settings
from trainer.config import TrainSettings
from trainer.plot import plot_losses
from trainer.provenance import Stretch
from trainer.tally import by_objective


@dataclass(frozen=True)
class Summary:
    """The result of a run. Losses are nats per token unless their name says otherwise."""

    steps: int
    tokens: int
    """Context tokens that went through the model, padding included."""
    parameters: int
    unigram_entropy: float | None
    """Of the targets in the held-out rows, in nats: the least loss there of a model that looks at no context. None if no row was held
    out."""
    train_losses: dict[str, float]
    """Of the last step."""
    eval_losses: dict[str, float]
    """Of the held-out rows after the last step."""
    epochs: dict[str, float]
    """Passes over the training rows, by source."""
    masks: list[Stretch] = field(default_factory=list)
    """What was forgotten while it was trained."""

    def words(self) -> str:
        """The result in one line."""
        held_out = ", ".join(f"{title} {value:.3f}" for title, value in by_objective(self.eval_losses).items()) or "not measured"
        entropy = "" if self.unigram_entropy is None else f" (unigram entropy {self.unigram_entropy:.3f})"
        return f"{self.parameters:,} parameters, {self.steps:,} steps, {self.tokens:,} tokens; held-out loss {held_out}{entropy}"


def finished(folder: Path, settings: TrainSettings, shards: ShardSet) -> Summary | None:
    """The result of a training that has nothing left to do; None if it has, or was trained on other shards, or lost a file.

    Raises StageError if its settings were others. What was forgotten since does not matter: it changes no model.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return None
    made = Manifest.from_json(path.read_text(encoding="utf-8"), str(path))
    if made.upstream.get("shard") != shards.manifest.digest:
        return None
    check_settings(folder, made.totals["steps"], made.config, settings)
    sizes = {folder / "loss.png": None, **{folder / entry.path: entry.bytes for entry in made.files}}
    if any(not file.exists() or size not in (None, file.stat().st_size) for file, size in sizes.items()):
        return None
    return Summary(**made.statistics)


def commit(folder: Path, summary: Summary, settings: TrainSettings, loader: Loader, log: list[dict[str, Any]]) -> None:
    """Write the plot, then the manifest."""
    plot_losses(folder / "loss.png", log, summary.unigram_entropy)
    names = ["log.jsonl", *sorted(f"checkpoints/{path.name}" for path in (folder / "checkpoints").glob("step-*.pt"))]
    manifest = Manifest(
        stage="train",
        config=settings.model_dump(mode="json"),
        seed=settings.seed,
        upstream=_upstream(loader, summary.masks),
        versions={"torch": torch.__version__.split("+")[0]},
        totals={"steps": summary.steps, "tokens": summary.tokens, "parameters": summary.parameters},
        statistics=asdict(summary),
        files=[_entry(folder, name) for name in names],
    )
    temporary = folder / "manifest.json.tmp"
    temporary.write_text(manifest.to_json(), encoding="utf-8")
    os.replace(temporary, folder / "manifest.json")


def _upstream(loader: Loader, masks: list[Stretch]) -> dict[str, str]:
    """Digest of the shards, and of what was forgotten of them when the last step was taken."""
    forgotten = masks[-1]["forgotten"]
    return {"shard": loader.shard_set.manifest.digest, **({"forgotten": forgotten} if forgotten else {})}


def _entry(folder: Path, name: str) -> FileEntry:
    content = (folder / name).read_bytes()
    return FileEntry(name, rows=0, bytes=len(content), xxh3_64=xxhash.xxh3_64_hexdigest(content))

"""What a finished run leaves behind: loss.png and manifest.json, the manifest last."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash

from contracts.manifest import FileEntry, Manifest
from sharding.loader import Loader
from trainer.config import TrainSettings
from trainer.plot import plot_losses


@dataclass(frozen=True)
class Summary:
    """The result of a run. Losses are nats per token unless their name says otherwise."""

    steps: int
    tokens: int
    """Context tokens that went through the model, padding included."""
    parameters: int
    unigram_entropy: float
    """Of the targets, in nats: the best a model without context can do."""
    train_losses: dict[str, float]
    """Of the last step."""
    eval_losses: dict[str, float]
    """Of the held-out rows after the last step."""
    epochs: dict[str, float]
    """Passes over the training rows, by source."""

    def words(self) -> str:
        """The result in one line."""
        held_out = ", ".join(f"{name} {self.eval_losses[name]:.3f}" for name in ("causal", "infill") if name in self.eval_losses)
        return (
            f"{self.parameters:,} parameters, {self.steps:,} steps, {self.tokens:,} tokens; "
            f"held-out loss {held_out or 'not measured'} (unigram entropy {self.unigram_entropy:.3f})"
        )


def commit(folder: Path, summary: Summary, settings: TrainSettings, loader: Loader, log: list[dict[str, Any]]) -> None:
    """Write the plot, then the manifest."""
    plot_losses(folder / "loss.png", log, summary.unigram_entropy)
    names = ["log.jsonl", *sorted(f"checkpoints/{path.name}" for path in (folder / "checkpoints").glob("step-*.pt"))]
    manifest = Manifest(
        stage="train",
        config=settings.model_dump(mode="json"),
        seed=settings.seed,
        upstream=_upstream(loader),
        versions={"torch": torch.__version__.split("+")[0]},
        totals={"steps": summary.steps, "tokens": summary.tokens, "parameters": summary.parameters},
        statistics=asdict(summary),
        files=[_entry(folder, name) for name in names],
    )
    temporary = folder / "manifest.json.tmp"
    temporary.write_text(manifest.to_json(), encoding="utf-8")
    os.replace(temporary, folder / "manifest.json")


def _upstream(loader: Loader) -> dict[str, str]:
    """Digest of the shards, and of what was forgotten of them."""
    mask = loader.shard_set.mask
    return {"shard": loader.shard_set.manifest.digest, **({"forgotten": mask.digest} if mask else {})}


def _entry(folder: Path, name: str) -> FileEntry:
    content = (folder / name).read_bytes()
    return FileEntry(name, rows=0, bytes=len(content), xxh3_64=xxhash.xxh3_64_hexdigest(content))

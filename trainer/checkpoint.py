"""Checkpoints: train/checkpoints/step-NNNNNN.pt, each complete or absent.

A checkpoint is written beside its name, synced and renamed, so a crash leaves the one before. It holds tensors and plain values
only and is read with `weights_only`, so opening one runs no code.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from contracts.errors import StageError
from trainer.config import TrainSettings

FREE_SETTINGS = ("checkpoint_every", "keep_checkpoints", "threads", "device", "compile")
"""Settings that may change between stop and resume: they do not say what is computed, only where and how often it is saved."""

SCHEDULE = (
    "The learning rate comes down to its minimum at the last step: each step so far was one of {}, and would have been another one in a "
    "longer or shorter training."
)
"""Why a training cannot be extended."""


@dataclass
class Checkpoint:
    """Everything needed to go on, or to sample."""

    step: int
    """Steps done."""
    consumed_samples: int
    fingerprint: dict[str, str]
    """Of the loader: which sequence of rows `consumed_samples` counts in."""
    settings: dict[str, Any]
    vocab_size: int
    context_length: int
    tokenizer_sha256: str
    special_ids: dict[str, int]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    objectives: list[str] = field(default_factory=list)
    """Those of which the shards that it was trained on hold examples; empty where their manifest does not say."""
    shards: dict[str, Any] = field(default_factory=dict)
    """What the shards were made of; see `provenance.made_of`."""
    masks: list[Any] = field(default_factory=list)
    """What was forgotten while it was trained; a `provenance.Stretch` each."""


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write one checkpoint atomically, then remove all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:06d}.pt"
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save({each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    for old in _newest_first(folder)[keep:]:
        old.unlink()
    return path


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read, on the CPU; None where there is none. Damaged ones are passed over."""
    for path in _newest_first(folder):
        try:
            return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile):
            continue
    return None


def require_newest(folder: Path) -> Checkpoint:
    """`load_newest`, or a StageError that says what to do."""
    checkpoint = load_newest(folder)
    if checkpoint is None:
        raise StageError(f"{folder} holds no readable checkpoint (step-NNNNNN.pt). Train first.")
    return checkpoint


def check_settings(folder: Path, step: int, then: dict[str, Any], settings: TrainSettings) -> None:
    """Raises StageError, naming each setting that matters and was another when `folder` was trained up to `step`."""
    now = settings.model_dump(mode="json")
    differing = [name for name, value in now.items() if name not in FREE_SETTINGS and then.get(name) != value]
    if differing:
        changes = ", ".join(f"train.{name} was {then.get(name)!r}, now {now[name]!r}" for name in differing)
        why = f" {SCHEDULE.format(then.get('steps'))}" if "steps" in differing else ""
        raise StageError(
            f"{folder} cannot go on at step {step:,}: {changes}.{why} Set {'it' if len(differing) == 1 else 'them'} back; or train anew: "
            f"remove {folder}, or choose another --output (with --input {folder.parent}, for its shards)."
        )


def _newest_first(folder: Path) -> list[Path]:
    named = [(int(match[1]), path) for path in folder.glob("step-*.pt") if (match := re.fullmatch(r"step-(\d+)\.pt", path.name))]
    return [path for _, path in sorted(named, reverse=True)]

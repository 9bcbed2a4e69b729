"""Train on a run's shards: read this file from top to bottom.

    RUN/shard/  ──▶  RUN/train/  checkpoints/step-NNNNNN.pt   log.jsonl   loss.png   manifest.json (last)

A run that was stopped goes on from its newest readable checkpoint by itself; on one machine's CPU the losses are then those of an
unbroken run, bit for bit. One that is finished is left as it is, byte for byte.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contracts.errors import StageError
from sharding.batch import Batch
from sharding.loader import Loader, LoaderState
from sharding.order import hold_out
from sharding.prefetch import prefetch
from sharding.shards import ShardSet, open_shards
from trainer import checkpoint as checkpoints
from trainer.config import TrainSettings
from trainer.devices import choose_device, choose_dtype, repeatable
from trainer.interrupt import deferred_interrupt
from trainer.loss import ChunkedCrossEntropy
from trainer.model import Llama, document_mask
from trainer.optimizer import Optimizers, make_optimizer
from trainer.provenance import Stretch, check_shards, extended, forgotten_since, made_of, stretch, trained_objectives
from trainer.report import Summary, commit, finished
from trainer.tally import Tally, token_bytes, unigram_entropy


@dataclass(frozen=True)
class Progress:
    """What a caller may show after a step."""

    step: int
    steps: int
    losses: dict[str, float]
    eval_losses: dict[str, float]
    """Empty at steps without evaluation."""
    tokens_per_second: float


def train(
    run_dir: Path,
    settings: TrainSettings,
    progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Train, or go on training, on `run_dir`/shard; everything made is under `run_dir`/train. `say` is told how that was found.

    Raises StageError without committed shards, and for settings that differ from those that it was begun with; ShardError for other
    shards than those; ConfigError for settings that do not fit the shards. Ctrl-C ends the step, saves a checkpoint and raises
    KeyboardInterrupt.
    """
    shards, folder = open_shards(str(run_dir / "shard")), run_dir / "train"
    if made := finished(folder, settings, shards):
        say("train is up to date")
        tell(say, forgotten_since(made.masks, made.steps, shards.mask, folder))
        return made
    device = choose_device(settings.device)
    with repeatable(settings, device):
        run = Run.start(run_dir, shards, settings, device)
        run.resume()
        say(f"train goes on at step {run.step:,}" if run.step else "train")
        tell(say, forgotten_since(run.masks, run.step, shards.mask, folder))
        run.go_on(progress)
        return run.finish()


def tell(say: Callable[[str], None], words: str) -> None:
    """Says something, if there is something to say."""
    if words:
        say(words)


@dataclass
class Run:
    """A training run in progress."""

    folder: Path
    settings: TrainSettings
    device: torch.device
    dtype: torch.dtype
    loader: Loader
    model: Llama
    optimizer: Optimizers
    hidden: Callable[..., Tensor]
    """`model.hidden`, compiled if so set."""
    token_bytes: Any
    step: int = 0
    """Steps done."""
    log: list[dict[str, Any]] = field(default_factory=list)
    masks: list[Stretch] = field(default_factory=list)
    """What was forgotten while its steps were taken."""

    @staticmethod
    def start(run_dir: Path, shards: ShardSet, settings: TrainSettings, device: torch.device) -> Run:
        """A run at step 0, nothing written yet."""
        held_out = hold_out(shards.rows_for_evaluation(), settings.eval_rows)
        loader = Loader(shards, settings.weights, settings.seed, settings.batch_size, held_out=held_out)
        vocab_size = shards.metadata.vocab_size
        model = Llama(settings, vocab_size).to(device)
        return Run(
            folder=run_dir / "train",
            settings=settings,
            device=device,
            dtype=choose_dtype(settings.dtype, device),
            loader=loader,
            model=model,
            optimizer=make_optimizer(model, settings),
            hidden=torch.compile(model.hidden) if settings.compile else model.hidden,
            token_bytes=token_bytes(run_dir / "tokenizer" / "tokenizer.json", vocab_size),
        )

    def resume(self) -> None:
        """Go to the newest readable checkpoint, if there is one."""
        saved = checkpoints.load_newest(self.folder / "checkpoints")
        if saved is None:
            return
        checkpoints.check_settings(self.folder, saved.step, saved.settings, self.settings)
        check_shards(saved, self.loader, self.folder)
        self.loader.resume(LoaderState(saved.consumed_samples, saved.fingerprint))
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.step = saved.step
        self.log = read_log(self.folder / "log.jsonl", saved.step)
        self.masks = saved.masks or [stretch(1, None)]

    def go_on(self, progress: Callable[[Progress], None]) -> None:
        """All steps that are left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "manifest.json").unlink(missing_ok=True)
        write_log(self.folder / "log.jsonl", self.log)
        if self.step < self.settings.steps:
            self.masks = extended(self.masks, self.step + 1, self.loader.shard_set.mask)
        sequence = self.loader.iterate(self.step * self.settings.batch_size)
        ahead = prefetch(itertools.islice(sequence, self.settings.steps - self.step))
        with closing(ahead) as batches, deferred_interrupt() as interrupt:
            for batch in batches:
                report = self.take_logged_step(batch)
                with interrupt.also_raised():
                    progress(report)
                if interrupt.asked or self.due(self.settings.checkpoint_every):
                    self.save()
                interrupt.check()

    def take_logged_step(self, batch: Batch) -> Progress:
        """One step, its evaluation if one is due, and its line of the log."""
        began = time.perf_counter()
        entry = self.take_step(batch)
        speed = batch.loss_mask.size / (time.perf_counter() - began)
        if self.due(self.settings.eval_every):
            entry |= {"eval": self.evaluate(), "unigram_entropy": self.unigram_entropy()}
        self.log.append(entry)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(to_line(entry))
        return Progress(self.step, self.settings.steps, entry["train"], entry.get("eval", {}), speed)

    def take_step(self, batch: Batch) -> dict[str, Any]:
        """One optimizer step; its log entry."""
        rate = learning_rate(self.step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        tally = Tally(self.loader.sources, self.token_bytes)
        targets = max(1, int(batch.loss_mask.sum()))
        for first in range(0, self.settings.batch_size, self.settings.micro_batch_size):
            loss = self.losses(batch.rows(first, first + self.settings.micro_batch_size), tally, 1 / targets)
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return {"step": self.step, "learning_rate": rate, "gradient_norm": float(norm), "train": tally.losses()}

    def losses(self, batch: Batch, tally: Tally, scale: float) -> Tensor:
        """Scale · sum of the targets' losses, which are added to the tally."""
        inputs = to_device(batch.input_ids[:, :-1], self.device)
        with autocast(self.device, self.dtype):
            if self.settings.attention == "document":
                prefix = to_device(batch.prefix[:, :-1], self.device).bool() if batch.prefix.any() else None
                mask = document_mask(to_device(batch.segment[:, :-1], self.device), prefix)
                hidden = self.hidden(inputs, to_device(batch.positions[:, :-1], self.device), mask)
            else:
                hidden = self.hidden(inputs, torch.arange(inputs.shape[1], device=self.device).expand_as(inputs))
        where = to_device(np.flatnonzero(batch.loss_mask), self.device)
        target = to_device(batch.input_ids[:, 1:][batch.loss_mask], self.device)
        weight = self.model.lm_head.weight
        loss, nll = ChunkedCrossEntropy.apply(hidden.flatten(0, 1).index_select(0, where), weight, target, scale, self.dtype)
        tally.add(nll.cpu().numpy(), batch)
        scaled: Tensor = loss
        return scaled

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Losses on the held-out rows."""
        tally = Tally(self.loader.sources, self.token_bytes)
        for batch in self._held_out():
            self.losses(batch, tally, 1.0)
        return tally.losses()

    def unigram_entropy(self) -> float | None:
        """Of the targets whose losses `evaluate` gives."""
        return unigram_entropy(self._held_out(), self.loader.shard_set.metadata.vocab_size)

    def _held_out(self) -> Iterator[Batch]:
        for source in self.loader.sources:
            rows = self.loader.held_out_batch(source)
            for first in range(0, len(rows.input_ids), self.settings.micro_batch_size):
                yield rows.rows(first, min(first + self.settings.micro_batch_size, len(rows.input_ids)))

    def due(self, every: int) -> bool:
        """Whether something done every so many steps, and after the last, is due now."""
        return self.step % every == 0 or self.step == self.settings.steps

    def save(self) -> None:
        """Write a checkpoint of the step just done."""
        shards, state = self.loader.shard_set.metadata, self.loader.state(self.step * self.settings.batch_size)
        saved = checkpoints.Checkpoint(
            step=self.step,
            consumed_samples=state.consumed_samples,
            fingerprint=state.fingerprint,
            settings=self.settings.model_dump(mode="json"),
            vocab_size=shards.vocab_size,
            context_length=shards.context_length,
            tokenizer_sha256=shards.tokenizer_sha256,
            special_ids=shards.special_ids,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            objectives=trained_objectives(self.loader),
            shards=made_of(self.loader.shard_set.manifest),
            masks=self.masks,
        )
        checkpoints.save(self.folder / "checkpoints", saved, self.settings.keep_checkpoints)

    def finish(self) -> Summary:
        """Plot, then commit the manifest: of what was saved at each step, not of what is forgotten by now."""
        last = self.log[-1]
        summary = Summary(
            steps=self.step,
            tokens=self.step * self.settings.batch_size * self.loader.shard_set.metadata.context_length,
            parameters=self.model.size,
            unigram_entropy=last.get("unigram_entropy"),
            train_losses=last["train"],
            eval_losses=last["eval"],
            epochs={plan.source: plan.epochs for plan in self.loader.plan(self.step)},
            masks=self.masks,
        )
        commit(self.folder, summary, self.settings, self.loader, self.log)
        return summary


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then a cosine down to the minimum at the last step. `step` counts from 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - 1 - settings.warmup_steps)
    span = settings.learning_rate - settings.min_learning_rate
    return settings.min_learning_rate + span * (1 + math.cos(math.pi * min(1.0, done))) / 2


def to_device(values: Any, device: torch.device) -> Tensor:
    """int64 tensor of any integer array."""
    return torch.from_numpy(values.astype(np.int64)).to(device, non_blocking=True)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Matrix products in `dtype`, the rest as it is."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def to_line(entry: dict[str, Any]) -> str:
    """One line of log.jsonl. Holds nothing that differs between two equal runs: no clock, no speed."""
    return json.dumps(entry, sort_keys=True) + "\n"


def write_log(path: Path, log: list[dict[str, Any]]) -> None:
    """Replace the log, so that a resumed run's reads like an unbroken one's."""
    path.write_text("".join(map(to_line, log)), encoding="utf-8")


def read_log(path: Path, steps: int) -> list[dict[str, Any]]:
    """Entries of the first `steps` steps. Raises StageError if some are missing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    log = [json.loads(line) for line in lines[:steps]]
    if [entry["step"] for entry in log] != list(range(1, steps + 1)):
        raise StageError(f"{path} does not hold the first {steps} steps. Restore it, or remove {path.parent} to train anew.")
    return log

"""What the user sees while a model trains: a bar on a terminal, a line a twentieth of the way elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from trainer.tally import TITLES
from trainer.train import Progress

LINES = 10
"""Lines for a whole training where there is no terminal."""


class TrainProgress:
    """A callback for `trainer.train.train`; a context manager, so that the terminal is left as it was."""

    def __init__(self, steps: int, say: Callable[[str], None]) -> None:
        self._say = say
        self._every = max(1, steps // LINES)
        columns = (
            TextColumn("  train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._task = self._bar.add_task("train", total=steps, losses="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Shows one step."""
        losses = "  ".join(f"{TITLES.get(name, name)} {value:.3f}" for name, value in progress.losses.items() if "/" not in name)
        words = f"{losses}  {progress.tokens_per_second:,.0f} tokens/s"
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=progress.step, losses=words)
        elif progress.step % self._every == 0 or progress.step == progress.steps:
            self._say(f"  train: step {progress.step:,} of {progress.steps:,}  {words}")

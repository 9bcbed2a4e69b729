"""What the user sees while a step runs: a bar on a terminal, plain lines elsewhere.

Receipts are counted on disk, so it shows the same for every engine. It goes to stderr; what a command answers goes to stdout.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.errors import SpanmillError

TOLD_SECONDS = 2.0
"""Steps that took less get no line of their own."""

LINE_SECONDS = 10.0
"""Pause between lines where there is no terminal."""


@dataclass(frozen=True)
class StepView:
    """What is shown of one step of a stage."""

    name: str
    sizes: Callable[[], Sequence[int]]
    """Bytes of its items; asked for when the steps before are done."""
    done: Callable[[], Sequence[int]]
    """Numbers of the items that are done."""


@dataclass(frozen=True)
class Reporter:
    """Shows progress; `quiet` shows none, but warns all the same."""

    quiet: bool = False

    def say(self, text: str) -> None:
        """One line."""
        if not self.quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        """One line on what is done as asked, but hardly meant."""
        self._write(f"Warning: {text}")

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    @contextmanager
    def watch(self, stage: str, steps: Sequence[StepView], interval: float) -> Iterator[None]:
        """Shows the steps of a stage while they run, looking every `interval` seconds."""
        if self.quiet:
            yield
            return
        # The stage's own stderr is redirected while Beam runs: write to a duplicate of it.
        with os.fdopen(os.dup(2), "w") as file:
            follower = _Follower(stage, steps, file)
            stop = threading.Event()

            def look() -> None:
                while not stop.wait(interval):
                    follower.look()

            thread = threading.Thread(target=look, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                follower.look()
                follower.close()


class _Follower:
    """Goes along a stage's steps as they get done."""

    def __init__(self, stage: str, steps: Sequence[StepView], file: TextIO) -> None:
        self._stage, self._file = stage, file
        self._steps = list(steps)
        self._show = _Bar(file) if file.isatty() else _Lines(file)
        self._sizes: Sequence[int] | None = None
        self._before: set[int] = set()
        self._begin = time.monotonic()

    def look(self) -> None:
        """Shows where the current step stands, and goes on to the next ones."""
        while self._steps:
            try:
                done = self._look_at(self._steps[0])
            except (SpanmillError, OSError, ValueError, KeyError, IndexError):  # not to be seen yet, or no longer
                return
            if not done:
                return
            del self._steps[0]
            self._sizes = None

    def close(self) -> None:
        """Leaves the screen."""
        self._show.close()

    def _look_at(self, step: StepView) -> bool:
        numbers = set(step.done())
        if self._sizes is None:
            self._sizes, self._before, self._begin = step.sizes(), numbers, time.monotonic()
        seconds = time.monotonic() - self._begin
        finished = sum(self._sizes[number] for number in numbers - self._before)
        label = f"{self._stage}: {step.name}"
        if len(numbers) < len(self._sizes):
            self._show.update(label, len(numbers), len(self._sizes), len(numbers - self._before), finished, seconds)
            return False
        if seconds >= TOLD_SECONDS:
            rate = f", {finished / 1e6 / seconds:.1f} MB/s" if finished >= 1_000_000 else ""
            new = len(numbers) - len(self._before)
            self._show.print(f"  {label}: {new:,} of {len(numbers):,} items in {seconds:.1f} s{rate}")
        return True


class _Bar:
    """A bar on a terminal."""

    def __init__(self, file: TextIO) -> None:
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        self._progress = Progress(*columns, TimeRemainingColumn(), console=Console(file=file), transient=True)
        self._task = self._progress.add_task("", total=None, rate="")
        self._progress.start()

    def update(self, label: str, items: int, total: int, new: int, finished: int, seconds: float) -> None:
        rate = f"{finished / 1e6 / max(seconds, 0.1):.1f} MB/s" if finished >= 1_000_000 else ""
        self._progress.update(self._task, description=label, completed=items, total=total, rate=rate)

    def print(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    """A line now and then, where there is no terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._label, self._next = "", LINE_SECONDS

    def update(self, label: str, items: int, total: int, new: int, finished: int, seconds: float) -> None:
        if label != self._label:
            self._label, self._next = label, LINE_SECONDS
        if seconds < self._next:
            return
        self._next = seconds + LINE_SECONDS
        left = f", about {seconds * (total - items) / new:.0f} s left" if new else ""
        self.print(f"  {label}: {items:,} of {total:,} items, {finished / 1e6 / seconds:.1f} MB/s{left}")

    def print(self, line: str) -> None:
        print(line, file=self._file, flush=True)

    def close(self) -> None:
        """Nothing to leave."""

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

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

TOLD_SECONDS = 2.0
"""Steps that took less get no line of their own."""

LINE_SECONDS = 10.0
"""Pause between lines where there is no terminal."""


@dataclass(frozen=True)
class Reporter:
    """Shows progress; `quiet` shows none."""

    quiet: bool = False

    def say(self, text: str) -> None:
        """One line."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @contextmanager
    def watch(self, label: str, done: Callable[[], Sequence[int]], sizes: Sequence[int], missing: int) -> Iterator[None]:
        """Shows a step while it runs. `done` gives the numbers of finished items; `sizes` their bytes."""
        begin = time.monotonic()
        before = sum(sizes[number] for number in done())
        if not self.quiet:
            show = _Bar(label) if sys.stderr.isatty() else _Lines(label)
            stop = threading.Event()

            def watch() -> None:
                while not stop.wait(0.5):
                    numbers = done()
                    finished = sum(sizes[number] for number in numbers)
                    show.update(len(numbers), len(sizes), finished - before, time.monotonic() - begin)

            thread = threading.Thread(target=watch, daemon=True)
            thread.start()
        try:
            yield
        finally:
            if not self.quiet:
                stop.set()
                thread.join()
                show.close()
        seconds = time.monotonic() - begin
        finished = sum(sizes) - before
        if seconds >= TOLD_SECONDS:
            rate = f", {finished / 1e6 / seconds:.1f} MB/s" if finished >= 1_000_000 else ""
            self.say(f"  {label}: {missing:,} of {len(sizes):,} items in {seconds:.1f} s{rate}")


class _Bar:
    def __init__(self, label: str) -> None:
        # The step's own stderr is redirected while Beam runs: write to a duplicate of the terminal.
        self._file = os.fdopen(os.dup(2), "w")
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        self._progress = Progress(*columns, TimeRemainingColumn(), console=Console(file=self._file), transient=True)
        self._task = self._progress.add_task(label, total=None, rate="")
        self._progress.start()

    def update(self, items: int, total: int, finished: int, seconds: float) -> None:
        self._progress.update(self._task, completed=items, total=total, rate=f"{finished / 1e6 / seconds:.1f} MB/s")

    def close(self) -> None:
        self._progress.stop()
        self._file.close()


class _Lines:
    def __init__(self, label: str) -> None:
        self._file = os.fdopen(os.dup(2), "w")
        self._label = label
        self._next = LINE_SECONDS

    def update(self, items: int, total: int, finished: int, seconds: float) -> None:
        if seconds < self._next:
            return
        self._next = seconds + LINE_SECONDS
        left = f", about {seconds * (total - items) / items:.0f} s left" if finished else ""
        print(
            f"  {self._label}: {items:,} of {total:,} items, {finished / 1e6 / seconds:.1f} MB/s{left}", file=self._file, flush=True
        )

    def close(self) -> None:
        self._file.close()

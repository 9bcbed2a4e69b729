"""Ctrl-C that waits for the end of a step, so that what is saved is never half a step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: the first press is remembered, the second raises at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    @contextlib.contextmanager
    def also_raised(self) -> Iterator[None]:
        """Takes a KeyboardInterrupt raised in its body for a press."""
        try:
            yield
        except KeyboardInterrupt:
            self.asked = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed."""
        if self.asked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Catches SIGINT for as long as it is open; in a thread other than the main one, where Python has no signals, it never asks."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)

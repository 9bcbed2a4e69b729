"""Memory of all processes of a command together, looked at while it runs. Linux only; zero elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS = 0.5
"""Between two looks. What comes and goes in between is not seen."""

PROC = Path("/proc")


class Peaks:
    """The most that was seen, in bytes."""

    together: int = 0
    """Of all processes below this one, pages that several share counted once (Pss of proc(5)), files that they map included."""
    anonymous: int = 0
    """The same without pages of files, which the system takes back when it needs memory."""

    def look(self) -> None:
        """Adds up what there is now."""
        every = [_rollup(pid) for pid in _descendants(os.getpid())]
        self.together = max(self.together, sum(each.get("Pss", 0) for each in every))
        self.anonymous = max(self.anonymous, sum(each.get("Pss_Anon", 0) + each.get("Pss_Shmem", 0) for each in every))


@contextmanager
def watched() -> Iterator[Peaks]:
    """Looks at all processes that this one starts meanwhile."""
    peaks, stop = Peaks(), threading.Event()

    def look() -> None:
        while not stop.wait(SECONDS):
            peaks.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in PROC.glob(f"{pid}/task/*/children"):
        with suppress(OSError):
            children = [int(word) for word in path.read_text().split()]
            found += [*children, *(each for child in children for each in _descendants(child))]
    return found


def _rollup(pid: int) -> dict[str, int]:
    with suppress(OSError):
        lines = (line.split() for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:])
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    return {}

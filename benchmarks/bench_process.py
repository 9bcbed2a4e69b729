"""What a command costs: CPU seconds, wall seconds and memory of a fresh process and all its children."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Keeps pyarrow's, numpy's, gigatoken's and `tokenizers`' thread pools to one thread, on every side."""

TAIL = 2_000
"""Characters of a failed command's output that are shown."""


class Usage(NamedTuple):
    """What a command cost."""

    cpu: float
    """Seconds in user and system mode, all children included."""
    wall: float
    """Seconds from start to end."""
    peak: int
    """Bytes of resident memory of the largest process among it and its children (not their sum)."""


def run(command: Sequence[str | Path], threads: dict[str, str]) -> Usage:
    """Runs a command until it and all that it started have ended. Exits with the end of its output if it fails.

    Off Linux, descendants that their own parent did not wait for are not counted.
    """
    _adopt_orphans()
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=output, env={**os.environ, **threads})
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        every = [used, *_orphans()]
        if process.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace")[-TAIL:]
            sys.exit(f"{' '.join(map(str, command))}\nended with exit code {process.returncode}:\n{words}")
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
    return Usage(sum(each.ru_utime + each.ru_stime for each in every), wall, max(each.ru_maxrss for each in every) * unit)


def _adopt_orphans() -> None:
    """Makes this process the parent of descendants whose parents end first: a fork server's workers would go uncounted."""
    if sys.platform == "linux":
        import ctypes

        pr_set_child_subreaper = 36  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def _orphans() -> Iterator[resource.struct_rusage]:
    """Waits for every child that is left."""
    while True:
        try:
            yield os.wait4(-1, 0)[2]
        except ChildProcessError:
            return


def median_usage(once: Callable[[], Usage], repeat: int) -> Usage:
    """Medians of `repeat` runs, each figure by itself; the peak is the greatest."""
    every = [once() for _ in range(repeat)]
    return Usage(
        statistics.median(each.cpu for each in every),
        statistics.median(each.wall for each in every),
        max(each.peak for each in every),
    )

"""Runs of the command line, as a user starts them, and what they leave."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import Process, start


@dataclass(frozen=True)
class Line:
    """A recipe, and the environment whose `spanmill` runs it."""

    environment: Path
    recipe: Path
    folder: Path
    """Where commands run: nothing is there to import."""

    def command(self, output: Path, *options: str, until: str = "shard") -> list[str]:
        """The command that makes all stages up to `until`."""
        script = str(self.environment / "bin" / "spanmill")
        return [script, "run", "--config", str(self.recipe), "--output", str(output), "--until", until, *options]

    def begin(self, output: Path, *options: str, until: str = "shard") -> Process:
        """Starts it."""
        return start(f"submit-{output.name}", self.command(output, *options, until=until), self.folder)

    def run(self, output: Path, *options: str, until: str = "shard", seconds: float = 600) -> Ended:
        """Runs it to its end."""
        return finish(self.begin(output, *options, until=until), seconds)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    said: str
    seconds: float


def finish(process: Process, seconds: float) -> Ended:
    """Waits for the end of a command. Fails the test when it takes longer, and leaves nothing running either way."""
    begun = time.monotonic()
    try:
        code = process.popen.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{process.name} has not ended after {seconds:g} s:\n{process.tail()}") from None
    finally:
        process.stop()
    return Ended(code, process.log.read_text(errors="replace"), time.monotonic() - begun)


def digests(run_dir: Path) -> dict[str, str]:
    """sha256 of every file of a run, manifests and report included."""
    files = sorted(path for path in run_dir.rglob("*") if path.is_file())
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check(ended: Ended, run_dir: Path, wanted: dict[str, str], stage: str = "") -> None:
    """Fails the test unless a command ended well and its run, or one stage of it, has the wanted bytes."""
    assert ended.code == 0, ended.said
    found = digests(run_dir)
    assert {path: found[path] for path in found if path.startswith(stage)} == {
        path: wanted[path] for path in wanted if path.startswith(stage)
    }


def receipts(stage_dir: Path) -> int:
    """Items of an unfinished stage that are done. os.walk, since folders vanish while it looks."""
    names = [name for _, _, found in os.walk(stage_dir / ".progress") for name in found]
    return sum(name[:8].isdigit() and name.endswith(".json") for name in names)


def in_the_middle_of(stage: str, run_dir: Path, process: Process, do: Callable[[], None], seconds: float = 300) -> None:
    """Calls `do` when some items of a stage are done, and the stage is not."""
    stage_dir = run_dir / stage
    process.wait_until(lambda: receipts(stage_dir) >= 2, f"in the middle of {stage}", seconds)
    do()
    assert not (stage_dir / "manifest.json").exists(), f"{stage} had ended before anything could be done to it: give it more items"


def kill_all(process: Process) -> None:
    """`kill -9` of a command's whole process group."""
    os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait(timeout=10)


def options(*groups: Sequence[str]) -> list[str]:
    """Options of several owners as one list."""
    return [option for group in groups for option in group]

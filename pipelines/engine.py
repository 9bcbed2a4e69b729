"""Running a step: which Beam engine, what the user sees meanwhile, and what an error becomes.

A step is a numbered list of items. Its Beam elements are the numbers alone, so a job graph stays small whatever the corpus; what a
number means stands in a plan that workers read. Each item leaves a receipt when its files are written.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

import contracts.errors
from contracts.errors import SpanmillError
from pipelines.progress import Reporter
from pipelines.stage import Receipt, Stage
from pipelines.storage import join, write_bytes

SPAWN_SECONDS = 5.0
"""Work below which starting worker processes costs more than it saves (1.5 to 2 s of start-up each, 140 MB of memory)."""


class Work(Protocol):
    """What a step does with one item. Pickled into workers; opens what it needs in `setup`."""

    def setup(self) -> None:
        """Called once in each worker."""
        ...

    def __call__(self, number: int) -> Receipt:
        """Does item `number`, writes its files, and returns what the receipt says. May run twice, at once."""
        ...


@dataclass
class DoItems(beam.PTransform):
    """Item numbers to item numbers whose receipts are written."""

    work: Work
    folder: str

    def expand(self, number: PCollection[int]) -> PCollection[int]:
        """One fusion break, then the work."""
        done: PCollection[int] = number | "Spread" >> beam.Reshuffle() | "Work" >> beam.ParDo(_DoItem(self.work, self.folder))
        return done


class _DoItem(beam.DoFn):
    def __init__(self, work: Work, folder: str) -> None:
        self.work = work
        self.folder = folder

    def setup(self) -> None:
        stop_with_parent()
        with carried():
            self.work.setup()

    def process(self, number: int) -> Iterator[int]:
        with carried():
            receipt = self.work(number)
            write_receipt(self.folder, number, receipt)
        yield number


def write_receipt(folder: str, number: int, receipt: Receipt) -> None:
    """Says that an item is done; its files must be."""
    write_bytes(join(folder, f"{number:08d}.json"), json.dumps(receipt, sort_keys=True).encode())


@dataclass(frozen=True)
class Engine:
    """Where steps run and how they are shown."""

    beam_args: Sequence[str] = ()
    """Beam's own options, as on a command line. Without --runner: FnApiRunner, named so that Beam does not look for Prism."""
    reporter: Reporter = field(default_factory=Reporter)
    verbose: bool = False
    """Whether Beam's own messages are shown."""

    def run_step(self, stage: Stage, step: str, work: Work, sizes: Sequence[int], rate: float) -> list[Receipt]:
        """Does every item of a step that has no receipt yet; all receipts, in item order.

        `sizes`: bytes of each item, for progress; `rate`: bytes a core does in a second, to choose between one process and many.
        """
        have = stage.receipts(step)
        missing = [number for number in range(len(sizes)) if number not in have]
        if missing:
            folder = stage.path(".progress", step)
            label = f"{stage.name}: {step}"
            with self.reporter.watch(label, lambda: stage.done(step), sizes, len(missing)):
                self.run(
                    lambda pipeline: (
                        pipeline | "Items" >> beam.Create(missing, reshuffle=False) | step.title() >> DoItems(work, folder)
                    ),
                    label,
                    seconds=sum(sizes[number] for number in missing) / rate,
                    items=len(missing),
                )
            have = stage.receipts(step)
        lacking = [number for number in range(len(sizes)) if number not in have]
        if lacking:
            raise SpanmillError(
                f"{stage.name}: {step}: the job ended, but {len(lacking)} of {len(sizes)} items left no receipt in "
                f"{stage.path('.progress', step)}, the first is {lacking[0]}. Workers must see the same storage as this machine: "
                "use a shared folder or an object store as --output. The same command goes on from here."
            )
        return [have[number] for number in range(len(sizes))]

    def run(self, build: Callable[[beam.Pipeline], Any], label: str, seconds: float, items: int) -> None:
        """Builds a pipeline and runs it to its end. `seconds`: one core's time for its `items`, roughly."""
        pipeline = beam.Pipeline(options=PipelineOptions(self._arguments(seconds, items)))
        build(pipeline)
        with _quiet(self.verbose) as log, _translated(label, log):
            pipeline.run().wait_until_finish()

    def _arguments(self, seconds: float, items: int) -> list[str]:
        given = list(self.beam_args)
        if not any(argument.startswith("--runner") for argument in given):
            given.append("--runner=FnApiRunner")
        if not any("FnApiRunner" in argument or "DirectRunner" in argument for argument in given):
            return given
        modes = [argument for argument in given if argument.startswith("--direct_running_mode")]
        spread = bool(modes) or (seconds > SPAWN_SECONDS and (os.cpu_count() or 1) > 1)
        if items == 1 or not spread:  # nothing to share out: no process is worth starting
            return [argument for argument in given if not argument.startswith("--direct_")] + ["--direct_running_mode=in_memory"]
        given += [] if modes else ["--direct_running_mode=multi_processing"]
        many = "--direct_running_mode=in_memory" not in given
        if many and not any(argument.startswith("--direct_num_workers") for argument in given):
            given.append("--direct_num_workers=0")  # all cores
        return given


def stop_with_parent() -> None:
    """On Linux, ends a worker process as soon as the process that started it is gone, so that `kill -9` leaves none behind."""
    if "sdk_worker_main" not in " ".join(sys.argv[:1]) or not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        import ctypes
        import signal

        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


# Beam hands errors of workers on as text. Ours are wrapped so that they can be found in it again.
_CARRIED = re.compile(r"⟦(\w+)\|(.*?)⟧", re.DOTALL)


@contextmanager
def carried() -> Iterator[None]:
    """Wraps a SpanmillError of a worker so that it survives Beam's handling."""
    try:
        yield
    except SpanmillError as error:
        raise RuntimeError(f"⟦{type(error).__name__}|{error}⟧") from error


@contextmanager
def _translated(label: str, log: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except Exception as error:
        text = str(error)
        found = _CARRIED.search(text)
        if found:
            raise getattr(contracts.errors, found[1])(found[2]) from None
        if "KeyboardInterrupt" in text:  # Beam's in-memory mode wraps it
            raise KeyboardInterrupt from None
        where = f" Beam's messages are in {log}." if log else ""
        last = text.strip().splitlines()[-1] if text.strip() else type(error).__name__
        raise SpanmillError(f"{label} failed: {last}.{where} What is done is kept; the same command goes on from there.") from error


@contextmanager
def _quiet(verbose: bool) -> Iterator[str]:
    """Sends what Beam and its worker processes print to stderr into a file, kept only if the run fails."""
    if verbose:
        yield ""
        return
    with tempfile.NamedTemporaryFile(prefix="spanmill-", suffix=".log", delete=False) as log:
        sys.stderr.flush()
        screen = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield log.name
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
    os.unlink(log.name)

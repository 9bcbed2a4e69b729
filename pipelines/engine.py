"""Running a step: which Beam engine, what the user sees meanwhile, and what an error becomes.

A step is a numbered list of items. Its Beam elements are the numbers alone, so a job graph stays small whatever the corpus; what a
number means stands in a plan that workers read. Each item leaves a receipt when its files are written.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import PCollection

import contracts.errors
from contracts.errors import ConfigError, SpanmillError
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
    submitter: int = 0
    """See `stop_with`."""

    def expand(self, number: PCollection[int]) -> PCollection[int]:
        """One fusion break, then the work."""
        done: PCollection[int] = (
            number | "Spread" >> beam.Reshuffle() | "Work" >> beam.ParDo(_DoItem(self.work, self.folder, self.submitter))
        )
        return done


class _DoItem(beam.DoFn):
    def __init__(self, work: Work, folder: str, submitter: int) -> None:
        self.work = work
        self.folder = folder
        self.submitter = submitter

    def setup(self) -> None:
        stop_with(self.submitter)
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
            folder = join(stage.progress, step)
            label = f"{stage.name}: {step}"
            with self.reporter.watch(label, lambda: stage.done(step), sizes, len(missing)):
                self.run(
                    lambda pipeline: (
                        pipeline
                        | "Items" >> beam.Create(missing, reshuffle=False)
                        | step.title() >> DoItems(work, folder, self.submitter)
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
                f"{join(stage.progress, step)}, the first is {lacking[0]}. Workers must see the same storage as this machine: "
                "use a shared folder or an object store as --output. The same command goes on from here."
            )
        return [have[number] for number in range(len(sizes))]

    def run(self, build: Callable[[beam.Pipeline], Any], label: str, seconds: float, items: int) -> None:
        """Builds a pipeline and runs it to its end. `seconds`: one core's time for its `items`, roughly."""
        try:
            pipeline = beam.Pipeline(options=PipelineOptions(self._arguments(seconds, items)))
        except (ValueError, ImportError) as error:
            raise ConfigError(f"Beam cannot be set up with {' '.join(self.beam_args)}: {error}") from None
        build(pipeline)
        with _quiet(self.verbose) as log, _translated(label, log):
            pipeline.run().wait_until_finish()

    @property
    def local(self) -> bool:
        """Whether workers are processes of this machine."""
        runners = [argument for argument in self.beam_args if argument.startswith("--runner")]
        return all("FnApiRunner" in runner or "DirectRunner" in runner for runner in runners)

    @property
    def submitter(self) -> int:
        """The number of this process, where its end can be seen by workers; else 0."""
        return os.getpid() if self.local else 0

    def _arguments(self, seconds: float, items: int) -> list[str]:
        given = list(self.beam_args)
        if not any(argument.startswith("--runner") for argument in given):
            given.append("--runner=FnApiRunner")
        if not self.local:
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


_watching = threading.Event()


def stop_with(submitter: int) -> None:
    """Ends this worker process within a second after the process that submitted the job is gone, so that `kill -9` leaves none behind.

    Beam starts workers through a shell, which survives its parent: no signal of the system would reach them. 0 watches nothing.
    """
    if not submitter or submitter == os.getpid() or _watching.is_set():
        return
    _watching.set()

    def watch() -> None:
        while True:
            time.sleep(0.5)
            try:
                os.kill(submitter, 0)
            except ProcessLookupError:
                os._exit(1)
            except PermissionError:  # it lives, as somebody else's: its number was given away
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# Beam hands errors of workers on as text, escaped once or twice. Ours are wrapped so that they can be found in it again.
_CARRIED = re.compile(r"⟦(\w+)\|([A-Za-z0-9+/=]*)⟧")


@contextmanager
def carried() -> Iterator[None]:
    """Wraps a SpanmillError of a worker so that it survives Beam's handling."""
    try:
        yield
    except SpanmillError as error:
        words = base64.b64encode(str(error).encode(errors="replace")).decode()
        raise RuntimeError(f"⟦{type(error).__name__}|{words}⟧") from error


@contextmanager
def _translated(label: str, log: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _forget(log)
        raise
    except Exception as error:
        text = str(error)
        found = _CARRIED.search(text)
        if found:
            _forget(log)
            raise getattr(contracts.errors, found[1])(base64.b64decode(found[2]).decode()) from None
        if "KeyboardInterrupt" in text:  # Beam's in-memory mode wraps it
            _forget(log)
            raise KeyboardInterrupt from None
        where = f" Beam's messages are in {log}." if log else ""
        last = text.strip().splitlines()[-1] if text.strip() else type(error).__name__
        raise SpanmillError(f"{label} failed: {last}.{where} What is done is kept; the same command goes on from there.") from error


def _forget(log: str) -> None:
    if log:
        os.unlink(log)


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

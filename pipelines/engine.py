"""Running a stage: which Beam engine, what the user sees meanwhile, and what an error becomes.

One stage is one Beam job, whatever the engine: jobs are dear to start (half a minute on Spark, minutes on Dataflow).
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from contracts.errors import ConfigError, EngineError, NotAwaited, SpanmillError
from contracts.manifest import Manifest
from pipelines import beam_options
from pipelines.failures import translated
from pipelines.graph import Step, build
from pipelines.progress import Reporter, StepView
from pipelines.stage import Stage
from pipelines.storage import is_local
from pipelines.submission import run_remotely
from pipelines.worker import Session

WORKER_SECONDS = 120.0
"""Within which workers must show a sign of life. On a small Spark cluster that takes 15 to 40 s."""

DATAFLOW_WORKER_SECONDS = 1200.0
"""Dataflow first starts machines and pulls containers, which takes minutes."""

PYTHON_BYTES = 1_000_000_000
"""What a worker holds before it has any data, generously: 0.3 to 0.6 GB were seen."""

SUBMISSIONS = 3
"""Jobs that a stage may take on another engine: one whose workers or servers were lost is followed by another, which goes on from there."""

POLL_SECONDS, STORE_POLL_SECONDS = 0.5, 5.0
"""Pause between looks at the receipts on a local disk, and on a store that charges for each look."""


@dataclass(frozen=True)
class Engine:
    """Where stages run and how that is shown."""

    beam_args: Sequence[str] = ()
    """Beam's own options, as on a command line. Without --runner: FnApiRunner, named so that Beam does not look for Prism."""
    reporter: Reporter = field(default_factory=Reporter)
    verbose: bool = False
    """Whether Beam's own messages are shown."""
    storage: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of file systems, for this process and all workers; see pipelines.storage.options."""
    worker_timeout: float | None = None
    """Seconds within which workers of another engine must show a sign of life; None: what the engine usually needs."""
    wait: bool = True
    """False: jobs on another engine are submitted, and not waited for."""

    @property
    def local(self) -> bool:
        """Whether workers are processes or threads of this machine, started for the job."""
        return beam_options.is_local(self.beam_args)

    @property
    def dry(self) -> bool:
        """Whether jobs are only built."""
        return beam_options.is_dry_run(self.beam_args)

    def finished(self, stage: Stage, *, again: bool = False) -> Manifest | None:
        """The stage if it is up to date; else None, and its folder is ready for work. Says how it was found.

        Nothing that is there is given up before the engine is known to be usable, or for a dry run. `again`: even what is up to date is
        begun anew.
        """
        work_to_do, words = stage.look()
        if again and not work_to_do:
            work_to_do, words = True, "is made again: some of it could not be read"
        self.reporter.say(f"{stage.name} {words}" if words else stage.name)
        if not work_to_do:
            return stage.close()
        if not self.local and not self.dry:
            beam_options.preflight(self.beam_args, stage.run_dir)
        self._pipeline(beam_options.arguments(self.beam_args, 0, 0))
        if not self.dry:
            stage.begin(again=again)
        return None

    def run(self, stage: Stage, steps: Sequence[Step], seconds: float, memory: int = 0) -> Manifest:
        """Does all steps of a stage, of which the last commits it; what it committed.

        `seconds`: one core's time for it, roughly; decides whether worker processes are worth starting. `memory`: bytes that a worker
        needs beside what Python and its packages hold. Raises NotAwaited for a dry run and for jobs that are not waited for.
        """
        arguments = beam_options.arguments(self.beam_args, seconds, PYTHON_BYTES + memory)
        for more in range(SUBMISSIONS - 1, -1, -1):
            before = _done(stage, steps)
            try:
                self._attempt(stage, steps, arguments)
                break
            except SpanmillError as error:
                # Not what a worker of ours meant to say, but a lost worker or server; and only while that gets the stage further.
                if self.local or not more or type(error) not in (SpanmillError, EngineError) or _done(stage, steps) <= before:
                    raise
                self.reporter.say(f"  {str(error).split('. ')[0]}; it goes on with a new job.")
        return stage.close()

    def _attempt(self, stage: Stage, steps: Sequence[Step], arguments: Sequence[str]) -> None:
        """One job."""
        interval = POLL_SECONDS if is_local(stage.folder) else STORE_POLL_SECONDS
        views = [StepView(step.name, step.sizes, lambda step=step: stage.done(step.name)) for step in steps]  # type: ignore[misc]
        with tempfile.TemporaryDirectory(prefix="spanmill-") as claims:
            session = self._session(arguments, claims)
            pipeline = self._pipeline(arguments)
            build(pipeline, stage, steps, session)
            if self.dry:
                raise NotAwaited(self._dry(pipeline, stage))
            with (
                self.reporter.watch(stage.name, views, interval),
                _quiet(self.verbose) as log,
                translated(stage.name, log, remote=not self.local),
            ):
                self._submit(pipeline, stage, session)

    def _session(self, arguments: Sequence[str], claims: str) -> Session:
        if self.local:
            return Session("", os.getpid(), claims, beam_options.workers(arguments), self.storage)
        return Session(token=uuid.uuid4().hex, storage=self.storage)

    def _pipeline(self, arguments: Sequence[str]) -> beam.Pipeline:
        try:
            return beam.Pipeline(options=PipelineOptions(list(arguments)))
        except (ValueError, ImportError) as error:
            raise ConfigError(f"Beam cannot be set up with {' '.join(arguments)}: {error}") from None

    def _submit(self, pipeline: beam.Pipeline, stage: Stage, session: Session) -> None:
        if self.local:
            pipeline.run().wait_until_finish()
            return
        if not self.wait:
            pipeline.run()
            raise NotAwaited(
                f"{stage.name}: the job was submitted and goes on by itself; {stage.path('manifest.json')} is written when it is done. "
                "Then the next stage can be made."
            )
        dataflow = beam_options.is_dataflow(self.beam_args)
        usual = DATAFLOW_WORKER_SECONDS if dataflow else WORKER_SECONDS
        run_remotely(pipeline, stage, session.token, usual if self.worker_timeout is None else self.worker_timeout)

    def _dry(self, pipeline: beam.Pipeline, stage: Stage) -> str:
        with _quiet(self.verbose) as log, translated(stage.name, log, remote=False):
            result: Any = pipeline.run()
        proto = result.job.proto_pipeline
        return (
            f"{stage.name}: a graph of {len(proto.components.transforms)} transforms, {proto.ByteSize():,} bytes, was built and "
            "checked for Dataflow; nothing was submitted (--dry_run)."
        )


def _done(stage: Stage, steps: Sequence[Step]) -> int:
    return sum(len(stage.done(step.name)) for step in steps)


@contextmanager
def _quiet(verbose: bool) -> Iterator[str]:
    """Sends what Beam and its worker processes print to stderr into a file, kept only if a job fails for no reason that we know."""
    if verbose:
        yield ""
        return
    handle, log = tempfile.mkstemp(prefix="spanmill-", suffix=".log")
    keep = False
    sys.stderr.flush()
    screen = os.dup(2)
    os.dup2(handle, 2)
    os.close(handle)
    try:
        yield log
    except BaseException as error:
        keep = log in str(error)
        raise
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
        if not keep:
            os.unlink(log)

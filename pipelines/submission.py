"""A job on another engine: submitted, watched until its workers show signs of life, and cancelled if they never do.

An engine without workers, or whose workers die as they start, does not fail: it waits, for ever. So the first sign of life must come
within a limit. After that the engine itself looks after its workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult, PipelineState

from contracts.errors import EngineError, SpanmillError
from pipelines.stage import Stage
from pipelines.storage import join, names_in
from pipelines.worker import PULSE

CANCEL_SECONDS = 15.0
"""How long a job is given to end after it was cancelled."""


def run_remotely(pipeline: beam.Pipeline, stage: Stage, token: str, limit: float) -> None:
    """Runs a pipeline to its end. `limit`: seconds from submission to the first sign of life of a worker.

    Raises EngineError without such a sign, and what the engine raises. Ctrl-C cancels the job.
    """
    job = _Job(pipeline)
    job.start()
    begin = time.monotonic()
    alive = False
    try:
        while job.is_alive():
            job.join(1.0)
            alive = alive or _has_pulse(stage, token)
            if not alive and job.is_alive() and time.monotonic() - begin > limit:
                raise EngineError(_silence(stage, limit, submitted=job.result is not None))
    except BaseException:
        job.cancel()
        raise
    job.outcome()


def _has_pulse(stage: Stage, token: str) -> bool:
    try:
        return any(name.startswith(token) for name in names_in(join(stage.progress, PULSE)))
    except SpanmillError:  # the store may answer next time; a healthy job must not end for it
        return False


def _silence(stage: Stage, limit: float, submitted: bool) -> str:
    what = "the job was submitted, but no worker began" if submitted else "the engine did not accept the job"
    return (
        f"{stage.name}: {what} within {limit:.0f} s; the engine was asked to cancel the job. See that (1) the engine has free workers, "
        "(2) a worker pool runs on every node at --environment_config, started with `spanmill workers` from a Python that has this "
        f"version of Spanmill, (3) the workers see {stage.run_dir}: it must be a shared folder or an object store. A busy cluster may "
        "just need longer: --worker-timeout=SECONDS. What is done is kept; the same command goes on from there."
    )


class _Job(threading.Thread):
    """Submission and waiting, in a thread that may be left behind: both can block for ever."""

    def __init__(self, pipeline: beam.Pipeline) -> None:
        super().__init__(daemon=True)
        self._pipeline = pipeline
        self._error: BaseException | None = None
        self.result: PipelineResult | None = None

    def run(self) -> None:
        try:
            self.result = self._pipeline.run()
            self.result.wait_until_finish()
        except BaseException as error:
            self._error = error

    def cancel(self) -> None:
        """Asks the engine to end the job, for CANCEL_SECONDS at most."""
        if self.result is None:
            return
        asking = threading.Thread(target=_quietly(self.result.cancel), daemon=True)
        asking.start()
        asking.join(CANCEL_SECONDS)
        self.join(CANCEL_SECONDS)

    def outcome(self) -> None:
        """Raises what the job ended with, unless it is done."""
        if self._error is not None:
            raise self._error
        state = self.result.state if self.result is not None else None
        if state != PipelineState.DONE:
            raise EngineError(
                f"The job ended as {state}, not as DONE: somebody cancelled it, or the engine gave it up. Its own page says which."
            )


def _quietly(call: Callable[[], object]) -> Callable[[], None]:
    def quiet() -> None:
        try:
            call()
        except Exception:  # the job is given up either way
            return

    return quiet

"""Inside a worker: checking in, taking items, and errors that survive the way back to the submitter.

A worker may be a thread of the submitter, a process beside it, or a machine elsewhere. All it knows comes pickled with the job: no
environment variable, current folder or module of the submitter is relied on.
"""

from __future__ import annotations

import base64
import os
import platform
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from contracts.errors import EngineError, SpanmillError
from pipelines.differences import difference
from pipelines.stage import Stage, installed_versions
from pipelines.storage import join, write_bytes
from pipelines.storage import options as storage_options

CARRIED_BYTES = 20_000
"""Of an error's words that are carried: engines lose what is longer than a message of theirs, or hang over it."""

STOP = "stop"
"""Name of the claim that ends all lanes."""

PULSE = "workers"
"""Folder beside a stage's receipts in which remote workers leave a sign of life."""


@dataclass(frozen=True)
class Session:
    """What workers are told of the submission they work for."""

    token: str = ""
    """Names the submission; workers leave signs of life under it. Empty where workers are of this machine and need not prove it."""
    submitter: int = 0
    """Process that workers end with; 0 where its end cannot be seen."""
    claims: str = ""
    """Folder on the local disk in which lanes claim items; empty where the engine itself deals items out."""
    lanes: int = 0
    """How many workers take items from one list; 0 where the engine itself deals items out."""
    storage: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of file systems; see pipelines.storage.options."""
    python: str = field(default_factory=lambda: _python())
    """Version of the Python that submits, without the last number."""

    def check_in(self, stage: Stage) -> None:
        """Readies this process, once for each stage and submission. Raises EngineError for a worker that cannot do the work."""
        if (self.token, stage.progress) in _checked_in:
            return
        storage_options.apply(self.storage)
        stop_with(self.submitter)
        if self.token:
            self._check_python(stage)
            _check_storage(stage)
            write_bytes(join(stage.progress, PULSE, f"{self.token}-{uuid.uuid4().hex}"), b"")
        _checked_in.add((self.token, stage.progress))

    def _check_python(self, stage: Stage) -> None:
        here = f"the worker on {socket.gethostname()}"
        if _python() != self.python:
            raise EngineError(
                f"Python {_python()} runs {here}, but Python {self.python} submitted the job: pickled code does not pass between them. "
                f"Give the workers Python {self.python}, or submit from {_python()}."
            )
        try:
            installed = installed_versions()
        except PackageNotFoundError as error:
            raise EngineError(f"{error.name} is not installed for {here}: install Spanmill's wheel there.") from None
        change = difference(stage.versions, installed)
        if change:
            raise EngineError(
                f"{here[0].upper()}{here[1:]} has other versions than the submitter ({change}), which could change bytes. Install the same "
                "wheel and constraints.txt on both, and restart the worker pool."
            )


_checked_in: set[tuple[str, str]] = set()


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _check_storage(stage: Stage) -> None:
    try:
        stage.check_ours()
    except SpanmillError as error:
        raise EngineError(
            f"The worker on {socket.gethostname()} does not see what the submitter wrote to {stage.folder} ({error}) "
            "All workers and the submitter must share the storage of --output and of the sources: a network folder mounted at the same "
            "place everywhere, or an object store (s3://, gs://)."
        ) from None


def missing_items(stage: Stage, step: str, sizes: Sequence[int]) -> list[int]:
    """Items of a step without a receipt, the largest first, so that no worker is left alone with one at the end."""
    have = stage.receipts(step)
    return sorted((number for number in range(len(sizes)) if number not in have), key=lambda number: (-sizes[number], number))


def do_item(stage: Stage, step: str, number: int, work: Callable[[], dict[str, Any]]) -> None:
    """Does one item unless it is done, and leaves its receipt.

    A bundle that the engine runs again finds the receipt and leaves the files alone; two that run at once write the same bytes.
    """
    with carried():
        stage.check_ours()
        if not stage.receipt(step, number):
            stage.write_receipt(step, number, work())


def claimed(session: Session, step: str, numbers: Sequence[int]) -> Iterator[int]:
    """Those of the numbers that no other lane of this machine has taken, one at a time as they are asked for.

    When a lane fails, the others end after the item that they are at: the engine tells of the failure only when all have ended.
    """
    folder = os.path.join(session.claims, step)
    os.makedirs(folder, exist_ok=True)
    for number in numbers:
        if os.path.exists(os.path.join(session.claims, STOP)):
            return
        try:
            os.close(os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        yield number


@contextmanager
def stopping(session: Session) -> Iterator[None]:
    """Ends all lanes if this one fails."""
    try:
        yield
    except BaseException:
        if session.claims:
            Path(session.claims, STOP).touch()
        raise


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


@contextmanager
def carried() -> Iterator[None]:
    """Wraps a SpanmillError of a worker so that pipelines.failures finds it in whatever text the engine makes of it."""
    try:
        yield
    except SpanmillError as error:
        words = base64.b64encode(str(error).encode(errors="replace")[:CARRIED_BYTES]).decode()
        raise RuntimeError(f"⟦{type(error).__name__}|{words}⟧") from error

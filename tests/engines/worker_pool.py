"""The process on each node that starts Python SDK workers when an executor asks for one: `spanmill workers`, of an installed wheel.

Its address is one setting for the whole job, and every executor asks there: on a cluster each node has a pool on the same port of its
own localhost. Here all nodes are this machine, so one pool serves them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import HOST, Process, answers, free_ports, running

SDK_WORKER = "SdkHarness"
"""In the command line of a worker that a pool started."""


@dataclass
class WorkerPool:
    """A running pool."""

    process: Process
    port: int

    @property
    def options(self) -> list[str]:
        """Options of a job that takes its workers from here."""
        return ["--environment_type=EXTERNAL", f"--environment_config={HOST}:{self.port}"]

    def workers(self) -> list[int]:
        """Process numbers of the SDK workers."""
        return self.process.children(SDK_WORKER)


def ours(environment: Path, port: int) -> list[str]:
    """Spanmill's pool."""
    return [str(environment / "bin" / "spanmill"), "workers", f"--port={port}"]


def beams(environment: Path, port: int) -> list[str]:
    """Beam's own pool, for environments without Spanmill."""
    return [str(environment / "bin" / "python"), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]


@contextmanager
def worker_pool(folder: Path, environment: Path, command: list[str] | None = None, port: int = 0) -> Iterator[WorkerPool]:
    """A pool for as long as the block lasts. The environment is also the first on PATH: Beam's own pool starts plain `python`."""
    port = port or free_ports(1)[0]
    variables = {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with running(f"pool-{port}", command or ours(environment, port), folder, variables) as process:
        process.wait_until(lambda: answers(port), "listening")
        yield WorkerPool(process, port)

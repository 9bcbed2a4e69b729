"""A worker pool: the process on every node of a Spark or Flink cluster that starts Python workers when the engine asks for one.

It is Beam's own pool (EXTERNAL environment), started so that its workers run the Python that runs the pool: Beam starts them as plain
`python` and with the current folder on the path, and a worker of another Python, or one that imports another folder's modules, dies as
it starts while the engine waits for ever.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.version import __version__ as beam_version

from contracts.errors import EngineError
from pipelines.stage import installed_versions


def serve(port: int, say: Callable[[str], None]) -> None:
    """Runs a pool until it is stopped by a signal; its workers then end too. Raises EngineError if the port is taken.

    The pool takes any job that reaches it, as Beam's protocol has it: keep the port inside the cluster's own network.
    """
    _use_this_python()
    try:
        _, server = BeamFnExternalWorkerPoolServicer.start(use_process=True, port=port)
    except RuntimeError as error:
        raise EngineError(
            f"Port {port} cannot be listened on ({error}): another pool may run there; choose another with --port."
        ) from None
    spanmill, python = installed_versions()["spanmill"], platform.python_version()
    say(f"Worker pool on port {port}: Spanmill {spanmill}, Beam {beam_version}, Python {python}. Ctrl-C ends it.")
    _until_stopped(server)


def _use_this_python() -> None:
    bin_folder = Path(sys.executable).parent
    if not (bin_folder / "python").exists():
        raise EngineError(
            f"Workers are started as `python`, and {bin_folder} has none beside {sys.executable}: run the pool from a virtual environment."
        )
    os.environ["PATH"] = f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["PYTHONSAFEPATH"] = "1"  # `python -c` would put the current folder first
    os.environ.pop("PYTHONPATH", None)


def _until_stopped(server: grpc.Server) -> None:
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    stopped.wait()
    server.stop(grace=1).wait()

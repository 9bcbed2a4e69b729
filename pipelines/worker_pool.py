"""A worker pool: the process on every node of a Spark or Flink cluster that starts Python workers when an executor asks for one.

It speaks Beam's protocol for EXTERNAL environments. Beam has a pool of its own (worker_pool_main), from which this one differs:

* Beam's knows workers by the names that executors give them, and every executor counts 1-1, 2-1, …: when one executor has its 2-1
  stopped, the 2-1 that another was just given is killed, and that executor waits for it for ever. Here no worker is stopped from outside;
  it ends when its executor closes the stream of work.
* Beam's starts plain `python`, whichever that is, with the current folder on its path. Here it is the Python that runs the pool, and
  workers import what is installed.
* Beam's gives workers a pipe for stdout that nobody reads: after 64 kB of prints a worker stands still. Here they share the pool's.
* Beam's listens on all interfaces. This one listens on localhost unless told otherwise: it runs any job that reaches it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance
from apache_beam.version import __version__ as beam_version

from contracts.errors import EngineError
from pipelines.stage import installed_versions

_WORKER = (
    "import sys; from apache_beam.runners.worker.sdk_worker import SdkHarness; "
    "SdkHarness(sys.argv[1], worker_id=sys.argv[2], state_cache_size=0, data_buffer_time_limit_ms=-1).run()"
)


def serve(host: str, port: int, say: Callable[[str], None]) -> None:
    """Runs a pool until it is stopped by a signal; its workers then end too. Raises EngineError if the port is taken."""
    pool = Pool()
    server = grpc.server(shared_unbounded_instance(), options=[("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise EngineError(
            f"{host}:{port} cannot be listened on: another pool may run there, or {host} is no address of this machine. Choose another "
            "with --port or --host."
        ) from None
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    server.start()
    spanmill, python = installed_versions()["spanmill"], platform.python_version()
    say(f"Worker pool on {host}:{port}: Spanmill {spanmill}, Beam {beam_version}, Python {python}. Ctrl-C ends it.")
    stopped.wait()
    pool.stop()
    server.stop(grace=None).wait()


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a process for each worker that is asked for."""

    def __init__(self) -> None:
        self._workers: set[subprocess.Popen[bytes]] = set()
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONSAFEPATH": "1"}

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's name
        """One more worker; it connects to the executor that asked."""
        command = [sys.executable, "-c", _WORKER, request.control_endpoint.url, request.worker_id]
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=self._environment)
        self._workers.add(worker)
        threading.Thread(target=self._reap, args=(worker,), daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing: see above."""
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """Ends every worker."""
        for worker in list(self._workers):
            worker.kill()

    def _reap(self, worker: subprocess.Popen[bytes]) -> None:
        worker.wait()
        self._workers.discard(worker)

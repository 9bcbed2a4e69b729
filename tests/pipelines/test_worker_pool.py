"""The pool of Python workers, through Beam's own client side of the protocol: a job on the embedded job service asks it for workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_corpus import recipe_values
from run_the_line import QUIET, digests

from pipelines.curate import curate
from pipelines.engine import Engine
from pipelines.recipe import Recipe

SCRIPT = [sys.executable, "-m", "beam_runner", "workers"]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pipelines.py").write_text("raise ImportError('a worker imported the current folder')")
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", "import sys; sys.path.pop(0); from beam_runner import main; main(sys.argv[1:])"]
    process = subprocess.Popen(
        [*command, "workers", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    assert "Ctrl-C ends it" in process.stdout.readline()
    yield port, process
    process.kill()
    process.wait()


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_job_takes_its_workers_from_a_pool(
    made: Path, corpus: Path, tmp_path: Path, pool: tuple[int, subprocess.Popen[str]]
) -> None:
    port, process = pool
    options = (
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        "--environment_type=EXTERNAL",
        f"--environment_config=127.0.0.1:{port}",
    )
    curate(Recipe(**recipe_values(corpus)), str(tmp_path / "run"), Engine(options, QUIET))
    assert digests(tmp_path / "run" / "curate") == digests(made / "curate")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_its_workers_end_with_it(pool: tuple[int, subprocess.Popen[str]]) -> None:
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

    port, process = pool
    nowhere = endpoints_pb2.ApiServiceDescriptor(url="127.0.0.1:9")
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", control_endpoint=nowhere, logging_endpoint=nowhere)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        for _ in range(2):  # the same name twice, as two executors of a node ask
            assert not stub.StartWorker(request).error
        assert len(children(process.pid)) == 2
        stub.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"))
        assert len(children(process.pid)) == 2, "a worker of the same name may be another executor's"
    started = children(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    time.sleep(0.2)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_a_port_that_is_taken_is_refused_with_words(pool: tuple[int, subprocess.Popen[str]]) -> None:
    port, _ = pool
    second = subprocess.run([*SCRIPT, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in second.stderr

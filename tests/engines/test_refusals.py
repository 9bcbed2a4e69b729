"""Submissions that cannot work end soon, and say what to do. None of them may hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from environments import build_wheel, layered_venv
from flink_cluster import Flink
from line_runs import Ended, Line, finish
from processes import HOST, free_ports, start
from spark_cluster import SparkCluster
from worker_pool import WorkerPool, beams, ours, worker_pool

pytestmark = pytest.mark.timeout(400)

LIMIT = 150
"""Seconds within which each ends."""


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == 1, ended.said
    for word in words:
        assert word in ended.said
    assert "Traceback" not in ended.said


def test_no_job_server(line: Line, pool: WorkerPool, tmp_path: Path) -> None:
    [port] = free_ports(1)
    ended = line.run(tmp_path / "run", "--runner=SparkRunner", f"--job_endpoint={HOST}:{port}", *pool.options, seconds=60)
    refused(ended, f"No job server answers at --job_endpoint={HOST}:{port}")


def test_no_pool(line: Line, flink_in_server: Flink, tmp_path: Path) -> None:
    [port] = free_ports(1)
    options = flink_in_server.options("--environment_type=EXTERNAL", f"--environment_config={HOST}:{port}")
    refused(line.run(tmp_path / "run", *options, seconds=60), "No worker pool answers", f"spanmill workers --port={port}")


@pytest.mark.parametrize("engine", ["spark", "flink_in_server"])
def test_a_pool_whose_python_lacks_spanmill(line: Line, engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cluster: SparkCluster | Flink = request.getfixturevalue(engine)
    bare = layered_venv(tmp_path / "bare", None)
    [port] = free_ports(1)
    with worker_pool(tmp_path / "pool", bare, beams(bare, port), port) as pool:
        ended = line.run(tmp_path / "run", *cluster.options(*pool.options), seconds=LIMIT)
    refused(ended, "The workers' Python lacks Spanmill", "install the same wheel there")


@pytest.mark.parametrize("engine", ["spark", "flink_in_server"])
def test_a_pool_with_another_version(line: Line, engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cluster: SparkCluster | Flink = request.getfixturevalue(engine)
    other = layered_venv(tmp_path / "other", build_wheel(tmp_path, "0.0.1"))
    [port] = free_ports(1)
    with worker_pool(tmp_path / "pool", other, ours(other, port), port) as pool:
        ended = line.run(tmp_path / "run", *cluster.options(*pool.options), seconds=LIMIT)
    refused(ended, "other versions than the submitter", "0.0.1", "Install the same wheel")


def test_a_pool_whose_workers_die_as_they_start(line: Line, flink_in_server: Flink, tmp_path: Path) -> None:
    """The engine waits for such workers for ever; the submission does not."""
    [port] = free_ports(1)
    dying = layered_venv(tmp_path / "dying", None)
    command = [*beams(dying, port), "--container_executable=/bin/false"]
    with worker_pool(tmp_path / "pool", dying, command, port) as pool:
        options = ("--worker-timeout=20", *flink_in_server.options(*pool.options))
        ended = line.run(tmp_path / "run", *options, seconds=LIMIT)
    refused(ended, "no worker began within 20 s; the engine was asked to cancel the job", "spanmill workers", "--worker-timeout")


@pytest.mark.parametrize("engine", ["spark", "flink_in_server"])
def test_storage_that_workers_do_not_share(line: Line, engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each process has its own memory:// store, as each machine has its own disk."""
    cluster: SparkCluster | Flink = request.getfixturevalue(engine)
    pool: WorkerPool = request.getfixturevalue("pool")
    command = line.command(Path("OUTPUT"), *cluster.options(*pool.options), until="curate")
    command[command.index("OUTPUT")] = "memory://run"
    ended = finish(start("submit-memory", command, tmp_path), LIMIT)
    refused(ended, "does not see what the submitter wrote to memory://run/survey", "an object store")

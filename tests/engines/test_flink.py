"""The whole line on a real Flink, byte for byte as on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from flink_cluster import Flink
from line_runs import Line, check, finish, in_the_middle_of
from processes import kill
from worker_pool import WorkerPool

pytestmark = pytest.mark.timeout(600)


def test_the_line_on_a_mini_cluster(
    line: Line, local_run: dict[str, str], flink_in_server: Flink, pool: WorkerPool, tmp_path: Path
) -> None:
    ended = line.run(tmp_path / "run", *flink_in_server.options(*pool.options))
    check(ended, tmp_path / "run", local_run)


def test_the_line_on_a_session_cluster(
    line: Line, local_run: dict[str, str], flink_on_nodes: Flink, pool: WorkerPool, tmp_path: Path
) -> None:
    ended = line.run(tmp_path / "run", *flink_on_nodes.options(*pool.options))
    check(ended, tmp_path / "run", local_run)
    flink_on_nodes.job_server.wait_until(flink_on_nodes.idle, "free of the job", 60)


def test_a_job_outlives_a_python_worker_that_is_killed_in_the_middle_of_a_stage(
    line: Line, local_run: dict[str, str], flink_in_server: Flink, pool: WorkerPool, tmp_path: Path
) -> None:
    """Flink does not try a batch job again unless it is told to: the job fails, and Spanmill goes on with a new one."""
    process = line.begin(tmp_path / "run", *flink_in_server.options(*pool.options))
    in_the_middle_of("curate", tmp_path / "run", process, lambda: kill(pool.workers()[0]))
    ended = finish(process, 300)
    check(ended, tmp_path / "run", local_run)


def test_a_stage_on_workers_in_the_submitter(line: Line, local_run: dict[str, str], flink_in_server: Flink, tmp_path: Path) -> None:
    ended = line.run(tmp_path / "run", *flink_in_server.options("--environment_type=LOOPBACK"), until="curate")
    check(ended, tmp_path / "run", local_run, "curate/")

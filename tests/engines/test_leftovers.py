"""What a cluster goes on doing after the command that asked for it has ended, and what is lost of a cluster under a job."""

from __future__ import annotations

from pathlib import Path

import pytest
from flink_cluster import Flink, FlinkSession
from line_runs import Line, digests, finish, in_the_middle_of, kill_all
from spark_cluster import SparkCluster
from worker_pool import WorkerPool

pytestmark = pytest.mark.timeout(600)

MANY_ITEMS = ("--set", "part_bytes=300_000")
"""So many parts that a job is still at work when the next begins."""


@pytest.fixture(scope="module")
def local_curate(line: Line, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """sha256 of the files of a run of many items, made on this machine's own processes."""
    run_dir = tmp_path_factory.mktemp("local") / "run"
    ended = line.run(run_dir, *MANY_ITEMS, until="curate")
    assert ended.code == 0, ended.said
    return digests(run_dir)


def test_flink_goes_on_with_a_job_after_ctrl_c_and_the_next_job_beside_it_makes_the_same_bytes(
    line: Line, local_curate: dict[str, str], flink_in_server: Flink, pool: WorkerPool, tmp_path: Path
) -> None:
    """Beam's job server says CANCELLED at once; the Flink inside it knows nothing of that. Two jobs then make the same stage."""
    options = (*MANY_ITEMS, *flink_in_server.options(*pool.options))
    process = line.begin(tmp_path / "run", *options, until="curate")
    in_the_middle_of("curate", tmp_path / "run", process, process.popen.terminate)
    assert finish(process, 60).code == 130
    ended = line.run(tmp_path / "run", *options, until="curate")
    assert ended.code == 0, ended.said
    assert digests(tmp_path / "run") == local_curate


def test_spark_goes_on_with_the_job_of_a_killed_command_and_the_same_command_ends_the_run(
    line: Line, local_curate: dict[str, str], spark: SparkCluster, pool: WorkerPool, tmp_path: Path
) -> None:
    """Its job server takes one job at a time: as long as the old one runs, it may refuse the new one."""
    options = (*MANY_ITEMS, *spark.options(*pool.options))
    process = line.begin(tmp_path / "run", *options, until="curate")
    in_the_middle_of("curate", tmp_path / "run", process, lambda: kill_all(process))
    process.stop()
    ended = line.run(tmp_path / "run", *options, until="curate", seconds=120)
    if ended.code:
        spark.master.wait_until(spark.idle, "free of the job that was left over", 200)
        ended = line.run(tmp_path / "run", *options, until="curate", seconds=120)
    assert ended.code == 0, ended.said
    assert digests(tmp_path / "run") == local_curate


def test_a_job_outlives_a_task_manager_that_is_killed_and_replaced(
    line: Line, local_curate: dict[str, str], flink_on_nodes: FlinkSession, pool: WorkerPool, tmp_path: Path
) -> None:
    process = line.begin(tmp_path / "run", *MANY_ITEMS, *flink_on_nodes.options(*pool.options), until="curate")
    in_the_middle_of("curate", tmp_path / "run", process, flink_on_nodes.replace_a_task_manager)
    ended = finish(process, 300)
    assert ended.code == 0, ended.said
    assert digests(tmp_path / "run") == local_curate

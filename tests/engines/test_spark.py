"""The whole line on a real Spark cluster, byte for byte as on this machine, whatever is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from line_runs import Line, check, digests, finish, in_the_middle_of, kill_all
from processes import kill
from spark_cluster import SparkCluster
from worker_pool import WorkerPool

pytestmark = pytest.mark.timeout(600)


def test_the_line_on_workers_from_a_pool(
    line: Line, local_run: dict[str, str], spark: SparkCluster, pool: WorkerPool, tmp_path: Path
) -> None:
    ended = line.run(tmp_path / "run", *spark.options(*pool.options))
    check(ended, tmp_path / "run", local_run)


def test_a_stage_on_workers_in_the_submitter(line: Line, local_run: dict[str, str], spark: SparkCluster, tmp_path: Path) -> None:
    ended = line.run(tmp_path / "run", *spark.options("--environment_type=LOOPBACK"), until="curate")
    check(ended, tmp_path / "run", local_run, "curate/")


def kill_an_executor(spark: SparkCluster, pool: WorkerPool) -> None:
    kill(spark.executors()[0])


def kill_a_spark_worker(spark: SparkCluster, pool: WorkerPool) -> None:
    spark.kill_a_worker()


def kill_a_python_worker(spark: SparkCluster, pool: WorkerPool) -> None:
    kill(pool.workers()[0])


@pytest.mark.parametrize("harm", [kill_an_executor, kill_a_spark_worker, kill_a_python_worker])
def test_a_job_outlives_what_is_killed_in_the_middle_of_a_stage(
    line: Line, local_run: dict[str, str], spark: SparkCluster, pool: WorkerPool, tmp_path: Path, harm
) -> None:  # type: ignore[no-untyped-def]
    spark.mend()
    process = line.begin(tmp_path / "run", *spark.options(*pool.options))
    in_the_middle_of("curate", tmp_path / "run", process, lambda: harm(spark, pool))
    ended = finish(process, 500)
    check(ended, tmp_path / "run", local_run)
    spark.mend()


def test_a_run_begun_here_and_killed_is_finished_on_the_cluster(
    line: Line, local_run: dict[str, str], spark: SparkCluster, pool: WorkerPool, tmp_path: Path
) -> None:
    process = line.begin(tmp_path / "run", "--direct_running_mode=in_memory")
    in_the_middle_of("curate", tmp_path / "run", process, lambda: kill_all(process))
    ended = line.run(tmp_path / "run", *spark.options(*pool.options))
    assert ended.code == 0, ended.said
    assert "curate goes on where it stopped" in ended.said
    assert digests(tmp_path / "run") == local_run


def test_ctrl_c_frees_the_cluster(line: Line, spark: SparkCluster, pool: WorkerPool, tmp_path: Path) -> None:
    process = line.begin(tmp_path / "run", *spark.options(*pool.options))
    in_the_middle_of("curate", tmp_path / "run", process, process.popen.terminate)
    ended = finish(process, 90)
    assert ended.code == 130, ended.said
    assert "the same command goes on from there" in ended.said
    spark.master.wait_until(spark.idle, "free of the job", 60)

"""What Beam is told, and what is refused before it is asked."""

from __future__ import annotations

import base64
import socket

import pytest

from contracts.errors import ConfigError, EngineError, InputError, SpanmillError
from pipelines.beam_options import arguments, check, is_dry_run, is_local, preflight, workers
from pipelines.failures import translated


@pytest.mark.parametrize(
    ("given", "words"),
    [("--runer=X", "Did you mean --runner"), ("--outptu=x", "Did you mean --output"), ("--direct_num_workers=many", "Apache Beam")],
)
def test_options_that_nobody_knows_are_refused(given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check([given], ["--output", "--config"])


def test_beams_options_pass() -> None:
    check(["--runner=SparkRunner", "--direct_num_workers=2", "--direct_running_mode", "in_memory"], ["--output"])


def test_small_work_starts_no_processes_and_the_runner_is_always_named() -> None:
    assert arguments([], 0.1, 0) == ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    assert "--direct_running_mode=multi_processing" in arguments([], 1000, 0)
    assert arguments(["--runner=SparkRunner"], 1000, 0) == ["--runner=SparkRunner"]


def test_workers_are_counted_as_beam_counts_them() -> None:
    assert workers(arguments(["--direct_running_mode=in_memory", "--direct_num_workers=7"], 1000, 0)) == 1
    assert workers(arguments(["--direct_running_mode=multi_processing", "--direct_num_workers", "3"], 1000, 0)) == 3
    assert workers(arguments(["--direct_running_mode=multi_processing"], 1000, 0)) >= 1


def test_runners_are_known_by_short_and_long_names() -> None:
    assert is_local([])
    assert is_local(["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    assert not is_local(["--runner", "FlinkRunner"])
    assert "--runner=FnApiRunner" in arguments(["--runner", "DirectRunner"], 0.1, 0), "Beam's own would try to fetch another engine"
    assert not [each for each in arguments(["--runner", "DirectRunner"], 0.1, 0) if "DirectRunner" in each]
    assert is_dry_run(["--runner=DataflowRunner", "--dry_run=True"])
    assert not is_dry_run(["--runner=DataflowRunner"])


def test_dataflow_gets_a_hint_of_the_memory_unless_one_is_given() -> None:
    assert arguments(["--runner=DataflowRunner"], 1, 2_000) == ["--runner=DataflowRunner", "--resource_hint=min_ram=2000B"]
    given = ["--runner=DataflowRunner", "--resource_hint=min_ram=8GB"]
    assert arguments(given, 1, 2_000) == given


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_a_job_server_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match=r"No job server answers at --job_endpoint=127\.0\.0\.1:\d+"):
        preflight(["--runner=SparkRunner", f"--job_endpoint=127.0.0.1:{closed_port()}"], "/run")


def test_a_worker_pool_that_is_not_there_is_named() -> None:
    port = closed_port()
    with pytest.raises(EngineError, match=rf"No worker pool answers at .*{port}.*spanmill workers --port={port}"):
        preflight(["--runner=FlinkRunner", "--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"], "/run")


def test_a_pool_on_other_machines_is_not_looked_for_from_here() -> None:
    preflight(
        ["--runner=FlinkRunner", "--environment_type=EXTERNAL", "--environment_config=node7:1", "--job_endpoint=embed"], "/run"
    )


def test_dataflow_has_no_spanmill_unless_it_is_given() -> None:
    given = ["--runner=DataflowRunner"]
    with pytest.raises(ConfigError, match=r"do not have Spanmill.*--sdk_container_image.*--extra_package"):
        preflight(given, "gs://bucket/run")
    preflight([*given, "--extra_package=dist/spanmill.whl"], "gs://bucket/run")


def test_dataflow_is_not_sent_to_this_machines_disk() -> None:
    with pytest.raises(ConfigError, match=r"--output /run lies on this machine.*gs:// URL"):
        preflight(["--runner=DataflowRunner", "--extra_package=dist/spanmill.whl"], "/run")


JAVA_TRACE = """java.lang.RuntimeException: Error received from SDK harness for instruction 4: Traceback (most recent call last):
  File "graph.py", line 3, in process
KeyError: 'x' [while running 'Files/Do']

\tat org.apache.beam.runners.fnexecution.control.FnApiControlClient$ResponseStreamObserver.onNext(FnApiControlClient.java:180)
\t... 3 more
Driver stacktrace:
"""


def test_of_javas_traces_the_cause_is_shown() -> None:
    with (
        pytest.raises(SpanmillError, match=r"^curate failed: KeyError: 'x' \(while running Files/Do\)\. "),
        translated("curate", "", remote=True),
    ):
        raise RuntimeError(JAVA_TRACE)


def test_a_marked_error_is_found_in_what_java_makes_of_it() -> None:
    words = base64.b64encode(b"no such column").decode()
    with pytest.raises(InputError, match=r"^no such column$"), translated("curate", "", remote=True):
        raise RuntimeError(f"java.lang.RuntimeException: ⟦InputError|{words}⟧ [while running x]")


def test_a_pool_stopped_by_somebody_is_not_our_ctrl_c() -> None:
    with pytest.raises(SpanmillError), translated("curate", "", remote=True):
        raise RuntimeError("Traceback … KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt), translated("curate", "", remote=False):
        raise RuntimeError("KeyboardInterrupt [while running 'x']")


def test_a_busy_spark_job_server_is_named() -> None:
    text = (
        "Pipeline app failed in state FAILED: org.apache.spark.SparkException: Only one SparkContext should be running in this JVM\n"
        "java.base/java.lang.Thread.run(Thread.java:840)"
    )
    words = r"curate failed: org\.apache\.spark\.SparkException: Only one SparkContext.*one job at a time.*restart the job server"
    with pytest.raises(EngineError, match=words), translated("curate", "", remote=True):
        raise RuntimeError(text)


def test_a_flink_with_too_little_memory_is_told_what_to_raise() -> None:
    text = (
        "state FAILED: java.io.IOException: The record exceeds the maximum size of a sort buffer (current maximum: 1540096 bytes)."
    )
    with pytest.raises(EngineError, match=r"raise taskmanager\.memory\.managed\.size"), translated("dedup", "", remote=True):
        raise RuntimeError(text)


@pytest.mark.parametrize("master", ["--spark_master_url=spark://master:7077", "--flink_master=jobmanager:8081"])
def test_beams_containers_have_no_spanmill_unless_it_is_given(master: str) -> None:
    with pytest.raises(ConfigError, match=r"Beam's own containers do not have Spanmill"):
        preflight(["--runner=SparkRunner", master], "/shared/run")
    preflight(["--runner=SparkRunner", master, "--environment_type=DOCKER", "--environment_config=image"], "/shared/run")
    preflight(["--runner=SparkRunner", "--spark_master_url=local[2]"], "/shared/run")

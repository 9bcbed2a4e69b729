"""A Spark standalone cluster of one Master and two Workers, and Beam's job server in front of it, all on this machine.

    submitter ──▶ job server ──▶ Master ──▶ 2 Workers, each 1 core ──▶ 1 executor a job ──▶ worker pool ──▶ SDK worker, Python
                 (= the driver)

Spark's jars come with the pyspark wheel; Beam's are fetched by Maven (spark/pom.xml). Four things that a job needs to end well, and
soon; each was found by watching one that did not:

* Executors must take Beam's Guava, not Spark's older one: `spark.executor.extraClassPath`. Otherwise NoSuchMethodError, and a hang.
* The job server would stage its class path, 380 jars, to each executor of each job (12 s). With the jars on the executors already,
  `--files_to_stage=<an empty jar>` stops that.
* Without `--environment_cache_millis` each Spark stage of a job starts Python workers again, 3 s of CPU time each.
* The short-lived JVMs of a job spend most of their time on compiling and collecting in parallel: see JAVA.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jars import JAVA, empty_jar, jars
from processes import HOST, Process, answers, free_ports, kill, running

EXECUTOR = "CoarseGrainedExecutorBackend"
EXECUTOR_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


@dataclass
class SparkCluster:
    """A running cluster with its job server."""

    folder: Path
    stack: ExitStack
    master: Process
    master_port: int
    web_port: int
    workers: list[Process] = field(default_factory=list)
    job_server: Process | None = None
    job_port: int = 0

    def options(self, *more: str) -> list[str]:
        """Options of a job that runs here; the environment of the workers comes with `more`."""
        return [
            "--runner=SparkRunner",
            f"--job_endpoint={HOST}:{self.job_port}",
            f"--files_to_stage={empty_jar(self.folder)}",
            "--environment_cache_millis=60000",
            *more,
        ]

    def state(self) -> dict:
        """What the Master says of itself: aliveworkers, activeapps, completedapps and more."""
        with urllib.request.urlopen(f"http://{HOST}:{self.web_port}/json/", timeout=5) as answer:
            return dict(json.load(answer))

    def idle(self) -> bool:
        """Whether no job holds a core."""
        return self.state()["coresused"] == 0 and not self.state()["activeapps"]

    def executors(self) -> list[int]:
        """Process numbers of the executors."""
        return [pid for worker in self.workers for pid in worker.children(EXECUTOR)]

    def kill_a_worker(self) -> None:
        """SIGKILL to a Worker that has an executor."""
        victim = next(worker for worker in self.workers if worker.children(EXECUTOR))
        kill(victim.popen.pid)
        victim.popen.wait(timeout=10)

    def mend(self) -> None:
        """Starts Workers until two are alive again."""
        self.workers = [worker for worker in self.workers if worker.popen.poll() is None]
        while len(self.workers) < 2:
            self.add_worker()
        self.master.wait_until(lambda: self.state()["aliveworkers"] >= 2, "two Workers registered")

    def add_worker(self) -> None:
        """One Worker more, of one core."""
        [web_port] = free_ports(1)
        name = f"worker-{web_port}"
        command = [
            *daemon("256m", "org.apache.spark.deploy.worker.Worker"),
            *("--host", HOST, "--webui-port", str(web_port), "--cores", "1", "--memory", "1536m"),
            *("--work-dir", str(self.folder / name), f"spark://{HOST}:{self.master_port}"),
        ]
        self.workers.append(self.stack.enter_context(running(name, command, self.folder, spark_environment())))


@contextmanager
def spark_cluster(folder: Path) -> Iterator[SparkCluster]:
    """A cluster and its job server, for as long as the block lasts."""
    port, web_port = free_ports(2)
    master = [
        *daemon("256m", "org.apache.spark.deploy.master.Master"),
        *("--host", HOST, "--port", str(port), "--webui-port", str(web_port)),
    ]
    with ExitStack() as stack:
        process = stack.enter_context(running("master", master, folder, spark_environment()))
        process.wait_until(lambda: answers(port) and answers(web_port), "listening")
        cluster = SparkCluster(folder, stack, process, port, web_port)
        cluster.mend()
        cluster.job_server, cluster.job_port = stack.enter_context(spark_job_server(folder, f"spark://{HOST}:{port}"))
        yield cluster


@contextmanager
def spark_job_server(folder: Path, master_url: str) -> Iterator[tuple[Process, int]]:
    """Beam's job server for a cluster, and its port. The Spark driver of each job runs in it."""
    job_port, artifact_port, expansion_port = free_ports(3)
    beam_jars = jars("spark")
    command = [
        *JAVA,
        "-Xmx1g",
        f"-Dspark.executor.extraClassPath={beam_jars}/*",
        f"-Dspark.executor.extraJavaOptions={EXECUTOR_JAVA}",
        "-Dspark.executor.memory=1g",
        f"-Dspark.driver.host={HOST}",
        f"-Dspark.driver.bindAddress={HOST}",
        f"-Dspark.local.dir={folder / 'driver'}",
        "-Dspark.ui.enabled=false",
        *("-cp", f"{beam_jars}/*:{spark_home()}/jars/*", "org.apache.beam.runners.spark.SparkJobServerDriver"),
        *(f"--job-host={HOST}", f"--job-port={job_port}", f"--artifact-port={artifact_port}"),
        *(f"--expansion-port={expansion_port}", f"--artifacts-dir={folder / 'artifacts'}", f"--spark-master-url={master_url}"),
    ]
    with running("job-server", command, folder, spark_environment()) as server:
        server.wait_until(lambda: answers(job_port), "listening")
        yield server, job_port


def daemon(memory: str, main_class: str) -> list[str]:
    """The Java command of a Master or Worker, without the shell scripts around it, so that its number is the one to kill."""
    return [*JAVA, f"-Xmx{memory}", "-cp", f"{spark_home()}/conf:{spark_home()}/jars/*", main_class]


def spark_home() -> Path:
    """Where the pyspark wheel keeps Spark."""
    import pyspark

    return Path(pyspark.__file__).resolve().parent


def spark_environment() -> dict[str, str]:
    """Variables that Spark's daemons read; executors inherit them."""
    return {"SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": HOST, "SPARK_SCALA_VERSION": "2.12"}

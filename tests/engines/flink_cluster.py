"""Flink 1.19 in two sizes: a mini-cluster inside Beam's job server, and a session cluster of a JobManager and two TaskManagers.

    submitter ──▶ job server, Flink inside ────────────────────────────────▶ worker pool ──▶ SDK worker, Python       flink_mini
    submitter ──▶ job server ──▶ JobManager ──▶ 2 TaskManagers, 1 slot each ──▶ worker pool ──▶ SDK worker, Python    flink_session

JobManager and TaskManagers are main classes in the jars that Maven fetches for the job server (flink/pom.xml), less Beam's: as on
any cluster, the job server uploads those with each job. The files that Flink's shell scripts would compute memory for get it
spelled out in the configuration.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from jars import JAVA, jars
from processes import HOST, Process, answers, free_ports, kill, running

MAIN = "org.apache.flink.runtime"


@dataclass
class Flink:
    """A job server with a Flink inside it."""

    job_server: Process
    job_port: int

    def options(self, *more: str) -> list[str]:
        """Options of a job that runs here; the environment of the workers comes with `more`."""
        return [
            "--runner=FlinkRunner",
            f"--job_endpoint={HOST}:{self.job_port}",
            "--parallelism=2",
            "--environment_cache_millis=60000",
            *more,
        ]


@dataclass
class FlinkSession(Flink):
    """A job server with a cluster behind it."""

    manager: Process
    web_port: int
    task_managers: list[Process]
    add: Callable[[], Process]
    """Starts one TaskManager more."""

    def state(self) -> dict:
        """What the JobManager says of itself: taskmanagers, slots-available, jobs-running and more."""
        return overview(self.web_port)

    def idle(self) -> bool:
        """Whether no job holds a slot."""
        state = self.state()
        return state["jobs-running"] == 0 and state["slots-available"] == state["slots-total"]

    def replace_a_task_manager(self) -> None:
        """SIGKILL to a TaskManager, and another in its place, as whoever looks after a cluster does."""
        victim = self.task_managers.pop()
        kill(victim.popen.pid)
        victim.popen.wait(timeout=10)
        self.task_managers.append(self.add())


@contextmanager
def flink_mini(folder: Path) -> Iterator[Flink]:
    """Beam's job server with a Flink that starts inside it for each job."""
    with flink_job_server(folder, "[local]") as (server, port):
        yield Flink(server, port)


@contextmanager
def flink_session(folder: Path) -> Iterator[FlinkSession]:
    """A session cluster and a job server that sends it jobs."""
    rpc_port, web_port = free_ports(2)
    configuration = write_configuration(folder, rpc_port, web_port)
    daemon = [*JAVA, "-cp", ":".join(str(jar) for jar in sorted(jars("flink").glob("*.jar")) if not jar.name.startswith("beam-"))]
    where = ["--configDir", str(configuration)]
    names = (f"task-manager-{number}" for number in count(1))
    with ExitStack() as stack:

        def add() -> Process:
            command = [*daemon, "-Xmx640m", f"{MAIN}.taskexecutor.TaskManagerRunner", *where]
            return stack.enter_context(running(next(names), command, folder))

        entry = f"{MAIN}.entrypoint.StandaloneSessionClusterEntrypoint"
        manager = stack.enter_context(running("job-manager", [*daemon, "-Xmx512m", entry, *where], folder))
        manager.wait_until(lambda: answers(web_port), "listening")
        task_managers = [add(), add()]
        manager.wait_until(lambda: overview(web_port)["slots-total"] == 2, "joined by two TaskManagers")
        server, port = stack.enter_context(flink_job_server(folder, f"{HOST}:{web_port}"))
        yield FlinkSession(server, port, manager, web_port, task_managers, add)


@contextmanager
def flink_job_server(folder: Path, master: str) -> Iterator[tuple[Process, int]]:
    """Beam's job server, and its port."""
    job_port, artifact_port, expansion_port = free_ports(3)
    configuration = folder / "server"
    configuration.mkdir(parents=True, exist_ok=True)
    bound = {"jobmanager.bind-host": HOST, "taskmanager.bind-host": HOST, "rest.bind-address": HOST}
    (configuration / "config.yaml").write_text(yaml(bound))
    command = [
        *JAVA,
        "-Xmx1g",
        *("-cp", f"{jars('flink')}/*", "org.apache.beam.runners.flink.FlinkJobServerDriver"),
        *(f"--job-host={HOST}", f"--job-port={job_port}", f"--artifact-port={artifact_port}", f"--expansion-port={expansion_port}"),
        *(f"--artifacts-dir={folder / 'artifacts'}", f"--flink-conf-dir={configuration}", f"--flink-master={master}"),
    ]
    with running("job-server", command, folder) as server:
        server.wait_until(lambda: answers(job_port), "listening")
        yield server, job_port


def write_configuration(folder: Path, rpc_port: int, web_port: int) -> Path:
    """The folder with the configuration of the daemons of a session cluster, memory spelled out."""
    settings: dict[str, object] = {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": HOST,
        "jobmanager.memory.process.size": "1g",
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": web_port,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1.0,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.task.heap.size": "512m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.off-heap.size": "128m",
        "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "io.tmp.dirs": str(folder / "tmp"),
        # Flink tries no batch job again unless it is told to, and takes 50 s to notice that a TaskManager is dead.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 10,
        "restart-strategy.fixed-delay.delay": "2 s",
        "heartbeat.interval": 2_000,
        "heartbeat.timeout": 10_000,
    }
    configuration = folder / "conf"
    configuration.mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (configuration / "config.yaml").write_text(yaml(settings))
    return configuration


def yaml(settings: dict) -> str:
    """Flat settings as Flink reads them."""
    return "".join(f"{key}: {value}\n" for key, value in settings.items())


def overview(web_port: int) -> dict:
    """The JobManager's own summary."""
    with urllib.request.urlopen(f"http://{HOST}:{web_port}/overview", timeout=5) as answer:
        return dict(json.load(answer))

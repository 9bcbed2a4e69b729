"""Whatever happens, no process outlives the test that started it, and none is open to the network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from line_runs import Line
from processes import NotStartedError, clean_environment, command_line, kill, listening, marked, running
from spark_cluster import EXECUTOR, spark_cluster
from worker_pool import worker_pool

pytestmark = pytest.mark.timeout(300)

STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if len(sys.argv) > 1:\n"
    "    subprocess.Popen([sys.executable, __file__], start_new_session=True)\n"
    "print('ready', flush=True)\n"
    "time.sleep(1000)\n"
)
"""Ignores SIGTERM, and starts one like it that leaves the process group."""

BEAMS_OWN = (EXECUTOR, "SparkJobServerDriver")
"""Java processes in which Beam serves its workers, on all interfaces whatever it is told."""


def test_stubborn_processes_and_those_that_left_the_group_are_ended(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    with running("stubborn", [sys.executable, str(script), "parent"], tmp_path, grace=0.5) as process:
        process.wait_until(lambda: process.log.read_text().count("ready") == 2, "joined by its child")
        assert len(process.alive()) == 2
    assert marked(process.mark) == []


def test_what_does_not_start_shows_its_log(tmp_path: Path) -> None:
    with (
        running("failing", [sys.executable, "-c", "print('the port is taken'); raise SystemExit(3)"], tmp_path) as process,
        pytest.raises(NotStartedError, match=r"failing ended with 3 before listening:\n\s+the port is taken"),
    ):
        process.wait_until(lambda: False, "listening")


def test_what_starts_too_slowly_is_given_up(tmp_path: Path) -> None:
    with (
        running("slow", [sys.executable, "-c", "import time; time.sleep(1000)"], tmp_path) as process,
        pytest.raises(NotStartedError, match=r"slow: not listening after 0\.5 s:\n\s+\(the log is empty\)"),
    ):
        process.wait_until(lambda: False, "listening", seconds=0.5)
    assert marked(process.mark) == []


def test_the_kernel_ends_them_when_pytest_itself_is_killed(tmp_path: Path) -> None:
    script = (
        f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path; from processes import start\n"
        f"print(start('sleeping', ['sleep', '1000'], Path({str(tmp_path)!r})).popen.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=clean_environment(), check=False)
    assert ended.returncode == -signal.SIGKILL
    sleeping = int(ended.stdout)
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{sleeping}") and time.monotonic() < end:
        time.sleep(0.05)
    try:
        assert not os.path.exists(f"/proc/{sleeping}")
    finally:
        kill(sleeping)


def test_a_cluster_in_the_middle_of_a_job_goes_whole(line: Line, environment: Path, tmp_path: Path) -> None:
    """Master, Workers, executors, job server, pool, Python workers, submitter: none is open to the network, and then all are gone."""
    before = set(marked())
    with worker_pool(tmp_path / "pool", environment) as pool, spark_cluster(tmp_path / "spark") as cluster:
        command = line.command(tmp_path / "run", *cluster.options(*pool.options), until="curate")
        with running("submit", command, tmp_path) as submitter:
            submitter.wait_until(lambda: bool(cluster.executors() and pool.workers()), "working on executors")
            ours = set(marked()) - before
            open_to_others = {
                (address, command_line(pid))
                for pid in ours
                if not any(name in command_line(pid) for name in BEAMS_OWN)
                for address in listening(pid)
                if not address.startswith("127.")
            }
            assert len(ours) >= 1 + 1 + 2 + 1 + 1 + 1 + 1
            assert any(EXECUTOR in words for words in map(command_line, ours))
    assert set(marked()) - before == set()
    assert not open_to_others

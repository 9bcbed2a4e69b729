"""Processes that tests start and that must not outlive them: cluster daemons, job servers, worker pools, the command line.

    Process ──▶ java Worker ──▶ java executor          every process below carries the mark of the one started here in its
            └▶ worker pool ──▶ python SDK worker       environment, so it is found again whatever its parents and groups became

Three nets, each for when the one before has a hole: SIGTERM to the process group, SIGKILL to every process with the mark, and the
kernel's own SIGKILL for the case that pytest itself is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
MARK = "SPANMILL_TEST_ENGINES"
SESSION = uuid.uuid4().hex
"""Begins the mark of everything that this test session starts."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NotStartedError(RuntimeError):
    """Something did not come up, or did not end, in its time; the words hold the end of its log."""


@dataclass
class Process:
    """A started command, with its log in a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    mark: str

    def tail(self, lines: int = 25) -> str:
        """The end of the log, long lines cut."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"    {line[:300]}" for line in text) or "    (the log is empty)"

    def alive(self) -> list[int]:
        """Its own number, while it runs, and those of all that it started, however indirectly."""
        return marked(self.mark)

    def children(self, *words: str) -> list[int]:
        """Those of its processes whose command line has all the words."""
        return [pid for pid in self.alive() if all(word in command_line(pid) for word in words)]

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Polls until `ready`. Raises NotStartedError when the process ends before, or time does."""
        end = time.monotonic() + seconds
        while not _holds(ready):
            if self.popen.poll() is not None:
                raise NotStartedError(f"{self.name} ended with {self.popen.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() > end:
                raise NotStartedError(f"{self.name}: not {what} after {seconds:g} s:\n{self.tail()}")
            time.sleep(0.1)

    def stop(self, grace: float = 8) -> None:
        """Ends it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGTERM)
        end = time.monotonic() + grace
        while time.monotonic() < end and self.alive():
            self.popen.poll()
            time.sleep(0.1)
        for _ in range(50):  # again and again: a process may start another while we look
            left = self.alive()
            for pid in left:
                kill(pid)
            self.popen.poll()
            if not left:
                break
            time.sleep(0.1)
        self.popen.wait(timeout=5)


def start(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Starts a command in `folder`, which also gets its log."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    mark = f"{SESSION}/{uuid.uuid4().hex}"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**clean_environment(), **(environment or {}), MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    return Process(name, popen, log, mark)


@contextmanager
def running(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, grace: float = 8
) -> Iterator[Process]:
    """A process for as long as the block lasts."""
    process = start(name, command, folder, environment)
    try:
        yield process
    finally:
        process.stop(grace)


def clean_environment() -> dict[str, str]:
    """The environment of this process without what would let a child import from the checkout or another Python."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def marked(mark: str = SESSION) -> list[int]:
    """Living processes whose environment has a mark that begins so, this one apart."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended, or is somebody else's
            if any(entry.startswith(wanted) for entry in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")):
                found.append(int(name))  # a zombie's environment is empty: it does not count
    return sorted(found)


def command_line(pid: int) -> str:
    """A process's command line; empty when it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def kill(pid: int) -> None:
    """SIGKILL; nothing happens where there is no such process."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def listening(pid: int) -> list[str]:
    """Addresses, as host:port, on which a process takes connections over TCP."""
    sockets = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(OSError):
            for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                words = row.split()
                if words[3] == "0A" and words[9] in sockets:  # 0A: TCP_LISTEN
                    found.append(_address(words[1], family))
    return found


def free_ports(number: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def answers(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0


def _address(written: str, family: socket.AddressFamily) -> str:
    """From the kernel's form, 32-bit words in the machine's byte order, to a name; IPv4 in IPv6's clothes as IPv4."""
    packed, _, port = written.partition(":")
    raw = b"".join(int(packed[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(packed), 8))
    return f"{socket.inet_ntop(family, raw).removeprefix('::ffff:')}:{int(port, 16)}"


def _holds(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except (OSError, ValueError):  # refused, or half an answer
        return False


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

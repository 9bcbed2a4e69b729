"""Servers that speak S3 and Google Cloud Storage, for tests: moto and gcp-storage-emulator, each a process of its own on 127.0.0.1.

They hold objects in memory and end with the tests, even if those are killed: each ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

START_SECONDS = 60.0
"""Within which a server must answer; on an idle machine they take one or two."""

END_WITH_STDIN = "import os, sys, threading; threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()"

MOTO = f"{END_WITH_STDIN}; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"

EMULATOR = (
    f"{END_WITH_STDIN}; import http.server; http.server.HTTPServer.request_queue_size = 200; "  # the default, 5, drops connections
    "from gcp_storage_emulator.__main__ import main; "
    "main(['start', '--quiet', '--host', '127.0.0.1', '--port', sys.argv[1], '--in-memory'])"
)


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3; any credentials will do."""
    with _running(MOTO) as url:
        yield url


@contextmanager
def gcs_server() -> Iterator[str]:
    """The address of a server that speaks Google's JSON API."""
    with _running(EMULATOR) as url:
        yield url


def create_s3_bucket(url: str, name: str) -> None:
    _request("PUT", f"{url}/{name}")


def create_gcs_bucket(url: str, name: str) -> None:
    _request("POST", f"{url}/storage/v1/b?project=test", json.dumps({"name": name}).encode())


@contextmanager
def _running(script: str) -> Iterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        _await(url, process)
        yield url
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            _request("GET", url)
        except urllib.error.HTTPError:  # an answer
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} does not answer after {START_SECONDS} s (exit status {process.poll()})")


def _request(method: str, url: str, body: bytes | None = None) -> None:
    headers = {"Content-Type": "application/json"} if body else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=10) as answer:
        answer.read()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])

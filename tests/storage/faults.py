"""A proxy between a store's client and its server that fails on demand.

Each Fault waits for requests that it fits and spoils a number of them; what it does not fit goes through. So a test says "the second
part of the upload breaks off" and the client sees just that.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Deed = Literal["answer", "cut", "cut answer", "lose answer", "old answer", "delay"]

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})


@dataclass
class Fault:
    """What happens to requests whose `METHOD /path?query` the pattern is found in."""

    pattern: str
    deed: Deed
    """answer: not the server answers but the proxy, with `status` and `body`
    cut: the connection is closed before the server sees the request
    cut answer: closed after half of the server's answer
    lose answer: closed after the server did it, and before the client knows
    old answer: what the same request was answered when the fault was set, or else the server's; see Proxy.remember
    delay: `seconds` before it goes through
    """
    times: int = 10**9
    """How many requests it spoils; all by default."""
    after: int = 0
    """How many fitting requests go through first."""
    every: int = 1
    """Which of the fitting requests it spoils: each, each second, …"""
    status: int = 500
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    met: int = 0
    spoilt: int = 0
    """So far."""

    def fits(self, request: str) -> bool:
        """Whether it is for this request; counts."""
        if not re.search(self.pattern, request) or self.spoilt >= self.times:
            return False
        self.met += 1
        if self.met <= self.after or self.met % self.every:
            return False
        self.spoilt += 1
        return True


def slow_down(pattern: str, times: int = 10**9) -> Fault:
    """S3's way to throttle."""
    body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    return Fault(pattern, "answer", times, status=503, body=body, headers={"Content-Type": "application/xml"})


def too_many_requests(pattern: str, times: int = 10**9) -> Fault:
    """Google's way to throttle."""
    body = '{"error": {"code": 429, "message": "The rate of requests is too high."}}'
    return Fault(pattern, "answer", times, status=429, body=body, headers={"Content-Type": "application/json"})


def internal_error(pattern: str, times: int = 10**9, after: int = 0) -> Fault:
    body = "<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
    return Fault(pattern, "answer", times, after, status=500, body=body, headers={"Content-Type": "application/xml"})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Proxy:
    """Forwards to a server what no fault spoils."""

    def __init__(self, server: str) -> None:
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        """All requests, as `METHOD /path?query`."""
        self.remembered: dict[str, Answer] = {}
        """Answers to listings, the last before `freeze`."""
        self._frozen = False
        self._lock = threading.Lock()
        self._server = urlsplit(server).netloc
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def set(self, *faults: Fault) -> None:
        """From now on, these faults and no others."""
        with self._lock:
            self.faults = list(faults)
            self.seen = []
            self._frozen = any(fault.deed == "old answer" for fault in faults)

    def clear(self) -> None:
        self.set()
        self.remembered = {}

    def count(self, pattern: str) -> int:
        """How many requests came since the faults were set."""
        return sum(bool(re.search(pattern, request)) for request in self.seen)

    def fault_for(self, request: str) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            return next((fault for fault in self.faults if fault.fits(request)), None)

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the server says."""
        connection = http.client.HTTPConnection(self._server, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()
        if method == "GET" and not self._frozen:
            self.remembered[path] = answer
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # which answers `Expect: 100-continue` by itself

            def serve(self) -> None:
                _serve(self, proxy)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Nothing on the screen."""

        return Handler


def _serve(handler: BaseHTTPRequestHandler, proxy: Proxy) -> None:
    body = _body(handler)
    fault = proxy.fault_for(f"{handler.command} {handler.path}")
    deed = fault.deed if fault else ""
    handler.close_connection = True
    if deed == "cut":
        _drop(handler)
        return
    if fault and deed == "answer":
        _send(handler, Answer(fault.status, list(fault.headers.items()), fault.body.encode()))
        return
    if fault and deed == "delay":
        time.sleep(fault.seconds)
    if deed == "old answer" and handler.path in proxy.remembered:
        _send(handler, proxy.remembered[handler.path])
        return
    headers = {name: value for name, value in handler.headers.items() if name.lower() not in HOP_BY_HOP}
    answer = proxy.ask(handler.command, handler.path, headers, body)
    if deed == "lose answer":
        _drop(handler)
    else:
        _send(handler, answer, half=deed == "cut answer")


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in handler.headers.get("Transfer-Encoding", ""):
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    chunks = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        chunks.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(chunks)


def _send(handler: BaseHTTPRequestHandler, answer: Answer, *, half: bool = False) -> None:
    with suppress(OSError):  # the client has given up
        handler.send_response(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if handler.command == "HEAD" and name.lower() == "content-length":
                length = value  # of what a GET would bring
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", length)
        handler.send_header("Connection", "close")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body[: len(answer.body) // 2] if half else answer.body)
    if half:
        _drop(handler)


def _drop(handler: BaseHTTPRequestHandler) -> None:
    with suppress(OSError):
        handler.connection.shutdown(2)


@contextmanager
def proxied(server: str) -> Iterator[Proxy]:
    proxy = Proxy(server)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

"""A hub of our own, and a clock that waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec.config
import pytest
from hub_client import forget
from hub_server import HubServer

from pipelines.sources import stores


class Clock:
    """Stands in for the module `time`: sleeping takes no time, but it is counted."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The waits of ours and of huggingface_hub."""
    http = pytest.importorskip("huggingface_hub.utils._http")
    found = Clock()
    for module in (stores, http):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=found.sleep, monotonic=found.monotonic))
    return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty hub that hf:// means during the test. Nobody is logged in; see `log_in`."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with HubServer() as server:
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.url})
        forget()
        yield server
        forget()

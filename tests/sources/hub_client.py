"""What this process knows of the hub, and who is logged in."""

from __future__ import annotations

import pytest

from pipelines.sources import hub


def forget() -> None:
    """What a new process knows of the hub: nothing."""
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()
    hub._instances.clear()


def log_in(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """As `hf auth login` does, for the rest of the test."""
    monkeypatch.setenv("HF_TOKEN", token)
    forget()

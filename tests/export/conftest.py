"""Fixtures of the export tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_runs import make_run


@pytest.fixture(scope="session", params=[1000, 70_000], ids=["uint16", "uint32"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of small and one of large token ids; tests must not change it."""
    return make_run(tmp_path_factory.mktemp("run"), request.param)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of small token ids; tests must not change it."""
    return make_run(tmp_path_factory.mktemp("small"))

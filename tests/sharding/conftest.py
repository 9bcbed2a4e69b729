"""Fixtures of the sharding tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from stages import write_stage


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """Three sources of 37, 50 and 300 rows in four files, the first source in two."""
    files = [("c0.arrow", "code", 20), ("p0.arrow", "prose", 50), ("c1.arrow", "code", 17), ("i0.arrow", "issues", 300)]
    return write_stage(tmp_path / "shard", files)

"""What all tests share: the real corpora where they exist, and Hypothesis settings that do not depend on the machine's speed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("spanmill", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("thorough", parent=settings.get_profile("spanmill"), max_examples=100_000)
settings.load_profile("spanmill")

CORPORA = Path(__file__).resolve().parent.parent.parent / "shared" / "corpora"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; a test that asks for it is skipped where there is none."""
    if not CORPORA.is_dir():
        pytest.skip(f"real corpora are not at {CORPORA}")
    return CORPORA

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_corpus import recipe_values, write_corpus

from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def recipe(corpus: Path) -> Recipe:
    return Recipe(**recipe_values(corpus))


@pytest.fixture
def engine() -> Engine:
    """One process: nothing to start, and errors keep their tracebacks."""
    return Engine(beam_args=("--direct_running_mode=in_memory",), reporter=Reporter(quiet=True))

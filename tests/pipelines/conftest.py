from __future__ import annotations

from pathlib import Path

import pytest
from made_up_corpus import recipe_values, write_corpus
from run_the_line import QUIET, run

from pipelines.engine import Engine
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
    return Engine(beam_args=("--direct_running_mode=in_memory",), reporter=QUIET)


@pytest.fixture(scope="session")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to compare others with; nobody changes it."""
    run_dir = tmp_path_factory.mktemp("made") / "run"
    run(Recipe(**recipe_values(corpus)), run_dir, Engine(("--direct_running_mode=in_memory",), QUIET))
    return run_dir

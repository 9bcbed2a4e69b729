"""Real engines for the tests of this folder: each starts once a session, when the first test asks for it, and ends with the session.

`make test-engines` runs them in an environment of their own, .venv-engines. Elsewhere, or without Java and Maven, they are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jars
import pytest
from environments import build_wheel, layered_venv
from flink_cluster import Flink, FlinkSession, flink_mini, flink_session
from line_runs import Line, digests
from processes import kill, marked
from spark_cluster import SparkCluster, spark_cluster
from worker_pool import WorkerPool, worker_pool

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[2] / "shared" / "corpora" / "small"
RECIPE = HERE.parents[1] / "configs" / "small_corpus.toml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = jars.missing() or ("" if importlib.util.find_spec("pyspark") else "no pyspark: `make test-engines` runs this")
    for item in items:
        if HERE in item.path.parents and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """The last net below all others: whatever a test has let fall ends with the session, and fails it."""
    yield
    left = marked()
    for pid in left:
        kill(pid)
    assert not left, f"{len(left)} processes outlived the tests that started them; they are killed now"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment with Spanmill installed from a wheel, for workers and submitters alike."""
    return layered_venv(tmp_path_factory.mktemp("environment") / "venv", wheel)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Line:
    """The line on the small corpus of real files; on a made-up one where that is not there."""
    folder = tmp_path_factory.mktemp("submit")
    recipe = folder / "recipe.toml"
    if CORPUS.is_dir():
        recipe.write_text(RECIPE.read_text().replace("../shared/corpora/small", str(CORPUS)))
    else:
        sys.path.append(str(HERE.parent / "pipelines"))
        from made_up_corpus import recipe_values, write_corpus

        recipe.write_text(toml(recipe_values(write_corpus(tmp_path_factory.mktemp("corpus"), documents=3000))))
    return Line(environment, recipe, folder)


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory, line: Line) -> dict[str, str]:
    """sha256 of every file of a run on this machine's own processes."""
    run_dir = tmp_path_factory.mktemp("local") / "run"
    ended = line.run(run_dir)
    assert ended.code == 0, ended.said
    return digests(run_dir)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Iterator[WorkerPool]:
    with worker_pool(tmp_path_factory.mktemp("pool"), environment) as pool:
        yield pool


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with spark_cluster(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def flink_in_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    with flink_mini(tmp_path_factory.mktemp("flink-mini")) as flink:
        yield flink


@pytest.fixture(scope="session")
def flink_on_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkSession]:
    with flink_session(tmp_path_factory.mktemp("flink-session")) as flink:
        yield flink


def toml(values: dict) -> str:
    """A recipe's values as TOML: JSON's numbers, strings, lists are TOML's; tables are written inline."""
    return "".join(f"{key} = {_inline(value)}\n" for key, value in values.items())


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(each) for each in value) + "]"
    return json.dumps(value)

"""Dataflow, as far as it goes without an account: every stage's job is built and checked by Dataflow's own runner, and not submitted."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_corpus import recipe_values
from run_the_line import QUIET

from contracts.errors import NotAwaited
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.signatures import signatures
from pipelines.survey import survey
from pipelines.tokenizer import tokenizer

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="apache-beam[gcp] is not installed: `make test-engines` runs these")

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "dataflow"

OPTIONS = (
    "--runner=DataflowRunner",
    "--dry_run=True",
    "--no_auth",
    "--project=some-project",
    "--region=europe-west4",
    "--job_name=spanmill",
    "--temp_location=gs://some-bucket/tmp",
    "--staging_location=gs://some-bucket/staging",
    "--sdk_container_image=europe-west4-docker.pkg.dev/some-project/images/spanmill",
)

LATER: dict[str, Callable] = {"signatures": signatures, "dedup": dedup, "tokenizer": tokenizer, "shard": shard}


def make(stage: str, recipe: Recipe, run_dir: Path, made: Path) -> None:
    """Asks Dataflow for a stage, those before it being there."""
    engine = Engine(OPTIONS, QUIET)
    if stage == "survey":
        survey(recipe, str(run_dir), engine)
    elif stage == "curate":
        shutil.copytree(made / "survey", run_dir / "survey")
        curate(recipe, str(run_dir), engine)
    else:
        LATER[stage](recipe, str(run_dir), str(made), engine)


@pytest.fixture(autouse=True)
def _no_metadata_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.parametrize("stage", ["survey", "curate", *LATER])
def test_a_dry_run_builds_and_checks_the_job(made: Path, recipe: Recipe, tmp_path: Path, stage: str) -> None:
    with pytest.raises(NotAwaited, match=rf"^{stage}: a graph of \d+ transforms, [\d,]+ bytes, was built and checked for") as found:
        make(stage, recipe, tmp_path, made)
    size = int(re.search(r"([\d,]+) bytes", str(found.value))[1].replace(",", ""))  # type: ignore[index]
    assert size < 1_000_000, "Dataflow refuses jobs of 10 MB and more"
    assert found.value.exit_code == 0


def test_the_template_asks_for_options_that_there_are(made: Path, corpus: Path, tmp_path: Path) -> None:
    """Each parameter given as the launcher would; a dry run instead of a submission."""
    parameters = [each["name"] for each in json.loads((DEPLOY / "metadata.json").read_text())["parameters"]]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(recipe_values(corpus)))
    toml = tmp_path / "recipe.toml"
    toml.write_text("seed = 0\n")
    values = {
        "stage": "dedup",
        "config": str(toml),
        "output": str(tmp_path / "run"),
        "input": str(made),
        "set": "dedup.threshold=0.8",
    }
    values["sdk_container_image"] = "europe-west4-docker.pkg.dev/some-project/images/spanmill"
    assert sorted(parameters) == sorted(values)
    arguments = [f"--{name}={value}" for name, value in values.items()] + list(OPTIONS[:-1])
    command = [sys.executable, str(DEPLOY / "launch.py"), *arguments]
    made_by = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert made_by.returncode == 0, made_by.stderr
    assert "dedup: a graph of" in made_by.stdout


def test_the_launcher_refuses_a_stage_that_is_none() -> None:
    spec = importlib.util.spec_from_file_location("launch", DEPLOY / "launch.py")
    assert spec is not None
    assert spec.loader is not None
    launch = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch)
    assert launch.command(["--stage=curate", "--output=gs://b/r"]) == ["curate", "--output=gs://b/r", "--no-wait"]
    with pytest.raises(SystemExit, match=r"must be one of survey, curate.*it is train"):
        launch.command(["--stage=train"])

"""What is known of the inputs is not asked for twice, and never kept when they change."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from run_the_line import QUIET

from contracts.errors import ConfigError, EngineError, InputError
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.sources.inputs import survey_file
from pipelines.sources.jsonl import Jsonl
from pipelines.survey import survey


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are surveyed from now on."""
    seen: list[str] = []
    inner = Jsonl.survey

    def noted(self: Jsonl, path: str):  # type: ignore[no-untyped-def]
        seen.append(os.path.basename(path))
        return inner(self, path)

    monkeypatch.setattr(Jsonl, "survey", noted)
    return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": name * 50}) + "\n")
    return folder


def recipe(folder: Path, **settings: object) -> Recipe:
    source = {"name": "s", "type": "jsonl", "path": str(folder), "license_policy": "keep_unknown"} | settings
    return Recipe(source=[source])


def test_what_is_unchanged_is_not_read_again(
    folder: Path, tmp_path: Path, read: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    first = survey(recipe(folder), run, Engine(("--direct_running_mode=in_memory",), QUIET))
    assert sorted(read) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    read.clear()
    assert survey(recipe(folder), run, Engine(("--runner=NoSuchRunner",), QUIET)) == first
    (folder / "b.jsonl").write_text(json.dumps({"text": "B" * 50}) + "\n")  # as long as before
    (folder / "d.jsonl").write_text(json.dumps({"text": "d" * 50}) + "\n")
    (folder / "c.jsonl").unlink()
    again = survey(recipe(folder), run, Engine(("--direct_running_mode=in_memory",), Reporter()))
    assert sorted(read) == ["b.jsonl", "d.jsonl"]
    assert "3 inputs" in capsys.readouterr().err
    fresh = survey(recipe(folder), str(tmp_path / "fresh"), Engine(("--direct_running_mode=in_memory",), QUIET))
    assert again == fresh
    assert again.digest != first.digest


def test_other_settings_of_a_source_make_it_new(folder: Path, tmp_path: Path, read: list[str], engine: Engine) -> None:
    survey(recipe(folder), str(tmp_path / "run"), engine)
    read.clear()
    survey(recipe(folder, max_line_bytes=1000), str(tmp_path / "run"), engine)
    assert sorted(read) == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_touched_target_of_a_link_is_read_again(folder: Path, tmp_path: Path, read: list[str], engine: Engine) -> None:
    (tmp_path / "target").write_text(json.dumps({"text": "x" * 50}) + "\n")
    (folder / "link.jsonl").symlink_to(tmp_path / "target")
    survey(recipe(folder), str(tmp_path / "run"), engine)
    read.clear()
    (tmp_path / "target").write_text(json.dumps({"text": "y" * 50}) + "\n")
    survey(recipe(folder), str(tmp_path / "run"), engine)
    assert read == ["link.jsonl"]


def test_a_file_that_cannot_be_read_is_tried_again(folder: Path, tmp_path: Path, engine: Engine) -> None:
    (folder / "e.jsonl").symlink_to(tmp_path / "nothing")
    plan = survey(recipe(folder), str(tmp_path / "run"), engine)
    assert [bool(each.unreadable) for _, each in plan.inputs].count(True) == 1
    (tmp_path / "nothing").write_text(json.dumps({"text": "here now"}) + "\n")
    plan = survey(recipe(folder), str(tmp_path / "run"), engine)
    assert not any(each.unreadable for _, each in plan.inputs)


def test_a_name_that_is_not_utf8_does_not_stop_the_survey(folder: Path, tmp_path: Path, engine: Engine) -> None:
    with open(os.fsencode(str(folder)) + b"/\xff.jsonl", "wb") as file:
        file.write(b'{"text": "lost"}\n')
    plan = survey(recipe(folder), str(tmp_path / "run"), engine)
    (bad,) = [each for _, each in plan.inputs if each.unreadable]
    assert "not valid UTF-8" in bad.unreadable


def test_the_table_of_inputs_tells_what_was_found(folder: Path, tmp_path: Path, engine: Engine) -> None:
    survey(recipe(folder), str(tmp_path / "run"), engine)
    table = pq.read_table(tmp_path / "run" / "survey" / "inputs.parquet").to_pylist()
    assert [os.path.basename(row["path"]) for row in table] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert all(row["size"] == (folder / os.path.basename(row["path"])).stat().st_size for row in table)


def test_a_recipe_without_sources_is_refused(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"names no source.*\[\[source\]\]"):
        survey(Recipe(), str(tmp_path / "run"), engine)


def test_an_interrupted_survey_of_a_grown_corpus_loses_nothing(
    folder: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its items and before its commit; what was known before must still be known."""
    run = str(tmp_path / "run")
    survey(recipe(folder), run, engine)
    (folder / "d.jsonl").write_text(json.dumps({"text": "d" * 50}) + "\n")

    def crash(self: object, number: int) -> None:
        raise InputError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.survey.CommitSurvey.__call__", crash)
        with pytest.raises(InputError, match="stopped"):
            survey(recipe(folder), run, engine)
    plan = survey(recipe(folder), run, engine)
    assert len(plan.inputs) == 4
    assert plan == survey(recipe(folder), str(tmp_path / "fresh"), engine)


def test_what_could_not_be_read_is_asked_for_again_when_it_was_mended(
    folder: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No listing tells that: only the rights of a folder changed, or a disk came back."""
    inner = Jsonl.survey
    with monkeypatch.context() as patched:
        patched.setattr(Jsonl, "survey", lambda self, path: replace(inner(self, path), unreadable="the disk is away"))
        assert all(each.unreadable for _, each in survey(recipe(folder), str(tmp_path / "run"), engine).inputs)
    assert not any(each.unreadable for _, each in survey(recipe(folder), str(tmp_path / "run"), engine).inputs)


def test_a_worker_that_does_not_find_what_was_listed_stops_the_run(
    folder: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jsonl, "survey", lambda self, path: survey_file(path + ".elsewhere"))
    with pytest.raises(InputError, match=r"does not find the input .*a\.jsonl', which the submitter listed.*all workers see"):
        survey(recipe(folder), str(tmp_path / "run"), engine)


def test_a_dry_run_and_a_wrong_engine_leave_a_finished_stage_alone(folder: Path, tmp_path: Path, engine: Engine) -> None:
    run = tmp_path / "run"
    survey(recipe(folder), str(run), engine)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (folder / "d.jsonl").write_text(json.dumps({"text": "d" * 50}) + "\n")
    for options in (("--runner=NoSuchRunner",), ("--runner=SparkRunner", "--job_endpoint=127.0.0.1:9")):
        with pytest.raises((ConfigError, EngineError)):
            survey(recipe(folder), str(run), Engine(options, QUIET))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

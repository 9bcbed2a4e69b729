"""The registry and what its settings refuse."""

from __future__ import annotations

import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.sources import SOURCES, SourceSettings, open_source
from pipelines.sources.inputs import list_files, survey_file

TABLES = TypeAdapter(list[SourceSettings])


def table(kind: str, **values: object) -> dict[str, object]:
    path = {} if kind == "python_environment" else {"path": "/nowhere"}
    return {"type": kind, "name": "a-name_1", **path, **values}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_table_selects_its_source(kind: str) -> None:
    (settings,) = TABLES.validate_python([table(kind)])
    assert type(settings) is SOURCES[kind]
    source = pickle.loads(pickle.dumps(open_source(settings)))
    assert source == open_source(settings)
    assert source.name == "a-name_1"


@pytest.mark.parametrize("kind", SOURCES)
def test_every_setting_is_documented(kind: str) -> None:
    undocumented = [name for name, field in SOURCES[kind].model_fields.items() if not field.description]
    assert undocumented == []


@pytest.mark.parametrize("kind", SOURCES)
def test_only_starcoderdata_may_go_without_licences(kind: str) -> None:
    policy = SOURCES[kind].model_fields["license_policy"].default
    assert policy == ("permissive_by_construction" if kind == "starcoderdata" else "require")


@pytest.mark.parametrize("name", ["", "Code", "a/b", "..", "a b", "é", "x" * 65])
def test_names_are_safe_as_folders(name: str) -> None:
    with pytest.raises(ValidationError):
        TABLES.validate_python([table("jsonl", name=name)])


@pytest.mark.parametrize(
    "values", [{"type": "jsonx"}, {"license_policy": "yes"}, {"max_bytes": 0}, {"unknown": 1}, {"kind": "poem"}]
)
def test_other_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TABLES.validate_python([{**table("jsonl"), **values}])


def test_globs_folders_and_files_are_listed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl", "_SUCCESS", ".cache/d.jsonl", "_old/e.jsonl", "notes.txt", "[x].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")

    def names(path: str) -> list[str]:
        return [each.removeprefix(f"{tmp_path}/") for each in list_files(path, (".jsonl",))]

    assert names(str(tmp_path)) == ["[x].jsonl", "a.jsonl", "b.jsonl", "sub/c.jsonl"]
    assert names(f"{tmp_path}/?.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(f"{tmp_path}/notes.txt") == ["notes.txt"]
    assert names(f"{tmp_path}/[x].jsonl") == ["[x].jsonl"]


def test_what_the_network_fails_at_is_raised_for_the_runner_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise ConnectionResetError("peer")

    monkeypatch.setattr("pipelines.sources.inputs.open_input", refuse)
    with pytest.raises(ConnectionResetError):
        survey_file("s3://bucket/key")

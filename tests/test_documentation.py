"""README and docs say what is: commands, recipes, pages and settings that they name are there."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from beam_runner import cli
from pipelines.curate import curate
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.settings_reference import as_markdown, sections
from trainer.config import TrainSettings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def commands(page: Path) -> list[list[str]]:
    """Arguments of each `spanmill …` of a page, comments left out."""
    lines = [line for text in blocks(page, "") for line in text.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.strip(), comments=True)[1:] for line in lines if line.strip().startswith("spanmill ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_are_there(page: Path) -> None:
    for name, *arguments in commands(page):
        command = cli.commands[name]
        known = {option for each in command.params for option in each.opts}
        given = [each.partition("=")[0] for each in arguments if each.startswith("--")]
        beams = command.context_settings.get("ignore_unknown_options")
        assert beams or set(given) <= known, f"{page.name}: {name} {arguments}"
        if not beams:
            command.make_parser(click.Context(command)).parse_args(list(arguments))


def test_readme_names_files_and_runs_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\b(?:configs|docs|examples)/[\w/.]*\w", text):
        assert (ROOT / path).exists(), path
    assert "source .venv/bin/activate" in text
    made, asked = {"runs/quickstart"}, set()
    for arguments in commands(ROOT / "README.md"):
        pairs = dict(pairwise(arguments))
        asked |= {each.split("/shard/")[0] for each in arguments if each.startswith("runs/") and each != pairs.get("--output")}
        made |= {pairs["--output"]} if "--output" in pairs else set()
    assert asked <= made


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == as_markdown(sections(TrainSettings)), "run: make docs/settings.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_are_valid(page: Path) -> None:
    for text in blocks(page, "toml"):
        values = tomllib.loads(text)
        values.pop("train", None)
        Recipe.model_validate(
            values | {"source": [{"type": "tree", "name": "unnamed", "path": "/"} | each for each in source(values)]}
        )


def source(values: dict[str, Any]) -> list[dict[str, Any]]:
    found = values.get("source", [])
    return found if isinstance(found, list) else [found]


ROWS = {
    "answers": [{"text": "an answer", "license": "CC-BY-4.0"}, {"text": "another"}],
    "issues": [{"text": "<issue_start>Title: a\nusername_0: b<issue_comment>username_1: c"}],
    "conversations": [{"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}],
}


def test_what_the_sources_of_the_docs_read_is_kept(tmp_path: Path) -> None:
    recipes = [tomllib.loads(text) for text in blocks(ROOT / "docs" / "sources.md", "toml")]
    sources = [each for values in recipes for each in values["source"]]
    assert {each["name"] for each in sources} == set(ROWS)
    for each in sources:
        each["path"] = str(tmp_path / f"{each['name']}.jsonl")
        Path(each["path"]).write_text("".join(json.dumps(row) + "\n" for row in ROWS[each["name"]]))
    engine = Engine(("--direct_running_mode=in_memory",), Reporter(quiet=True))
    made = curate(Recipe(source=sources), str(tmp_path / "run"), engine)
    assert made.totals["kept"] == made.totals["in"] == 4

from __future__ import annotations

import pytest

from contracts.errors import ConfigError
from pipelines.recipe import Recipe
from pipelines.settings_reference import as_markdown, as_text, find, sections
from pipelines.sources import SOURCES
from trainer.config import TrainSettings

ALL = sections(TrainSettings)


def test_every_section_and_every_setting_is_there() -> None:
    names = [section.name for section in ALL]
    assert len(names) == len(set(names))
    assert {f"source:{kind}" for kind in SOURCES} <= set(names)
    assert {"", "source:jsonl.fields", "filters.license", "dedup.reference", "shard.fim", "storage", "train"} <= set(names)
    tables = {name.split(".")[0].split(":")[0] for name in names if name}
    assert tables | {each.name for each in ALL[0].settings} == set(Recipe.model_fields)
    assert {each.name for section in ALL if section.name == "train" for each in section.settings} == set(TrainSettings.model_fields)


def test_every_setting_says_what_it_is() -> None:
    for section in ALL:
        for each in section.settings:
            assert each.words.endswith((".", ".)")), f"{section.name}.{each.name}: {each.words}"
            assert each.allowed, f"{section.name}.{each.name}"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "shard.context_length",
            "context_length = 2048\n      whole number, at least 16, at most 1_048_576\n      Tokens a model sees",
        ),
        ("tokenizer.layout", 'layout = "codegen25"\n      "codegen25" or "starcoder"\n'),
        ("shard.objectives_of", "objectives_of = {}\n      table of tables of numbers\n"),
        ("tokenizer.masks", "masks = unset\n      whole number, at least 1, at most 100_000\n"),
        ("source:tree.path", "path  (must be set)\n      string, not empty\n"),
        ("train.betas", "betas = [0.9, 0.95]\n      2 numbers\n"),
        ("filters.license.allow", 'allow = ["0BSD", … 160 in all]\n      list of strings\n'),
    ],
)
def test_a_setting_in_words(path: str, words: str) -> None:
    assert words in as_text(find(ALL, path))


def test_a_section_comes_with_those_below_it() -> None:
    assert [each.name for each in find(ALL, "shard")] == ["shard", "shard.span_corruption", "shard.fim", "shard.metadata"]
    assert [each.name for each in find(ALL, "[shard.fim]")] == ["shard.fim"]
    assert len(find(ALL, "source")) > len(SOURCES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tokeniser", "Did you mean 'tokenizer'?"),
        ("shard.contxt_length", "Did you mean 'shard.context_length'?"),
        ("xyz", "'xyz' in a recipe. Sections: source:jsonl, "),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(ALL, name)
    assert words in str(caught.value)


def test_markdown_shows_tokens_as_they_are() -> None:
    text = as_markdown(find(ALL, "shard.fim.sentinels"))
    assert "## `[shard.fim]`" in text
    assert r"\<fim_prefix>" in text

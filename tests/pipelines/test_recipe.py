from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from pipelines.recipe import Recipe, load

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_recipe_in_configs_is_valid(path: Path) -> None:
    from contracts.settings import build
    from trainer.config import TrainSettings

    recipe = load(str(path), [])
    assert recipe.source
    build(TrainSettings, recipe.train, path.name)


def write(folder: Path, text: str) -> str:
    path = folder / "r.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1", r"unknown setting 'sed'\. Did you mean 'seed'\?"),
        ("[dedup]\ntreshold = 0.8", r"unknown setting 'dedup\.treshold'\. Did you mean 'dedup\.threshold'\?"),
        ("[dedup]\nthreshold = 1.5", r"'dedup\.threshold' = 1\.5: .*less than or equal to 1"),
        ("[dedup]\nthreshold = '0.7'", r"'dedup\.threshold' = '0\.7': .*number"),
        ("[shard]\ncontext_length = 16", r"context_length = 16 is too short for span_corruption\.max_spans = 16"),
        ("[shard.objectives]\ncasual = 1.0", r"objectives\.casual: unknown objective; known: causal, span_corruption"),
        ("[shard.objectives]\ncausal = -1.0", r"objectives\.causal = -1\.0: must be a number of 0 or more"),
        ("[tokenizer]\nvocab_size = 100", r"'tokenizer\.vocab_size' = 100: .*512"),
        ("[[source]]\ntype = 'jsonnl'\nname = 'a'", r"jsonnl.*jsonl"),
        ("[[source]]\ntype = 'tree'\nname = '../a'\npath = 'x'", r"name' = '\.\./a'"),
        ("[[source]]\ntype = 'tree'\nname = 'a'", r"path' is missing"),
        ("[[source]]\ntype='tree'\nname='a'\npath='x'\n[[source]]\ntype='tree'\nname='a'\npath='y'", r"two sources are named 'a'"),
        (
            "[tokenizer.weights]\nb = 1.0\n[[source]]\ntype='tree'\nname='a'\npath='x'",
            r"weights\.b: there is no such source; known: a",
        ),
        ("seed = ", r"not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(write(tmp_path, text), [])
    assert "r.toml" in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)threshold.*sed"):
        load(write(tmp_path, "sed = 1\n[dedup]\nthreshold = 2.0"), [])


def test_a_missing_recipe_says_where_to_start() -> None:
    with pytest.raises(ConfigError, match=r"no recipe 'nowhere\.toml'.*configs/"):
        load("nowhere.toml", [])


def test_settings_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 1\n[[source]]\ntype='tree'\nname='a'\npath='x'")
    recipe = load(
        path, ["seed=2", "dedup.threshold=0.8", "source.0.path=elsewhere", "shard.objectives={causal = 1.0}", "train.steps=5"]
    )
    assert recipe.seed == 2
    assert recipe.dedup.threshold == 0.8
    assert recipe.source[0].path == str(Path("elsewhere").absolute()), "workers may run in another folder"
    assert recipe.shard.objectives == {"causal": 1.0}
    assert recipe.train == {"steps": 5}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "must be section.key=value"),
        ("source.3.path=x", "must be a number below 1"),
        ("seed.x=1", "has no settings below it"),
    ],
)
def test_overrides_that_cannot_be(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(write(tmp_path, "seed=1\n[[source]]\ntype='tree'\nname='a'\npath='x'"), [override])


def test_every_setting_is_documented_below_itself() -> None:
    from pydantic import BaseModel

    from pipelines.sources import SOURCES
    from trainer.config import TrainSettings

    def check(model: type[BaseModel], where: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():
            inner = field.annotation
            if not field.description and name != "type":
                missing.append(f"{where}.{name}")
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                missing += check(inner, f"{where}.{name}")
        return missing

    kinds = [Recipe, TrainSettings, *SOURCES.values()]
    assert [name for kind in kinds for name in check(kind, kind.__name__)] == []


def test_without_a_recipe_the_quickstart_is_run() -> None:
    quickstart = next(path for path in CONFIGS if path.name == "quickstart.toml")
    assert load("", []) == load(str(quickstart), [])

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


TREE = "type = 'tree'\nname = 'a'\npath = 'x'\n"
REFERENCE = "[[dedup.reference]]\nname = 'old'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1", r"unknown setting 'sed'\. Did you mean 'seed'\?"),
        ("[dedup]\ntreshold = 0.8", r"unknown setting 'dedup\.treshold'\. Did you mean 'dedup\.threshold'\?"),
        ("[dedup]\nthreshold = 1.5", r"'dedup\.threshold' = 1\.5: .*less than or equal to 1"),
        ("[dedup]\nthreshold = '0.7'", r"'dedup\.threshold' = '0\.7': .*number"),
        ("[shard]\ncontext_length = 16", r"context_length = 16 is too short for the objective span_corruption"),
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
        (REFERENCE, r"reference\.0: reference 'old' has neither run nor source: give one of them, run = \"FOLDER\" .*\[dedup\.ref"),
        (f"{REFERENCE}run = 'r'\n[dedup.reference.source]\n{TREE}", r"reference 'old' has both run and source: give one of them"),
        (f"{REFERENCE}run = 'r'\n{REFERENCE}run = 'q'", r"reference: two are named 'old'; each needs a name of its own"),
        ("[[dedup.reference]]\nname = 'a/b'\nrun = 'r'", r"'dedup\.reference\.0\.name' = 'a/b': .*\[A-Za-z0-9_-\]\{1,64\}"),
        ("[[dedup.reference]]\nname = ''\nrun = 'r'", r"'dedup\.reference\.0\.name' = ''"),
        ("[[dedup.reference]]\nrun = 'r'", r"'dedup\.reference\.0\.name' is missing"),
        (f"{REFERENCE}rum = 'r'", r"Did you mean 'dedup\.reference\.0\.run'\?"),
        (f"{REFERENCE}[dedup.reference.source]\ntype='tree'\nname='a'", r"'dedup\.reference\.0\.source\.path' is missing"),
        (f"{REFERENCE}[dedup.reference.source]\ntype='treee'\nname='a'", r"reference\.0\.source'.*'treee'.*'tree'"),
        ("[dedup.reference]\nname = 'old'", r"write \[\[dedup\.reference\]\] instead of \[dedup\.reference\]"),
        ("[dedup]\nreference = ['r']", r"'dedup\.reference\.0' = 'r': must be a table"),
        ("[dedup]\nexchange = 3", r"'dedup\.exchange' = 3: must be a table"),
        ("[dedup.exchange]\nbytes = 1000", r"'dedup\.exchange\.bytes' = 1000: .*greater than or equal to 1048576"),
        ("[dedup.exchange]\nbytes = '1GB'", r"'dedup\.exchange\.bytes' = '1GB': .*integer"),
        ("[dedup.exchange]\nbyte = 2_000_000", r"Did you mean 'dedup\.exchange\.bytes'\?"),
        ("[dedup.exchange]\nbands = 0", r"'dedup\.exchange\.bands' = 0: .*greater than or equal to 1"),
        ("[dedup.exchange]\ncomponents = 'star'", r"components' = 'star': .*'auto', 'scipy' or 'stars'"),
        ("[dedup.exchange]\nstar_rounds = 1", r"star_rounds' = 1: .*greater than or equal to 2"),
        ("[dedup.exchange]\nstar_rounds = 101", r"star_rounds' = 101: .*less than or equal to 100"),
        (f"[dedup]\nsource_order = ['b']\n[[source]]\n{TREE}", r"toml: dedup\.source_order: there is no source 'b'; known: a\.$"),
        ("seed = ", r"not valid TOML"),
        (
            "[tokenizer]\nlayout = 'starcoder'",
            r"tokenizer\.masks is not set.*'starcoder' has no <mask_i>.*\(span_corruption\): set tokenizer\.masks = 32, choose",
        ),
        (
            "[tokenizer]\nlayout = 'starcoder'\n[shard.objectives]\nchat = 1.0\nfim = 1.0\n"
            "[shard.fim]\nsentinels = 'codegen2'\nspm_rate = 0.0",
            r"\(fim and chat\): set tokenizer\.masks = 32",
        ),
        (
            "[tokenizer]\nlayout = 'starcoder'\n[shard.span_corruption]\nmax_spans = 100",
            r"set tokenizer\.masks = 100",
        ),
        (
            "[tokenizer]\nmasks = 8",
            r"span_corruption\.max_spans = 16, but the tokenizer will have 8 <mask_i>: set tokenizer\.masks = 16, or lower max_spans",
        ),
        (
            f"[[source]]\n{TREE}[shard.objectives]\nchat = 1.0",
            r"objectives\.chat = 1\.0 holds for the source 'a' too.*'tree'.*no marks.*\[shard\.objectives_of\.\"a\"\] causal = 1\.0",
        ),
        (
            "[[source]]\ntype = 'jsonl'\nname = 'a'\npath = 'x'\nkind = 'prose'\n"
            '[shard.objectives_of."a/english"]\nchat = 0.5\ncausal = 1.0',
            r"shard\.objectives_of\.\"a/english\"\.chat = 0\.5 holds .*kind 'prose'.*leave chat out there",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(write(tmp_path, text), [])
    assert "r.toml" in str(caught.value)


CHAT = "[[source]]\ntype = 'jsonl'\nname = 'talk'\npath = 'x'\nshape = 'chat'\n"


@pytest.mark.parametrize(
    "text",
    [
        "[tokenizer]\nlayout = 'starcoder'\nmasks = 32",
        "[tokenizer]\nlayout = 'starcoder'\n[shard.objectives]\ncausal = 1.0\nfim = 1.0",
        "[tokenizer]\nlayout = 'starcoder'\npath = 'tokenizer.json'",
        "[shard.objectives]\nchat = 1.0",
        f"[[source]]\n{TREE}{CHAT}[shard.objectives_of.talk]\nchat = 1.0",
        f"[[source]]\n{TREE}{CHAT}[shard.objectives]\nchat = 1.0\n[shard.objectives_of.a]\ncausal = 1.0\nchat = 0.0",
    ],
)
def test_objectives_that_vocabulary_and_sources_admit(tmp_path: Path, text: str) -> None:
    load(write(tmp_path, text), [])


def test_every_source_says_of_what_kind_it_is_or_never_holds_chats() -> None:
    from pipelines.recipe_fit import WITHOUT_CHATS
    from pipelines.sources import SOURCES

    assert {name for name, settings in SOURCES.items() if "kind" not in settings.model_fields} == WITHOUT_CHATS


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


def test_paths_of_sources_and_references_are_made_absolute(tmp_path: Path) -> None:
    """Workers may run in another folder."""
    text = (
        f"[[source]]\n{TREE}{REFERENCE}run = 'earlier/run'\n[[dedup.reference]]\nname = 'store'\nrun = 's3://bucket/run'\n"
        f"[[dedup.reference]]\nname = 'raw'\n[dedup.reference.source]\n{TREE}"
    )
    path = write(tmp_path, text)
    assert places(load(path, [])) == [absolute("x"), absolute("earlier/run"), "s3://bucket/run", absolute("x")]
    changed = load(path, ["dedup.reference.0.run=elsewhere", "dedup.reference.2.source.path=there"])
    assert places(changed) == [absolute("x"), absolute("elsewhere"), "s3://bucket/run", absolute("there")]


def absolute(path: str) -> str:
    return str(Path(path).absolute())


def places(recipe: Recipe) -> list[str]:
    values = recipe.model_dump()
    return [source["path"] for source in values["source"]] + [
        each["run"] or each["source"]["path"] for each in values["dedup"]["reference"]
    ]


def test_a_source_may_be_ordered_that_a_recipe_without_sources_does_not_know(tmp_path: Path) -> None:
    """As recipes for `dedup --input` may have none."""
    assert load(write(tmp_path, "[dedup]\nsource_order = ['b']"), []).dedup.source_order == ["b"]


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ('shard.objectives_of."stdlib/python".causal=1', "stdlib/python"),
        ("shard.objectives_of.'stdlib/python'.causal = 1.0", "stdlib/python"),
        ("shard.objectives_of.stdlib/python.causal=1", "stdlib/python"),
        ('shard.objectives_of."stdlib/a.b=c".causal=1', "stdlib/a.b=c"),
        ('shard . objectives_of = {"stdlib/c++" = {causal = 1.0}}', "stdlib/c++"),
    ],
)
def test_names_on_the_command_line_are_quoted_as_in_toml(tmp_path: Path, override: str, name: str) -> None:
    path = write(tmp_path, "[[source]]\ntype='tree'\nname='stdlib'\npath='x'")
    assert load(path, [override]).shard.objectives_of == {name: {"causal": 1.0}}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("=1", "must be section.key=value"),
        ("a..b=1", "must be section.key=value"),
        ('shard.objectives_of."a.causal=1', "quoted as in TOML"),
        ("seed", "must be section.key=value"),
        ("#x=1", "unknown setting '#x'"),
        ("source.².path=x", "'²' must be a number below 1"),
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

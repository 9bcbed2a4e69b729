"""The recipe: one TOML file that says what a run does."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any, Self

from pydantic import Field, model_validator

from contracts.errors import ConfigError
from contracts.schemas import HELD_OUT
from contracts.settings import Settings, build
from pipelines import overrides
from pipelines.dedup_settings import DedupStageSettings
from pipelines.filters import FilterSettings
from pipelines.recipe_fit import check_chats, check_vocabulary
from pipelines.sources import SourceSettings
from pipelines.storage import absolute, read_bytes
from pipelines.storage.options import StorageSettings
from sharding.config import ShardSettings
from tokenizer.config import TokenizerSettings


class Recipe(Settings):
    """All settings of a run; every section has defaults."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Everything random is keyed by it."""

    part_bytes: int = Field(default=32 * 2**20, ge=1_000)
    """Text that a worker reads at a time, in bytes. Parts should be many more than workers; each costs a worker about 6 times its size."""

    source: list[SourceSettings] = Field(default_factory=list)
    """Where documents come from: one `[[source]]` table each."""

    max_quarantined: float = Field(default=0.05, ge=0, le=1)
    """Largest share of a corpus that may be unreadable. Beyond it the curate stage is not committed: something is wrong with the corpus."""

    filters: FilterSettings = Field(default_factory=FilterSettings)
    """What is kept."""

    dedup: DedupStageSettings = Field(default_factory=DedupStageSettings)
    """What counts as a duplicate."""

    tokenizer: TokenizerSettings = Field(default_factory=TokenizerSettings)
    """How the vocabulary is made."""

    shard: ShardSettings = Field(default_factory=ShardSettings)
    """How documents become rows."""

    storage: StorageSettings = Field(default_factory=StorageSettings)
    """Options of file systems by protocol, such as `[storage.s3] endpoint_url = "…"`; part of no stage's identity or manifest."""

    train: dict[str, Any] = Field(default_factory=dict)
    """Settings of the trainer; checked by `trainer.config`, the only room that knows them."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [source.name for source in self.source]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"source: two sources are named {name!r}; each needs a name of its own")
        for name in self.dedup.source_order:
            if names and name not in names:
                raise ValueError(f"dedup.source_order: there is no source {name!r}; known: {', '.join(names)}")
        for name in self.tokenizer.weights:
            if names and name.partition("/")[0] not in names:
                raise ValueError(f"tokenizer.weights.{name}: there is no such source; known: {', '.join(names)}")
        for name in self.shard.objectives_of:
            source, slash, language = name.partition("/")
            if not source or (slash and not language):
                raise ValueError(
                    f'shard.objectives_of."{name}" names no source or language: "SOURCE" or "SOURCE/LANGUAGE" is allowed'
                )
            if names and source not in names:
                raise ValueError(f"shard.objectives_of.{name}: there is no such source; known: {', '.join(names)}")
        if HELD_OUT in names:
            raise ValueError(f"source: the name {HELD_OUT!r} is reserved for the shards of documents that are held out")
        return self

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        check_vocabulary(self.shard, self.tokenizer)
        check_chats(self.shard, self.source)
        return self


def load(path: str, changes: list[str]) -> Recipe:
    """The recipe in a file or at a URL, with changes as `section.key=value` (pipelines/overrides.py).

    An empty `path` gives the recipe that Spanmill brings along, configs/quickstart.toml: a small one, on the Python packages that every
    machine has. Raises ConfigError naming the file and the setting.
    """
    try:
        content = read_bytes(path) if path else (files("configs") / "quickstart.toml").read_bytes()
        values = tomllib.loads(content.decode())
    except FileNotFoundError:
        raise ConfigError(f"There is no recipe {path!r}. Recipes to start from are in the folder configs/.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"The recipe {path!r} cannot be read: {error.strerror or error}") from None
    for change in changes:
        overrides.apply(values, change)
    _from_the_root(values)
    return build(Recipe, values, path or "the built-in recipe")


def _from_the_root(values: dict[str, Any]) -> None:
    """Makes paths of sources and references absolute."""
    references = _tables(values.get("dedup"), "reference")
    sources = _tables(values, "source") + [each["source"] for each in references if isinstance(each.get("source"), dict)]
    for table, name in [*((each, "path") for each in sources), *((each, "run") for each in references)]:
        if isinstance(table.get(name), str) and table[name]:
            table[name] = absolute(table[name])


def _tables(values: Any, name: str) -> list[dict[str, Any]]:
    """What of `[[name]]` are tables; what is wrong with the rest is told later."""
    found = values.get(name, []) if isinstance(values, dict) else []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

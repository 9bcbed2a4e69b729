"""Where documents come from. A new source is one file here and one line in SOURCES."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from pipelines.sources.base import Source
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.parquet import ParquetSettings
from pipelines.sources.python_environment import PythonEnvironmentSettings
from pipelines.sources.settings import SourceBase
from pipelines.sources.starcoderdata import StarCoderDataSettings
from pipelines.sources.the_stack import TheStackSettings
from pipelines.sources.tree import TreeSettings

SOURCES: Final[dict[str, type[SourceBase]]] = {
    "jsonl": JsonlSettings,
    "parquet": ParquetSettings,
    "python_environment": PythonEnvironmentSettings,
    "starcoderdata": StarCoderDataSettings,
    "the_stack": TheStackSettings,
    "tree": TreeSettings,
}
"""Settings by the `type` that selects them."""

if TYPE_CHECKING:
    SourceSettings = SourceBase
else:
    SourceSettings = Annotated[reduce(or_, SOURCES.values()), Field(discriminator="type")]
    """One `[[source]]` table: the class in SOURCES that its `type` names."""


def open_source(settings: SourceSettings) -> Source:
    """The source that the settings describe; nothing is read yet."""
    return settings.open()

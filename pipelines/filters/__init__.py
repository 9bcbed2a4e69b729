"""What is kept, and why not the rest. A new filter is one file here and one line in FILTERS.

A filter class has a `Settings` class, which becomes the table `[filters.NAME]`, and is built from its settings and all sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, create_model

from contracts.settings import Settings
from pipelines.filters.base import Filter
from pipelines.filters.basic import BasicFilter
from pipelines.filters.license import LicenseFilter
from pipelines.filters.size import SizeFilter
from pipelines.sources.settings import SourceBase

FILTERS: Final[dict[str, Any]] = {
    "size": SizeFilter,
    "license": LicenseFilter,
    "basic": BasicFilter,
}
"""Filters in the order they run, the cheap ones first."""

if TYPE_CHECKING:
    FilterSettings = Settings
else:
    _TABLES = {
        name: (kind.Settings, Field(default_factory=kind.Settings, description=kind.__doc__)) for name, kind in FILTERS.items()
    }
    _WORDS = "`[filters]`: a table for each filter in FILTERS."
    FilterSettings = create_model("FilterSettings", __base__=Settings, __module__=__name__, __doc__=_WORDS, **_TABLES)


def build_filters(settings: FilterSettings, sources: Sequence[SourceBase]) -> list[tuple[str, Filter]]:
    """The enabled filters with their names, in the order they run."""
    tables = {name: getattr(settings, name) for name in FILTERS}
    return [(name, kind(tables[name], sources)) for name, kind in FILTERS.items() if tables[name].enabled]

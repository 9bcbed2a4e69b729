"""The registry: settings made from it, filters built from them."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from pipelines.filters import FILTERS, FilterSettings, build_filters
from pipelines.sources.jsonl import JsonlSettings

SOURCES = [JsonlSettings(name="code", path="/nowhere")]


def test_every_filter_has_a_table_and_is_on_by_default() -> None:
    assert list(FilterSettings.model_fields) == list(FILTERS)
    assert [name for name, _ in build_filters(FilterSettings(), SOURCES)] == list(FILTERS)


def test_filters_can_be_switched_off() -> None:
    settings = FilterSettings.model_validate({"license": {"enabled": False}, "size": {"max_bytes": 5}})
    assert [name for name, _ in build_filters(settings, SOURCES)] == ["size", "basic"]


def test_every_setting_is_documented() -> None:
    tables = [FilterSettings, *(kind.Settings for kind in FILTERS.values())]
    assert [(table.__name__, name) for table in tables for name, field in table.model_fields.items() if not field.description] == []


def test_settings_travel_to_workers_and_into_manifests() -> None:
    settings = FilterSettings.model_validate({"basic": {"languages": {"go": {"max_line_length": 3}}}})
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert FilterSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize("values", [{"sise": {}}, {"size": {"min_byte": 1}}, {"size": {"max_bytes": "1"}}])
def test_what_is_not_known_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FilterSettings.model_validate(values)

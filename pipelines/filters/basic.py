"""StarCoder's rules on the shape of a source file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipelines.filters.base import Verdict
from pipelines.filters.basic_rules import BUILT_IN, Rules
from pipelines.filters.settings import FilterBase
from pipelines.filters.text_metrics import TextMetrics, text_metrics
from pipelines.filters.verdict import verdict
from pipelines.sources.settings import Kind, SourceBase

_XML_DECLARATION = "<?xml version="
_XML_CHARACTERS = 100


class BasicSettings(FilterBase):
    """Limits for every language without its own; 0 is no limit. Their sources are in pipelines/filters/basic_rules.py."""

    kinds: list[Kind] = ["code"]  # noqa: RUF012 - pydantic copies it
    """Kinds of documents that are checked."""

    max_line_length: int = Field(default=1000, ge=0)
    """Longest line, in characters. StarCoderData: 1000."""

    max_mean_line_length: float = Field(default=100.0, ge=0)
    """Mean of the lines' lengths, in characters. StarCoderData: 100."""

    min_alphanumeric: float = Field(default=0.25, ge=0, le=1)
    """Least share of letters and digits among the characters. StarCoderData: 0.25."""

    min_alphabetic: float = Field(default=0.0, ge=0, le=1)
    """Least share of letters among the characters; StarCoderData asks for it only in some languages."""

    min_characters: int = Field(default=0, ge=0)
    """Fewest characters; StarCoderData has such bounds only for JSON and YAML."""

    max_characters: int = Field(default=0, ge=0)
    """Most characters; as above."""

    drop_xml: bool = True
    """Whether a text with an XML declaration in its first 100 characters is dropped. StarCoderData: yes."""

    languages: dict[str, Rules] = Field(default_factory=dict)
    """Limits by language, for example `[filters.basic.languages.markdown]`, over the built-in ones."""

    def rules(self, language: str) -> dict[str, Any]:
        """Every limit for a language, resolved."""
        resolved = {name: getattr(self, name) for name in Rules.model_fields}
        for layer in (BUILT_IN.get(language), self.languages.get(language)):
            resolved |= layer.model_dump(exclude_none=True) if layer else {}
        return resolved


class BasicFilter:
    """Drops files that are minified, generated or data, going by lines and characters."""

    Settings = BasicSettings

    def __init__(self, settings: BasicSettings, sources: Sequence[SourceBase]) -> None:
        """`sources` are not looked at."""
        self._settings = settings

    def check(self, documents: pa.RecordBatch) -> Verdict:
        """See pipelines.filters.base.Filter. The first rule that fails, in the order below, gives the reason."""
        n = documents.num_rows
        checked = np.flatnonzero(pc.is_in(documents["kind"], pa.array(self._settings.kinds, pa.string())))
        reasons: dict[int, str] = {}
        if len(checked):
            part = documents if len(checked) == n else documents.take(pa.array(checked))
            for rows, reason in self._failures(part):
                for row in rows.tolist():
                    reasons.setdefault(int(checked[row]), reason(row))
        return verdict(n, reasons)

    def _failures(self, documents: pa.RecordBatch) -> Iterator[tuple[npt.NDArray[np.int64], Callable[[int], str]]]:
        """For each rule the rows that fail it, and words for one of them."""
        limits = self._limits(documents["language"])
        measured = _measured(text_metrics(documents["text"]))
        for rule, name, unit in _MOST:
            value, limit = measured[name], limits[rule]
            yield np.flatnonzero((limit > 0) & (value > limit)), _words(rule, unit, value, limit, "at most")
        for rule, name, unit in _LEAST:
            value, limit = measured[name], limits[rule]
            yield np.flatnonzero(value < limit), _words(rule, unit, value, limit, "at least")
        xml = pc.match_substring(pc.utf8_slice_codeunits(documents["text"], 0, _XML_CHARACTERS), _XML_DECLARATION)
        words = f"an XML declaration within the first {_XML_CHARACTERS} characters (filters.basic.drop_xml)"
        yield np.flatnonzero(np.asarray(xml) & (limits["drop_xml"] > 0)), lambda _: words

    def _limits(self, languages: pa.StringArray) -> dict[str, npt.NDArray[np.float64]]:
        """float64[n] for each rule."""
        coded = languages.dictionary_encode()
        rules = [self._settings.rules(language) for language in coded.dictionary.to_pylist()]
        codes = np.asarray(coded.indices)
        return {name: np.array([float(each[name]) for each in rules], np.float64)[codes] for name in Rules.model_fields}


_MOST = (
    ("max_line_length", "longest_line", "the longest line has {} characters"),
    ("max_mean_line_length", "mean_line", "lines have {} characters on average"),
    ("max_characters", "characters", "the text has {} characters"),
)
"""Rule, what it limits, and words for it."""

_LEAST = (
    ("min_characters", "characters", "the text has {} characters"),
    ("min_alphanumeric", "alphanumeric", "the share of letters and digits is {}"),
    ("min_alphabetic", "alphabetic", "the share of letters is {}"),
)


def _measured(metrics: TextMetrics) -> dict[str, npt.NDArray[np.float64]]:
    """float64[n] for each limited quantity; the shares and the mean of an empty text are 0."""
    characters = np.maximum(metrics.characters, 1)
    return {
        "longest_line": metrics.longest_line.astype(np.float64),
        "mean_line": metrics.line_characters / np.maximum(metrics.lines, 1),
        "characters": metrics.characters.astype(np.float64),
        "alphanumeric": metrics.alphanumeric / characters,
        "alphabetic": metrics.alphabetic / characters,
    }


def _words(
    rule: str, unit: str, value: npt.NDArray[np.float64], limit: npt.NDArray[np.float64], bound: str
) -> Callable[[int], str]:
    return lambda row: f"{unit.format(_figure(value[row]))}; {bound} {_figure(limit[row])} wanted (filters.basic.{rule})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"

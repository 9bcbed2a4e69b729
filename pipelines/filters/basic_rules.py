"""Limits of the `basic` filter: StarCoderData's, by language.

Source: bigcode's preprocessing of StarCoderData and the table of its visual inspection (305 rows by language and extension). The three
general limits hold for most rows; the others are below. Rows differ by extension there, by language here, so .asm's "Custom!" and the
16 rows with a lower alphabetic share have no counterpart. HTML's rule about visible text needs an HTML parser and is left out.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from contracts.settings import Settings


class Rules(Settings):
    """Limits for one language; what is not set is taken from the built-in ones for it, then from `[filters.basic]`. 0 is no limit."""

    max_line_length: int | None = Field(default=None, ge=0)
    """Longest line, in characters."""

    max_mean_line_length: float | None = Field(default=None, ge=0)
    """Mean of the lines' lengths, in characters."""

    min_alphanumeric: float | None = Field(default=None, ge=0, le=1)
    """Least share of letters and digits among the characters."""

    min_alphabetic: float | None = Field(default=None, ge=0, le=1)
    """Least share of letters among the characters."""

    min_characters: int | None = Field(default=None, ge=0)
    """Fewest characters."""

    max_characters: int | None = Field(default=None, ge=0)
    """Most characters."""

    drop_xml: bool | None = None
    """Whether a text with an XML declaration in its first 100 characters is dropped: XML under another name is mostly generated data."""


_NO_LINE_LIMIT: Final = (
    "bluespec", "cmake", "json", "markdown", "mathematica", "matlab", "r", "restructuredtext", "rmarkdown", "sql", "stata", "tex",
)  # fmt: skip
"""Languages whose rows say "remove" for long lines, which also switches off the limit on the mean."""

_NO_LINES: Final = {"max_line_length": 0, "max_mean_line_length": 0.0}

_SMALL_DATA: Final = {"min_alphabetic": 0.5, "min_characters": 100, "max_characters": 5000}
"""JSON and YAML: the code's defaults; the paper gives 50 to 5,000 characters."""

BUILT_IN: Final[dict[str, Rules]] = {
    **{language: Rules.model_validate(_NO_LINES) for language in _NO_LINE_LIMIT},
    "glsl": Rules(max_line_length=500),
    "json": Rules.model_validate({**_NO_LINES, **_SMALL_DATA}),
    "yaml": Rules.model_validate(_SMALL_DATA),
    "xslt": Rules(drop_xml=False),
}
"""Limits by language that differ from the general ones. XSLT is XML by design, so its declaration says nothing (DeepSeek-Coder's rule)."""

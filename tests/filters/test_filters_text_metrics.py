"""The kernel against Python's own str methods, on every kind of text there is."""

from __future__ import annotations

import sys

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.text_metrics import text_metrics

BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(BREAKS + "a1_ é中😀")), max_size=60)


def plain(text: str) -> list[int]:
    lines = text.splitlines()
    return [
        len(text),
        sum(letter.isalnum() for letter in text),
        sum(letter.isalpha() for letter in text),
        len(lines),
        sum(len(line) for line in lines),
        max((len(line) for line in lines), default=0),
    ]


@given(st.lists(TEXTS, max_size=12), st.integers(0, 4))
def test_equal_to_plain_python(texts: list[str], skipped: int) -> None:
    array = pa.array(texts, pa.large_string()).slice(skipped)
    found = [list(row) for row in zip(*(column.tolist() for column in text_metrics(array)), strict=True)]
    assert found == [plain(text) for text in texts[skipped:]]


def test_every_code_point() -> None:
    points = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    texts = ["".join(points[i : i + 4096]) for i in range(0, len(points), 4096)]
    found = text_metrics(pa.array(texts, pa.large_string()))
    assert [list(row) for row in zip(*(column.tolist() for column in found), strict=True)] == [plain(text) for text in texts]


def test_a_line_of_fifty_million_characters() -> None:
    found = text_metrics(pa.array(["x" * 50_000_000 + "\r\n"], pa.large_string()))
    assert (found.longest_line[0], found.lines[0], found.characters[0]) == (50_000_000, 1, 50_000_002)

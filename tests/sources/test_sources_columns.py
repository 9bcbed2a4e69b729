"""Columns as stored become checked columns; bad values are blamed on their rows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.columns import Problems, as_counts, as_licenses, as_names, as_text, joined_lists

RAW = st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode), st.none())


def expected(value: bytes | None) -> tuple[str, str]:
    """Text and check of one row, in plain Python."""
    if value is None:
        return "", "text"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "", "utf8"
    return ("", "nul") if "\0" in text else (text, "")


@given(st.lists(RAW, max_size=30), st.integers(0, 5), st.sampled_from([pa.binary(), pa.large_binary(), pa.string()]))
def test_text_equals_plain_python(values: list[bytes | None], skipped: int, kind: pa.DataType) -> None:
    column = pa.array(values, pa.binary())
    column = (column.view(kind) if kind == pa.string() else column.cast(kind)).slice(skipped)
    problems: Problems = {}
    text = as_text(column, "content", problems)
    want = [expected(value) for value in values[skipped:]]
    assert text.type == pa.large_string()
    assert text.to_pylist() == [value for value, _ in want]
    assert {row: problem.check for row, problem in problems.items()} == {i: check for i, (_, check) in enumerate(want) if check}
    text.validate(full=True)


def test_text_of_another_type_blames_every_row() -> None:
    problems: Problems = {}
    assert as_text(pa.array([1, 2]), "content", problems).to_pylist() == ["", ""]
    assert problems[1].reason == "column 'content' holds int64, not text"


def test_reasons_name_the_column_and_never_the_text() -> None:
    problems: Problems = {}
    as_text(pa.array([b"secret\xff", b"secret\0"]), "content", problems)
    assert [problem.reason for problem in problems.values()] == [
        "column 'content' is not valid UTF-8",
        "column 'content' holds NUL bytes: binary data, not text",
    ]


def test_names_take_numbers_and_blame_invalid_bytes() -> None:
    problems: Problems = {}
    assert as_names(pa.array([7, None]), "id", problems).to_pylist() == ["7", ""]
    assert as_names(pa.array(["a", None]), "id", problems).to_pylist() == ["a", ""]
    assert problems == {}
    assert as_names(pa.array([b"ok", b"\xff"]), "id", problems).to_pylist() == ["ok", ""]
    assert set(problems) == {1}


@pytest.mark.parametrize(
    ("values", "want"),
    [(pa.array([3, None]), [3, None]), (pa.array(["4", "many"]), [4, None]), (pa.array([2.0, 2.5]), [2, None])],
)
def test_counts_are_whole_numbers_or_null(values: pa.Array, want: list[int | None]) -> None:
    assert as_counts(values).to_pylist() == want


BIGQUERY = pa.struct([("list", pa.list_(pa.struct([("item", pa.string())])))])


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (pa.array([["MIT", "ISC"], [], None, ["", "GPL-2.0"]]), [["MIT", "ISC"], [], [], ["GPL-2.0"]]),
        (pa.array(["MIT, ISC", "", None, "A OR B"]), [["MIT", "ISC"], [], [], ["A OR B"]]),
        (
            pa.array([{"list": [{"item": "MIT"}, {"item": "ISC"}]}, {"list": []}, None, {"list": [{"item": None}]}], BIGQUERY),
            [["MIT", "ISC"], [], [], []],
        ),
    ],
    ids=["list", "commas", "bigquery"],
)
def test_licenses_in_every_form(column: pa.Array, want: list[list[str]]) -> None:
    for start in range(3):
        problems: Problems = {}
        assert as_licenses(column.slice(start), "licenses", problems).to_pylist() == want[start:]
        assert problems == {}


def test_a_bad_license_is_blamed_on_its_row() -> None:
    values = pa.array([b"MIT", b"ISC", b"\xff", b"MIT"], pa.binary()).view(pa.string())
    column = pa.ListArray.from_arrays(pa.array([0, 2, 2, 4], pa.int32()), values)
    problems: Problems = {}
    as_licenses(column, "licenses", problems)
    assert set(problems) == {2}


def test_joined_lists_keep_each_entry_once() -> None:
    repo, own = pa.array([["MIT"], ["GPL-2.0"], []]), pa.array([["MIT"], ["MIT"], ["ISC"]])
    assert joined_lists([repo, own]).to_pylist() == [["MIT"], ["GPL-2.0", "MIT"], ["ISC"]]

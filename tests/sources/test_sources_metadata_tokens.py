"""StarCoderData's metadata prefix: taken off where it is one, left where it is text."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.metadata_tokens import take_metadata

NAMES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: not any(token in name for token in ("<reponame>", "<filename>", "<gh_stars>"))
)
CODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(lambda code: not code.startswith("<"))
BUCKETS = st.sampled_from(["0", "1-10", "10-100", "100-1000", "1000+"])


def stored(code: str, repo: str | None, path: str | None, bucket: str | None) -> str:
    """As BigCode's preprocessing writes it."""
    fields = (("<reponame>", repo), ("<filename>", path), ("<gh_stars>", bucket))
    head = "".join(token + value for token, value in fields if value is not None)
    return f"{head}\n{code}" if head else code


def take(texts: list[str], stars: list[int | None] | None = None) -> list[tuple[str, str, str, int | None]]:
    n = len(texts)
    found = take_metadata(
        pa.array(["skipped", *texts], pa.large_string()).slice(1),
        pa.array(["column/repo"] * n),
        pa.array(["column.py"] * n),
        pa.array(stars or [None] * n, pa.int64()),
    )
    return list(zip(*(column.to_pylist() for column in found), strict=True))


@given(st.lists(st.tuples(CODE, st.none() | NAMES, st.none() | NAMES, st.none() | BUCKETS), max_size=8))
def test_metadata_is_taken_off_and_told(files: list[tuple[str, str | None, str | None, str | None]]) -> None:
    want = [
        (code, "column/repo" if repo is None else repo, "column.py" if path is None else path, 0 if bucket == "0" else None)
        for code, repo, path, bucket in files
    ]
    assert take([stored(*file) for file in files]) == want


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "x <reponame>a/b\n",
        "\n<reponame>a/b\ncode",
        "<reponame>a/b",
        "<reponame>\ncode",
        "<filename>a.py<reponame>a/b\ncode",
        "<gh_stars>10<reponame>a/b\ncode",
        "<reponame>a/b<reponame>c/d\ncode",
        "<gh_stars>many\ncode",
        "<fim_prefix>a\n",
        "<reponame>" + "x" * 5000 + "\ncode",
    ],
)
def test_what_only_looks_like_metadata_stays_text(text: str) -> None:
    assert take([text]) == [(text, "column/repo", "column.py", None)]


def test_only_the_first_prefix_is_taken() -> None:
    assert take(["<reponame>a/b\n<reponame>c/d\ncode <|endoftext|>"])[0][:2] == ("<reponame>c/d\ncode <|endoftext|>", "a/b")


def test_counted_stars_win_over_the_bucket() -> None:
    assert take(["<gh_stars>0\na", "<gh_stars>0\nb"], [12, None]) == [
        ("a", "column/repo", "column.py", 12),
        ("b", "column/repo", "column.py", 0),
    ]

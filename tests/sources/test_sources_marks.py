"""Control tokens that stand in documents: taken from StarCoder's serialisations, and never from anything else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from marked_reading import COMMIT, both, documents, jsonl, spelled
from pydantic import TypeAdapter, ValidationError
from source_reading import read_all, write_code

from contracts.schemas import KINDS
from contracts.special_tokens import MARKS_OF_KIND, control_tokens
from pipelines.sources import SourceSettings
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.marks import as_marks, take_marks
from pipelines.sources.parquet import ParquetSettings
from pipelines.sources.starcoderdata import SERIALISED, StarCoderDataSettings

ISSUE = "<issue_start>Title: é\nusername_0: it breaks<issue_comment>username_1: no<issue_closed>"
NOTEBOOK = "<jupyter_start><jupyter_text># A<jupyter_code>1+1<jupyter_output>2<jupyter_code>x=1<jupyter_output><empty_output>"
OF_KIND = {"issue": ISSUE, "commit": COMMIT, "notebook": NOTEBOOK}
ALL_TOKENS = tuple(token for tokens in MARKS_OF_KIND.values() for token in tokens)
PIECES = st.sampled_from([*ALL_TOKENS, "<reponame>", "<|endoftext|>", "<issue_", "start>", "<", "é🙂", "\n", "x", ""])


@given(st.lists(st.lists(PIECES, max_size=8).map("".join), max_size=6), st.integers(0, 2), st.sampled_from(sorted(MARKS_OF_KIND)))
def test_taking_marks_loses_nothing_and_takes_no_other_token(texts: list[str], skipped: int, kind: str) -> None:
    tokens = MARKS_OF_KIND[kind]
    column = pa.array(texts, pa.large_string()).slice(min(skipped, len(texts)))
    text, marks = take_marks(column, tokens)
    text.validate(full=True)
    marks.validate(full=True)
    found = [{"text": each, "marks": row} for each, row in zip(text.to_pylist(), marks.to_pylist(), strict=True)]
    assert [spelled(each) for each in found] == column.to_pylist()
    counts = [[sum(mark["token"] == token for mark in each["marks"]) for token in tokens] for each in found]
    assert counts == [[each.count(token) for token in tokens] for each in column.to_pylist()]
    assert {mark["token"] for each in found for mark in each["marks"]} <= set(tokens)


def test_a_token_across_two_documents_is_none() -> None:
    column = pa.array(["<issue_", "start>", "", "<issue_closed>"], pa.large_string())
    text, marks = take_marks(column, MARKS_OF_KIND["issue"])
    assert text.to_pylist() == ["<issue_", "start>", "", ""]
    assert marks.to_pylist() == [[], [], [], [{"at": 0, "token": "<issue_closed>"}]]


def test_texts_without_tokens_are_not_copied() -> None:
    column = pa.array(["a <b>", "c"], pa.large_string())
    for tokens in ((), MARKS_OF_KIND["commit"]):
        assert take_marks(column, tokens)[0] is column


@pytest.mark.parametrize("folder", SERIALISED)
def test_folders_of_starcoderdata_that_hold_serialisations(tmp_path: Path, folder: str) -> None:
    kind = SERIALISED[folder]
    others = "".join(text for other, text in OF_KIND.items() if other != kind)
    text = OF_KIND[kind] + others + "<reponame><dummy_0><|endoftext|>"
    (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"content": [text]}), tmp_path / folder / "a.parquet")
    settings = StarCoderDataSettings(name="s", path=str(tmp_path), languages=[folder])
    (document,) = read_all(settings.open()).documents.to_pylist()
    assert (spelled(document), document["kind"]) == (text, kind)
    assert len(document["marks"]) == OF_KIND[kind].count("<")
    assert {mark["token"] for mark in document["marks"]} <= set(MARKS_OF_KIND[kind])
    plain = read_all(settings.model_copy(update={"serialised": ""}).open())
    assert (plain.texts(), plain.column("marks")) == ([text], [[]])


@pytest.mark.parametrize("folder", ["python", "jupyter-scripts-dedup-filtered"])
def test_source_files_that_spell_tokens_keep_them_as_text(tmp_path: Path, folder: str) -> None:
    texts = ["".join(ALL_TOKENS), ISSUE, "x = '<jupyter_code>'"]
    write_code(tmp_path / folder / "a.parquet", texts)
    found = read_all(StarCoderDataSettings(name="s", path=str(tmp_path), languages=[folder]).open())
    assert found.texts() == texts
    assert found.column("marks") == [[], [], []]


def test_a_token_ends_no_name_in_the_metadata(tmp_path: Path) -> None:
    """Without a newline behind it, what looks like a file's name would swallow the first line of the commit."""
    (tmp_path / "git-commits-cleaned").mkdir()
    texts = [f"<filename>a.py{COMMIT}\n", f"<filename>a.py\n{COMMIT}\n"]
    pq.write_table(pa.table({"content": texts}), tmp_path / "git-commits-cleaned" / "a.parquet")
    found = read_all(StarCoderDataSettings(name="s", path=str(tmp_path), languages=["git-commits-cleaned"]).open())
    assert documents(found) == [texts[0], f"{COMMIT}\n"]
    assert found.column("path") == ["", "a.py"]


@both
@pytest.mark.parametrize("kind", OF_KIND)
def test_other_sources_read_serialisations_where_told_to(tmp_path: Path, read: Any, kind: str) -> None:
    rows = [{"text": OF_KIND[kind]}, {"text": "nothing"}, {"text": "".join(ALL_TOKENS)}]
    plain = read(tmp_path, rows, kind=kind)
    assert (plain.texts(), plain.column("marks")) == ([row["text"] for row in rows], [[], [], []])
    found = read(tmp_path, rows, kind=kind, serialised="starcoder")
    assert documents(found) == [row["text"] for row in rows]
    assert [len(marks) for marks in found.column("marks")] == [OF_KIND[kind].count("<"), 0, len(MARKS_OF_KIND[kind])]


def test_marks_enter_ids_and_hashes(tmp_path: Path) -> None:
    chats = [[("user", "ab")], [("user", "a"), ("user", "b")], [("assistant", "ab")]]
    rows = [{"id": "1", "messages": [{"role": role, "content": content} for role, content in chat]} for chat in chats]
    found = jsonl(tmp_path, rows, shape="chat", fields={"id": "id"})
    assert set(found.texts()) == {"ab"}
    assert len(set(found.column("doc_id"))) == len(set(found.column("content_hash"))) == 3
    assert found.column("content_hash")[0] == xxhash.xxh3_128_digest(b"ab\xff0:<dummy_1>;2:<dummy_3>;")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shape": "chat", "kind": "code"}, "leave 'kind' out"),
        ({"kind": "chat"}, "needs shape = 'chat'"),
        ({"serialised": "starcoder"}, "it is for shape = 'text' and kind = 'issue', 'commit' or 'notebook'"),
        ({"serialised": "starcoder", "shape": "issue"}, "does not fit shape = 'issue'"),
    ],
)
@pytest.mark.parametrize("kind", [JsonlSettings, ParquetSettings])
def test_settings_that_do_not_fit_together(kind: Any, values: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind.model_validate({"name": "a", "path": "/x", **values})


@pytest.mark.parametrize("kind", [JsonlSettings, ParquetSettings])
def test_a_shape_survives_being_written_down(kind: Any) -> None:
    settings = kind(name="a", path="/x", shape="issue")
    assert settings.kind == "issue"
    assert kind.model_validate(settings.model_dump()) == settings


def test_marks_are_control_tokens_of_a_kind() -> None:
    assert set(MARKS_OF_KIND) <= set(KINDS)
    assert len(set(ALL_TOKENS)) == len(ALL_TOKENS)
    assert set(ALL_TOKENS) <= set(control_tokens(1))


@given(st.lists(st.lists(st.tuples(st.integers(0, 2**40), st.sampled_from(ALL_TOKENS)), max_size=4), max_size=5))
def test_marks_as_a_column(rows: list[list[tuple[int, str]]]) -> None:
    column = as_marks(rows)
    column.validate(full=True)
    assert [[(mark["at"], mark["token"]) for mark in row] for row in column.to_pylist()] == rows


def test_recipes_in_the_documentation_are_valid() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text()
    recipes = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(recipes) == 3
    for recipe in recipes:
        TypeAdapter(list[SourceSettings]).validate_python(tomllib.loads(recipe)["source"])

"""Control tokens that stand in documents: from StarCoder's serialisations, from fields, and never from anything else."""

from __future__ import annotations

import json
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
from pydantic import TypeAdapter, ValidationError
from source_reading import Found, not_utf8, read_all, write_code

from contracts.schemas import KINDS
from contracts.special_tokens import MARKS_OF_KIND, control_tokens
from pipelines.sources import SourceSettings
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.marks import as_marks, take_marks
from pipelines.sources.parquet import ParquetSettings
from pipelines.sources.starcoderdata import SERIALISED, StarCoderDataSettings

ISSUE = "<issue_start>Title: é\nusername_0: it breaks<issue_comment>username_1: no<issue_closed>"
COMMIT = "<commit_before>a<commit_msg>Fix b<commit_after>ab"
NOTEBOOK = "<jupyter_start><jupyter_text># A<jupyter_code>1+1<jupyter_output>2<jupyter_code>x=1<jupyter_output><empty_output>"
OF_KIND = {"issue": ISSUE, "commit": COMMIT, "notebook": NOTEBOOK}
ALL_TOKENS = tuple(token for tokens in MARKS_OF_KIND.values() for token in tokens)


def spelled(document: dict[str, Any]) -> str:
    """A document with its marks written out: the inverse of taking them."""
    data, done, out = document["text"].encode(), 0, b""
    for mark in document["marks"]:
        out += data[done : mark["at"]] + mark["token"].encode()
        done = mark["at"]
    return (out + data[done:]).decode()


def jsonl(folder: Path, rows: list[Any], **settings: Any) -> Found:
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_all(JsonlSettings.model_validate({"name": "j", "path": str(folder), **settings}).open())


def parquet(folder: Path, rows: list[Any], **settings: Any) -> Found:
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=2)
    return read_all(ParquetSettings.model_validate({"name": "j", "path": str(folder), **settings}).open())


both = pytest.mark.parametrize("read", [jsonl, parquet])


def documents(found: Found) -> list[str]:
    return [spelled(each) for each in found.documents.to_pylist()]


# From texts that spell them.

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


# From fields.

CHAT = [("system", "Be brief."), ("user", "Hé?"), ("assistant", "<dummy_2> No."), ("user", ""), ("assistant", "Yes.")]
CHAT_TOKENS = {"system": "<dummy_0>", "user": "<dummy_1>", "assistant": "<dummy_2>"}


@both
def test_a_chat(tmp_path: Path, read: Any) -> None:
    rows = [{"messages": [{"role": role, "content": content} for role, content in CHAT]}]
    (document,) = read(tmp_path, rows, shape="chat").documents.to_pylist()
    assert document["kind"] == "chat"
    assert document["text"] == "".join(content for _, content in CHAT)
    assert spelled(document) == "".join(f"{CHAT_TOKENS[role]}{content}<dummy_3>" for role, content in CHAT)
    assert len(document["marks"]) == 2 * len(CHAT)


@both
def test_a_chat_with_other_names(tmp_path: Path, read: Any) -> None:
    rows = [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]
    names = {"messages": "conversations", "role": "from", "content": "value", "roles": {"human": "user", "gpt": "assistant"}}
    found = read(tmp_path, rows, shape="chat", **{"fields" if read is jsonl else "columns": names})
    assert documents(found) == ["<dummy_1>a<dummy_3><dummy_2>b<dummy_3>"]


BROKEN_CHATS = [
    ([], "chat", "holds no message"),
    (
        [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],
        "chat",
        "message 2 has a role that is none of system, user",
    ),
    ([{"role": "user", "content": None}], "chat", "field 'content' of message 1 holds null, not a string"),
    ([{"role": None, "content": "a"}], "chat", "field 'role' of message 1 holds null"),
    ([None], "chat", "entry 1 of field 'messages' is null, not an object"),
    (None, "chat", "field 'messages' holds null, not a list of objects"),
    ([{"role": "user", "content": "a\0"}], "nul", "NUL bytes"),
]


@both
@pytest.mark.parametrize(("messages", "check", "words"), BROKEN_CHATS, ids=[words for _, _, words in BROKEN_CHATS])
def test_a_broken_chat_is_quarantined_alone(tmp_path: Path, read: Any, messages: Any, check: str, words: str) -> None:
    good = {"messages": [{"role": "user", "content": "good"}]}
    found = read(tmp_path, [good, {"messages": messages}, good], shape="chat")
    assert found.texts() == ["good", "good"]
    assert found.checks() == [check]
    assert words in found.reasons()[0]


@pytest.mark.parametrize(
    ("row", "check", "words"),
    [
        ({"text": "a"}, "chat", "there is no field 'messages'"),
        ({"messages": "a"}, "chat", "holds a string, not a list"),
        ({"messages": [{"role": "user"}]}, "chat", "there is no field 'content' of message 1"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "utf8", "lone surrogate"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "chat", "field 'role' of message 1 holds a list"),
    ],
)
def test_what_only_json_can_break(tmp_path: Path, row: Any, check: str, words: str) -> None:
    found = jsonl(tmp_path, [row], shape="chat")
    assert (found.texts(), found.checks()) == ([], [check])
    assert words in found.reasons()[0]


def test_nested_strings_that_are_no_utf8_cost_their_row_only(tmp_path: Path) -> None:
    contents = not_utf8([b"ok", b"\xff", b"fine"])
    messages = pa.StructArray.from_arrays([pa.array(["user"] * 3), contents], ["role", "content"])
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), messages)
    pq.write_table(pa.table({"messages": column}), tmp_path / "a.parquet")
    found = read_all(ParquetSettings.model_validate({"name": "p", "path": str(tmp_path), "shape": "chat"}).open())
    assert (found.texts(), found.checks()) == (["ok", "fine"], ["utf8"])


@both
def test_a_commit(tmp_path: Path, read: Any) -> None:
    rows = [
        {"old_contents": "a\n", "subject": "Fix", "new_contents": "é\n", "lang": "go"},
        {"old_contents": None, "subject": "New", "new_contents": "b", "lang": None},
        {"old_contents": "a", "subject": "Gone", "new_contents": None, "lang": None},
    ]
    found = read(tmp_path, rows, shape="commit", **{"fields" if read is jsonl else "columns": {"language": "lang"}})
    assert documents(found) == [
        "<commit_before>a\n<commit_msg>Fix<commit_after>é\n",
        "<commit_before><commit_msg>New<commit_after>b",
    ]
    assert (found.column("kind"), found.column("language")) == (["commit"] * 2, ["go", "unknown"])
    assert found.reasons() == ["field 'new_contents' holds null, not a string"]


@both
def test_an_issue(tmp_path: Path, read: Any) -> None:
    comments = [
        {"author": "Ann", "body": "It breaks; mail x@ann.org"},
        {"author": "bo-b", "body": "@ann @annie @bo-b-c. Works?"},
        {"author": "ann", "body": "No, @Bo-B!"},
    ]
    rows = [
        {"title": "On @ann's disk", "comments": comments, "state": "closed"},
        {"title": "T", "comments": [{"author": None, "body": None}], "state": "open"},
    ]
    found = read(tmp_path, rows, shape="issue", **{"fields" if read is jsonl else "columns": {"closed": "state"}})
    assert documents(found) == [
        "<issue_start>Title: On @username_0's disk\nusername_0: It breaks; mail x@ann.org"
        "<issue_comment>username_1: @username_0 @annie @bo-b-c. Works?<issue_comment>username_0: No, @username_1!<issue_closed>",
        "<issue_start>Title: T\nusername_0: ",
    ]


def cell(kind: str, source: Any, outputs: Any = None) -> dict[str, Any]:
    return {"cell_type": kind, "source": source, "outputs": outputs}


def test_a_notebook(tmp_path: Path) -> None:
    shown = {"output_type": "execute_result", "data": {"text/plain": ["[", "1]"], "text/html": "<b>"}}
    cells = [
        cell("markdown", ["# A\n", "b"]),
        cell("markdown", "c"),
        cell("raw", "left out"),
        cell("code", "1+1", [{"output_type": "stream", "text": ["a\n"]}, shown]),
        cell("code", "x", [{"output_type": "error", "ename": "NameError", "evalue": "x"}]),
        cell("markdown", "d"),
        cell("code", "y = 1", []),
        cell("markdown", "e"),
        cell("code", "print()", "é" * 1001),
    ]
    found = jsonl(tmp_path, [{"cells": cells}, {"cells": [cell("picture", "")]}, {"cells": [cell("code", 5)]}], shape="notebook")
    assert documents(found) == [
        "<jupyter_start><jupyter_text># A\nb\nc<jupyter_code>1+1\nx<jupyter_output>a\n[1]\nNameError: x<jupyter_text>d"
        "<jupyter_code>y = 1<jupyter_output><empty_output><jupyter_text>e<jupyter_code>print()<jupyter_output>"
        + "é" * 1000
        + "[...]"
    ]
    assert found.reasons() == [
        "cell 1 has a type that is none of markdown, code, raw",
        "cell 1 holds a number where a string or a list of strings should be",
    ]


def test_a_notebook_of_columns(tmp_path: Path) -> None:
    rows = [{"cells": [cell("markdown", "a"), cell("code", "1", ["1"])]}, {"cells": [cell("code", "2", None)]}]
    assert documents(parquet(tmp_path, rows, shape="notebook")) == [
        "<jupyter_start><jupyter_text>a<jupyter_code>1<jupyter_output>1",
        "<jupyter_start><jupyter_code>2<jupyter_output><empty_output>",
    ]


def test_texts_of_fields_spell_no_marks(tmp_path: Path) -> None:
    found = jsonl(tmp_path, [{"old_contents": COMMIT, "subject": "<commit_after>", "new_contents": ""}], shape="commit")
    assert [mark["token"] for mark in found.column("marks")[0]] == list(MARKS_OF_KIND["commit"])


# What marks are part of.


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
    assert len(recipes) == 2
    for recipe in recipes:
        TypeAdapter(list[SourceSettings]).validate_python(tomllib.loads(recipe)["source"])

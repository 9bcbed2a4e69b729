"""Chats, commits, issues and notebooks put together from fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from marked_reading import COMMIT, both, documents, jsonl, parquet, spelled
from source_reading import not_utf8, read_all

from contracts.special_tokens import MARKS_OF_KIND
from pipelines.sources.parquet import ParquetSettings

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

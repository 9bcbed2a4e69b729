from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_text import as_chunks, chunk, example
from stages import segments_of

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES
from contracts.special_tokens import ASSISTANT, END_OF_TEXT, END_OF_TURN, SYSTEM, USER
from sharding.batch import Batch
from sharding.objectives import Controls, chat
from sharding.objectives.chat import Chat

IDS = {name: 90 + i for i, name in enumerate([END_OF_TEXT, SYSTEM, USER, ASSISTANT, END_OF_TURN])}
LETTERS = {"s": IDS[SYSTEM], "u": IDS[USER], "a": IDS[ASSISTANT], ".": IDS[END_OF_TURN], "$": IDS[END_OF_TEXT], "x": 7}
CHAT = OBJECTIVES.index("chat")


def targets(stream: str) -> list[bool]:
    """Of a whole document: what stands behind an "a", up to and including ".", but no role; "$" if the last role is "a"."""
    out = []
    for at, letter in enumerate(stream):
        before = [mark for mark in stream[:at] if mark in "sua."]
        roles = [mark for mark in before if mark != "."]
        if letter == "$":
            out.append(roles[-1:] == ["a"])
        else:
            out.append(before[-1:] == ["a"] and letter not in "sua")
    return out


def test_answers_are_targets_and_nothing_else_is() -> None:
    wanted = {
        "sx.ux.axx.ux.ax.$": "       xxx    xxx",
        "ux.$": "    ",
        "axx$": " xxx",  # an answer without its end
        "ax.xx$": " xx  x",  # what stands between turns is nobody's
        "aax.": "  xx",
    }
    for stream, marked in wanted.items():
        assert "".join(" x"[target] for target in targets(stream)) == marked, stream


@given(st.text("sua.xxx", max_size=30), st.sets(st.integers(0, 30), max_size=4), st.lists(st.text("sua.x", max_size=5), max_size=2))
def test_batches_learn_answers_wherever_the_document_is_cut(stream: str, edges: set[int], others: list[str]) -> None:
    inner = sorted(edge for edge in edges if 0 < edge < len(stream))
    start, stop = np.array([0, *inner]), np.array([*inner, len(stream)])
    before = "".join(others)  # another document, which must not count
    ids = np.array([LETTERS[letter] for letter in before + stream], np.uint32)
    last = stop == len(stream)
    m, shift = len(start), len(before)
    chunks = as_chunks(ids, start + shift, stop + shift, last, 0, np.full(m, shift))
    made = Chat(Controls.of(IDS)).examples(chunks)

    wanted = targets(stream + "$")
    lengths = np.diff(made.offsets)
    for i in range(m):
        mine = wanted[start[i] : start[i] + lengths[i]]
        first = mine.index(True) if True in mine else len(mine)
        assert made.loss_start[i] == first
        restored = chat.restore(example(made, i), Controls.of(IDS))
        assert restored.ids.tolist() == chunk(chunks, i).tolist()
        if lengths[i] == 0:
            continue
        table = segments_of([[int(lengths[i])]], [[CHAT]])
        table.loss_start[:] = made.loss_start[i]
        batch = Batch.build(example(made, i)[None].astype(np.uint16), table, np.zeros(1, np.int32), IDS)
        assert batch.loss_mask[0].tolist() == mine[1:]


def test_segments_of_a_row_do_not_see_one_another() -> None:
    rows = [("xax.", CHAT, 2), ("xx.", CHAT, 0), ("xx", OBJECTIVES.index("causal"), 0), ("ux$", CHAT, 3)]
    table = segments_of([[len(text) for text, _, _ in rows]], [[kind for _, kind, _ in rows]])
    table.loss_start[:] = [first for _, _, first in rows]
    ids = np.array([[LETTERS[letter] for text, _, _ in rows for letter in text]], np.uint16)
    batch = Batch.build(ids, table, np.zeros(1, np.int32), IDS)
    assert "".join(".x"[target] for target in batch.loss_mask[0].tolist()) == ".xx" + ".xx" + ".x" + "..."


def test_what_comes_before_in_the_document_decides() -> None:
    """A long document costs one look at each token, and chunks may come in any order."""
    ids = np.array([LETTERS[letter] for letter in "uxaxxxx.x"], np.uint32)
    start, stop = np.array([0, 3, 5, 8, 2]), np.array([3, 5, 8, 9, 3])
    chunks = as_chunks(ids, start, stop, np.zeros(5, np.bool_), 0, np.zeros(5, np.int64))
    assert Chat(Controls.of(IDS)).examples(chunks).loss_start.tolist() == [3, 0, 0, 1, 1]


def test_an_answer_without_its_end_does_not_go_on_in_the_next_document() -> None:
    ids = np.array([LETTERS[letter] for letter in "uaxx" + "xx"], np.uint32)
    start, stop = np.array([0, 2, 4]), np.array([2, 4, 6])
    chunks = as_chunks(ids, start, stop, np.array([False, True, True]), 0, np.array([0, 0, 4]))
    assert Chat(Controls.of(IDS)).examples(chunks).loss_start.tolist() == [2, 0, 3]


def test_a_vocabulary_without_roles_is_refused() -> None:
    with pytest.raises(ShardError, match=r"chat needs the control token <dummy_0>.*Set the weight of chat to 0"):
        Chat(Controls.of({END_OF_TEXT: 0}))

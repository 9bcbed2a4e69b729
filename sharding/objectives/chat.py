"""Conversations, of which only the answers are learned (what a fine-tuned model is to say, not what it is told).

    document   <system> be brief <end> <user> 2 + 2? <end> <assistant> 4 <end> <user> thanks <end> <assistant> welcome <end> <|endoftext|>
    target                                                             ×   ×                                   ×       ×        ×

The four marks are control ids that the document's stream already holds: <dummy_0> … <dummy_3> as SYSTEM, USER, ASSISTANT and END_OF_TURN
name them. A token is a target if it stands in an answer: behind ASSISTANT, up to and including END_OF_TURN. Marks of roles never are;
<|endoftext|> is if the last role was ASSISTANT.

Shards store no mask, only `loss_start`: 0 for a chunk that begins within an answer, else its first target, or its length if it has none.
From there the ids themselves tell: where no mark stands before a token, what `loss_start` let through is an answer (`answer_mask`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from contracts.schemas import OBJECTIVES
from contracts.special_tokens import ASSISTANT, END_OF_TEXT, END_OF_TURN, SYSTEM, USER
from sharding.objectives import causal
from sharding.objectives.base import Chunks, Controls, Examples
from sharding.token_ids import TokenIds

CODE = OBJECTIVES.index("chat")

MARKS = (SYSTEM, USER, ASSISTANT, END_OF_TURN, END_OF_TEXT)
"""What the kernels are given the ids of, in this order."""

Marks = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Chat(causal.Causal):
    """The objective; it has no settings."""

    def __post_init__(self) -> None:
        _marks(self.controls)

    def examples(self, chunks: Chunks) -> Examples:
        """Cost: 3 ns a token: a copy, and a look at each token of the document up to the chunk's first answer, once for all its chunks."""
        made, marks = super().examples(chunks), _marks(self.controls)
        first = _first_targets(chunks.ids, chunks.begin, chunks.start, made.ids, made.offsets, marks)
        return made._replace(kind=np.full(len(first), CODE, np.uint8), loss_start=first)


restore = causal.restore


def answer_mask(
    ids: TokenIds,
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    special_ids: Mapping[str, int],
) -> npt.NDArray[np.bool_]:
    """bool[tokens]: True but for tokens of the segments ids[start[i]:start[i] + length[i]] that are no answer.

    It holds from each segment's `loss_start` on. Cost: about 1.5 ns a token of these segments.
    """
    mask: npt.NDArray[np.bool_] = _answer_mask(ids, start, length, _marks(Controls(special_ids)))
    return mask


def _marks(controls: Controls) -> Marks:
    system, user, assistant, end_of_turn, end_of_text = (controls.need(name, "chat") for name in MARKS)
    return system, user, assistant, end_of_turn, end_of_text


@njit(cache=True, nogil=True, inline="always")
def _is_target(token: int, answering: bool, answered: bool, marks: Marks) -> bool:
    """`answering`: the last mark before the token is ASSISTANT; `answered`: the last mark of a role is."""
    if token == marks[4]:
        return answered
    return answering and not _is_role(token, marks)


@njit(cache=True, nogil=True, inline="always")
def _is_role(token: int, marks: Marks) -> bool:
    return token == marks[0] or token == marks[1] or token == marks[2]


@njit(cache=True, nogil=True)
def _first_targets(
    ids: TokenIds,
    begin: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    examples: TokenIds,
    offsets: npt.NDArray[np.int64],
    marks: Marks,
) -> npt.NDArray[np.int32]:
    first = np.empty(len(start), np.int32)
    answering = answered = False
    document, known = -1, 0  # what the state belongs to: the document's begin and the token
    for i in np.argsort(start):  # chunks come in the order of rows, which may scatter those of a document
        if begin[i] != document:
            document, known, answering, answered = begin[i], begin[i], False, False
        for j in range(known, start[i]):
            answering, answered = _next_state(ids[j], answering, answered, marks)
        known = start[i]
        first[i] = _first_target(examples[offsets[i] : offsets[i + 1]], answering, answered, marks)
    return first


@njit(cache=True, nogil=True)
def _first_target(example: TokenIds, answering: bool, answered: bool, marks: Marks) -> int:
    at = 0
    while at < len(example) and not _is_target(example[at], answering, answered, marks):
        answering, answered = _next_state(example[at], answering, answered, marks)
        at += 1
    return at


@njit(cache=True, nogil=True, inline="always")
def _next_state(token: int, answering: bool, answered: bool, marks: Marks) -> tuple[bool, bool]:
    if token == marks[3]:
        return False, answered
    if _is_role(token, marks):
        return token == marks[2], token == marks[2]
    return answering, answered


@njit(cache=True, nogil=True)
def _answer_mask(
    ids: TokenIds,
    start: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    marks: Marks,
) -> npt.NDArray[np.bool_]:
    mask = np.ones(len(ids), np.bool_)
    low, high = min(marks), max(marks)
    for i in range(len(start)):
        answering = answered = True  # of what `loss_start` lets through before the first mark
        of_segment, mask_of_segment = ids[start[i] : start[i] + length[i]], mask[start[i] : start[i] + length[i]]
        for j in range(len(of_segment)):
            token = of_segment[j]
            if token < low or token > high:  # nearly all: no mark
                mask_of_segment[j] = answering
                continue
            mask_of_segment[j] = _is_target(token, answering, answered, marks)
            answering, answered = _next_state(token, answering, answered, marks)
    return mask

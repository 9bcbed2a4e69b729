"""What a training step reads: rows of token ids, and for every token where it belongs.

    input_ids   d  e  f  ¶  (  x  )  ¶  x  =  0  ∎  pad pad        T + 1 tokens, ∎ = <|endoftext|>
    segment     0  0  0  0  0  0  0  0  1  1  1  1   2   2         attention stays inside a segment
    positions   0  1  2  3  4  5  6  7  0  1  2  3   0   1
    loss_mask      ×  ×  ×  ×  ×  ×  ×     ×  ×  ×                 T targets: input_ids[:, 1:] predicted from input_ids[:, :-1]

The first token of a segment is nobody's target: what comes before it belongs to another document. Of conversations only answers are
targets (objectives/chat.py). `prefix` marks what a prefix language model reads in both directions: tokens before `loss_start`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.schemas import OBJECTIVES
from sharding.objectives import chat, prefix_lm
from sharding.segments import Int32, SegmentTable, UInt8
from sharding.token_ids import TokenIds

PADDING = OBJECTIVES.index("padding")


@dataclass(frozen=True)
class Batch:
    """b rows of T + 1 tokens."""

    input_ids: TokenIds
    """uint16|uint32[b, T + 1]"""
    segment: Int32
    """int32[b, T + 1], number of the token's segment within its row."""
    positions: Int32
    """int32[b, T + 1], tokens since the start of the segment."""
    loss_mask: npt.NDArray[np.bool_]
    """bool[b, T]: whether input_ids[:, t + 1] is a target."""
    prefix: npt.NDArray[np.bool_]
    """bool[b, T + 1]: whether the token belongs to a prefix whose tokens all see one another."""
    kind: UInt8
    """uint8[b, T + 1], index into contracts.schemas.OBJECTIVES."""
    source: Int32
    """int32[b], index into the loader's `sources`."""

    @staticmethod
    def build(input_ids: TokenIds, segments: SegmentTable, source: Int32, special_ids: Mapping[str, int]) -> Batch:
        """Spread the segments of each row over its tokens; `special_ids` are the vocabulary's control tokens by name.

        Cost: about 9 ns a token, memory 15 bytes a token beside the ids.
        """
        shape, length = input_ids.shape, segments.length

        def spread(per_segment: npt.NDArray[np.int32]) -> Int32:
            return np.repeat(per_segment, length).reshape(shape)

        number = np.arange(len(length), dtype=np.int64) - np.repeat(segments.row_offsets[:-1], np.diff(segments.row_offsets))
        positions = np.arange(shape[1], dtype=np.int32) - spread(segments.start)
        kind = np.repeat(segments.kind, length).reshape(shape)
        loss_start = spread(segments.loss_start)
        is_target = (positions >= np.maximum(loss_start, 1)) & (kind != PADDING)
        if (segments.kind == chat.CODE).any():
            is_target &= _answers(input_ids, segments, special_ids)
        prefix = (positions < loss_start) & (kind == prefix_lm.CODE)
        return Batch(input_ids, spread(number.astype(np.int32)), positions, is_target[:, 1:], prefix, kind, source)

    def rows(self, first: int, last: int) -> Batch:
        """Rows [first, last) as views: a micro-batch."""
        return Batch(**{name: values[first:last] for name, values in vars(self).items()})


def _answers(input_ids: TokenIds, segments: SegmentTable, special_ids: Mapping[str, int]) -> npt.NDArray[np.bool_]:
    """bool[b, T + 1]: False for tokens of conversations that are no answer."""
    row = np.repeat(np.arange(segments.rows), np.diff(segments.row_offsets))
    chats = segments.kind == chat.CODE
    begin = (row * input_ids.shape[1] + segments.start)[chats]
    flat = np.ascontiguousarray(input_ids).reshape(-1)
    return chat.answer_mask(flat, begin, segments.length[chats].astype(np.int64), special_ids).reshape(input_ids.shape)

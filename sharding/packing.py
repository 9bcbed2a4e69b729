"""Packing examples into rows.

Best-fit decreasing: every example whole in one row, rows as full as can be.

Examples are placed from the longest to the shortest, each into the open row with the least room that still holds it, or into a new one.
Rows are found through a segment tree over the room left, so placing costs O(log row) and a window of 10,000 examples a few
milliseconds (arXiv 2404.10830 describes the method). What stays empty depends on what there is to fill it with: 0.015 % of a row of
2,048 for a window of 10,000 documents of log-normal lengths.

Pouring: documents one behind the other into whatever room there is, cut where the room ends. Nothing stays empty but the end of the last
row; documents that would have fitted a row are cut (0.9 cuts a row), which is why best fit is the default.

    rooms   ├──── 5 ────┤ ├─ 3 ─┤ ├────────── row ──────────┤ …
    stream   A A A A A     A B B   B B B C C C C C C C C C C
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from contracts.errors import ShardError


class Packed(NamedTuple):
    """Which row each of n examples went to, and where in it."""

    row: npt.NDArray[np.int64]
    """int64[n]"""
    start: npt.NDArray[np.int64]
    """int64[n]: first token within the row"""
    rows: int


def best_fit(lengths: npt.NDArray[np.int64], row_length: int) -> Packed:
    """Packs examples of the given lengths (tokens) into rows of `row_length` tokens.

    Deterministic; ties go to the earlier example and the row opened first. Raises ShardError for an example that fits no row.
    """
    if len(lengths) and int(lengths.max()) > row_length:
        raise ShardError(f"an example of {int(lengths.max())} tokens does not fit a row of {row_length}.")
    order = np.argsort(-lengths, kind="stable")
    row, start, rows = _best_fit(lengths[order], row_length)
    packed_row, packed_start = np.empty_like(row), np.empty_like(start)
    packed_row[order], packed_start[order] = row, start
    return Packed(packed_row, packed_start, int(rows))


class Poured(NamedTuple):
    """Pieces of a stream of n documents, in its order."""

    document: npt.NDArray[np.int64]
    """int64[k]"""
    start: npt.NDArray[np.int64]
    """int64[k]: tokens of the document before the piece"""
    length: npt.NDArray[np.int64]
    """int64[k], at least 1"""
    row: npt.NDArray[np.int64]
    """int64[k]"""
    row_start: npt.NDArray[np.int64]
    """int64[k]: first token within the row"""
    rows: int


def pour(lengths: npt.NDArray[np.int64], packed: Packed, filled: npt.NDArray[np.int64], row_length: int) -> Poured:
    """Fills what rows have left, then new rows, with documents of the given lengths (tokens), in order.

    `filled` int64[packed.rows]: tokens that each row holds already. Cost: two sorts of the pieces.
    """
    total = int(lengths.sum())
    more = max(0, -(-(total - int((row_length - filled).sum())) // row_length))
    room = np.concatenate([row_length - filled, np.full(more, row_length)])
    document_ends, room_ends = np.cumsum(lengths), np.cumsum(room)
    bounds = np.unique(np.concatenate([[0], document_ends, room_ends[room_ends < total]]))
    begin, length = bounds[:-1], np.diff(bounds)
    document = np.searchsorted(document_ends, begin, side="right")
    row = np.searchsorted(room_ends, begin, side="right")
    start = begin - (document_ends - lengths)[document]
    row_start = row_length - room[row] + begin - (room_ends - room)[row]
    return Poured(document, start, length, row, row_start, packed.rows + more)


@njit(cache=True, nogil=True)
def _best_fit(lengths: npt.NDArray[np.int64], row_length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """`lengths` from longest to shortest. Rows with equal room wait in a queue, linked through `behind`."""
    n = len(lengths)
    leaves = 1
    while leaves < row_length + 1:
        leaves *= 2
    tree = np.zeros(2 * leaves, np.int64)  # leaf c is c if some open row has exactly c tokens of room; a node is its larger child
    head, tail = np.full(row_length + 1, -1, np.int64), np.full(row_length + 1, -1, np.int64)
    behind = np.full(n, -1, np.int64)
    row, start = np.empty(n, np.int64), np.empty(n, np.int64)
    rows = 0
    for i in range(n):
        need = lengths[i]
        if tree[1] < max(need, 1):  # an example of no tokens needs no room, but a row to be in
            chosen, room = rows, row_length
            rows += 1
        else:
            node = 1
            while node < leaves:
                node *= 2
                if tree[node] < max(need, 1):
                    node += 1
            room = tree[node]
            chosen = head[room]
            head[room] = behind[chosen]
            behind[chosen] = -1
            if head[room] < 0:
                tail[room] = -1
                _set(tree, leaves, room, 0)
        row[i], start[i] = chosen, row_length - room
        left = room - need
        if left > 0:
            if tail[left] < 0:
                head[left] = chosen
                _set(tree, leaves, left, left)
            else:
                behind[tail[left]] = chosen
            tail[left] = chosen
    return row, start, rows


@njit(cache=True, nogil=True)
def _set(tree: npt.NDArray[np.int64], leaves: int, room: int, value: int) -> None:
    node = leaves + room
    tree[node] = value
    node //= 2
    while node >= 1:
        larger = max(tree[2 * node], tree[2 * node + 1])
        if tree[node] == larger:
            break
        tree[node] = larger
        node //= 2

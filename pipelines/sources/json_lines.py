"""Lines of a JSON Lines file: cutting it into pieces, reading it line by line with bounded memory, parsing a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from pipelines.sources.columns import Problem
from pipelines.sources.compression import compression_of
from pipelines.sources.inputs import blocks

PIECE_BYTES: int = 4 * 2**20
"""Least bytes of a piece."""

MOST_PIECES: int = 1024
"""Most pieces of a file, about: every part's descriptor carries their sizes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line."""

    at: int
    """Byte of the uncompressed file that it starts at: its ROW."""
    size: int
    """Bytes, without the newline."""
    data: bytes | None
    """Its bytes; None if they are more than the limit."""


def line_pieces(file: BinaryIO) -> list[int]:
    """Bytes of each run of whole lines: the `units` of an Input. None for a compressed file, which is read whole."""
    if compression_of(file):
        return []
    target = max(PIECE_BYTES, file.seek(0, 2) // MOST_PIECES)
    file.seek(0)
    pieces: list[int] = []
    start = position = 0
    for block in blocks(file):
        while (newline := _find(block, start + target - 1 - position)) >= 0:
            pieces.append(position + newline + 1 - start)
            start += pieces[-1]
        position += len(block)
    return [*pieces, position - start] if position > start else pieces


def lines(data: Iterable[bytes], at: int, limit: int) -> Iterator[Line]:
    """Lines of a stream that starts at byte `at`. Holds one block and at most `limit` bytes of a line."""
    held: list[bytes] = []
    size = 0
    for block in data:
        for i, piece in enumerate(block.split(b"\n")):
            if i > 0:
                yield Line(at, size, b"".join(held) if size <= limit else None)
                at, size = at + size + 1, 0
                held.clear()
            size += len(piece)
            held.append(piece)
            if size > limit:
                held.clear()
    if size:
        yield Line(at, size, b"".join(held) if size <= limit else None)


def parse(line: Line, limit: int) -> dict[str, Any] | Problem | None:
    """The line's object, what is wrong with it, or None for an empty line, which holds no document."""
    if line.data is None:
        return Problem("line_size", f"the line has {line.size} bytes; at most {limit} are read (setting 'max_line_bytes')")
    try:
        text = line.data.removeprefix(_BYTE_ORDER_MARK if line.at == 0 else b"").decode()
        if not text or text.isspace():
            return None
        value = json.loads(text)
    except UnicodeDecodeError as error:
        return Problem("utf8", f"the line is not valid UTF-8 from its byte {error.start} on")
    except json.JSONDecodeError as error:
        return Problem("json", f"the line is not valid JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        return Problem("json", "the line is nested too deeply to be parsed")
    except ValueError:
        return Problem("json", "the line holds a number of too many digits to be parsed")
    return value if isinstance(value, dict) else Problem("json", f"the line holds a JSON {type(value).__name__}, not an object")


def _find(block: bytes, start: int) -> int:
    """Position of the first newline at or after `start`; -1 if this block has none."""
    return -1 if start >= len(block) else block.find(b"\n", max(0, start))

"""What stands in the cells of tables and beside the bars of plots: counts, bars, and names from a corpus, made short and harmless."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich.cells import cell_len
from rich.markup import escape as escape_markup
from rich.table import Table

EIGHTHS = " ▏▎▍▌▋▊▉█"


def empty_table(title: str, *columns: str, left: Collection[int] = (0,), header: bool = True) -> Table:
    """An empty table without lines; the columns numbered in `left` hold text, the others numbers."""
    made = Table(title=title, header_style="dim", box=None, pad_edge=False, show_header=header)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index in left else "right")
    return made


def counted(value: int | None) -> str:
    """With thousands separated; a dash where nothing was counted."""
    return "–" if value is None else f"{value:,}"


def bar(value: int, most: int, width: int) -> str:
    """A horizontal bar, `width` cells long at `most`; what is not nothing can be seen."""
    eighths = -(-8 * width * value // max(1, most))
    full, rest = divmod(eighths, 8)
    return "█" * full + EIGHTHS[rest].strip()


def escape(text: str) -> str:
    """Names from a corpus as they may stand on a terminal: no markup, no control characters."""
    return escape_markup(printable(text))


def printable(text: str) -> str:
    """The text without control characters and the invisible ones that turn the direction of writing."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def shorten(text: str, width: int) -> str:
    """Printable, and at most `width` cells of a terminal: cut in the middle, as paths are told apart by their ends, most by the last.

    A letter that takes no room, such as an accent, counts as one cell, or a name could stack any number of them. What is returned may
    stand in a plot, given parse_math=False; for a table it is still to be escaped.
    """
    text = printable(text)
    if max(len(text), cell_len(text)) <= width:
        return text
    head = _fitting(text, (width - 1) // 3)
    return head + "…" + _fitting(reversed(text), width - 1 - max(len(head), cell_len(head)))[::-1]


def _fitting(letters: Iterable[str], room: int) -> str:
    kept = []
    for letter in letters:
        room -= max(1, cell_len(letter))
        if room < 0:
            break
        kept.append(letter)
    return "".join(kept)

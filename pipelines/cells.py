"""What stands in the cells of tables and beside the bars of plots: counts, bars, and names from a corpus, made short and harmless."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich.cells import cell_len
from rich.markup import escape as escape_markup
from rich.table import Table

EIGHTHS = " ▏▎▍▌▋▊▉█"

UNITS = ("kB", "MB", "GB", "TB")
"""Of 1,000 bytes, 1,000 times as many, …"""


def empty_table(title: str, *columns: str, left: Collection[int] = (0,), header: bool = True) -> Table:
    """An empty table without lines; the columns numbered in `left` hold text, the others numbers."""
    made = Table(title=title, header_style="dim", box=None, pad_edge=False, show_header=header)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index in left else "right")
    return made


def counted(value: int | None) -> str:
    """With thousands separated; a dash where nothing was counted."""
    return "–" if value is None else f"{value:,}"


def some(count: int, noun: str, plural: str = "") -> str:
    """As many of a thing, in words: 1 document, 1,234 documents, 2 repositories."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def sized(count: int) -> str:
    """Bytes in the unit that shows them: 999 B, 47.2 kB, 1.5 GB."""
    if count < 1000:
        return f"{count} B"
    size, unit = count / 1000, 0
    while round(size, 1) >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.1f} {UNITS[unit]}"


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

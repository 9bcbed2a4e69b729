"""Where `trace` and `forget` print."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

WIDTH = 120
"""Columns where there is no terminal."""

WIDEST = 1000
"""Columns at most of a table that people copy from."""


def new_console() -> Console:
    """Standard output. What is printed there is taken as it is: no numbers are coloured, and no names of emojis replaced."""
    return Console(highlight=False, emoji=False, width=None if os.isatty(1) else WIDTH)


def print_whole(console: Console, table: Table) -> None:
    """A table with ids or paths that people copy: as wide as it needs to be, whatever the width of the terminal."""
    whole = Console(highlight=False, emoji=False, width=WIDEST)
    whole.width = max(console.width, whole.measure(table).maximum)
    whole.print(table)

"""The output folder: empty, ours and unfinished, or ours and finished; anything else is left alone.

nothing ─▶ export.unfinished ─▶ data ─▶ indices ─▶ export.json, and export.unfinished goes
           └── found by the next export: an interruption; all that is there is removed
"""

from __future__ import annotations

import json
from typing import Any, Final

from contracts.errors import OutputError
from pipelines.storage import join, names_in, remove, write_bytes

FINISHED: Final = "export.json"
"""Written last: what the folder holds."""

UNFINISHED: Final = "export.unfinished"
"""Written first, into an empty folder: whatever lies beside it was made by an export that did not end."""

LOCK: Final = ".lock"
"""Left by `locked`."""

WARNING: Final = b"An export is being written here, or was interrupted. The next one removes everything in this folder.\n"


def claim(output: str) -> None:
    """Makes a folder ours. What an interrupted export left is removed first. Raises OutputError for a folder with anything else in it."""
    held = [name for name in names_in(output) if name != LOCK]
    if FINISHED in held:
        raise OutputError(f"{output} holds a finished export. Remove it, or choose another --output.")
    if held and UNFINISHED not in held:
        more = f" and {len(held) - 1} more" if held[1:] else ""
        raise OutputError(
            f"{output} is not empty: it holds {held[0]!r}{more}, which no export wrote. Choose an empty or new --output."
        )
    for name in held:
        if name != UNFINISHED:
            remove(join(output, name))
    write_bytes(join(output, UNFINISHED), WARNING)


def commit(output: str, description: dict[str, Any]) -> None:
    """Says that the folder is finished, and what it holds."""
    text = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_bytes(join(output, FINISHED), text.encode())
    remove(join(output, UNFINISHED))

"""The errors a user can meet, as one tree.

SpanmillError
├── ConfigError      the recipe or the command line is wrong            exit code 2
├── InputError       a corpus, file or column is not what was promised  exit code 1
├── OutputError      an output folder cannot be used or written         exit code 1
├── EngineError      the Beam engine cannot do the job as it is set up  exit code 1
├── StageError       an earlier stage is missing, unfinished or stale   exit code 1
├── ShardError       a shard or its manifest is damaged or incompatible exit code 1
└── NotAwaited       a job was built or submitted, but not waited for   exit code 0

Every message says what is wrong, the value seen, what is allowed, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpanmillError(Exception):
    """Any error that is the input's or the user's, not a bug; printed without a traceback."""

    exit_code = 1


class ConfigError(SpanmillError):
    """A setting or an option that cannot be used."""

    exit_code = 2


class InputError(SpanmillError):
    """Input that cannot be read at all (a single bad document is quarantined instead)."""


class OutputError(SpanmillError):
    """An output folder that is not ours, not writable, or full."""


class EngineError(SpanmillError):
    """Workers that are not there, have another version, or do not share the storage."""


class StageError(SpanmillError):
    """A stage whose predecessor has not been committed, or was made with other settings."""


class ShardError(SpanmillError):
    """A shard that is torn, altered, or was made for another tokenizer or context length."""


class NotAwaited(SpanmillError):  # noqa: N818 - it is none
    """Not a failure: a dry run, or a job that goes on by itself. What follows it cannot be made yet."""

    exit_code = 0


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Words for an unknown name: the name, the one probably meant, and those that are known.

    Names may come from a corpus: of many the first are told, control characters are escaped, and what is very long is cut.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return f"unknown {what} {name!r}.{guess} Known: {', '.join(map(_shown, names[:NAMES_SHOWN]))}{more}."


NAMES_SHOWN = 60
"""Known names that an error lists."""


def _shown(name: str) -> str:
    words = name if name.isprintable() else repr(name)[1:-1]
    return words if len(words) <= 60 else f"{words[:57]}…"

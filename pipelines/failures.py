"""What an engine's failure becomes: the error a worker meant, or words on what to do.

Engines hand errors of workers on as text: Beam's local one escapes it, Spark and Flink wrap it in Java traces. Ours carry a mark
(pipelines.worker.carried) that is found again; what is left is matched against what a wrong set-up is known to look like.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager

import contracts.errors
from contracts.errors import EngineError, SpanmillError

_CARRIED = re.compile(r"⟦(\w+)\|([A-Za-z0-9+/=]*)⟧")

_OUR_PACKAGES = "beam_runner|configs|contracts|dedup|pipelines|sharding|tokenizer"

SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"Only one SparkContext|stopped SparkContext"),
        "The Spark job server takes one job at a time, and is at work on another or still ending one, perhaps of a submitter that was "
        "killed: wait for it, or restart the job server.",
    ),
    (
        re.compile(rf"No module named '({_OUR_PACKAGES})\b"),
        "The workers' Python lacks Spanmill: install the same wheel there (for worker pools: into the Python that runs the pool), pass "
        "it with --extra_package=dist/spanmill-….whl where the engine installs packages, or name a container image that has it.",
    ),
    (
        re.compile(r"No module named '([\w.]+)'"),
        "The workers' Python lacks a package that Spanmill needs: install the wheel with its dependencies there (constraints.txt has "
        "the versions).",
    ),
    (
        re.compile(r"cannot load its work"),
        "The workers probably have another version of Spanmill, Beam or Python than the submitter: install the same wheel on both and "
        "restart the workers.",
    ),
    (
        re.compile(r"exceeds the maximum size of a sort buffer"),
        "Flink has too little memory to sort what is exchanged: raise taskmanager.memory.managed.size, which all sorts of a job share.",
    ),
    (
        re.compile(r"StatusCode\.UNAVAILABLE|failed to connect to all addresses|Connection refused"),
        "A server of the engine does not answer: see that the job server (--job_endpoint) and the worker pools (--environment_config) "
        "run and that firewalls let them through.",
    ),
)
"""What a failed job's text tells of its set-up, the most telling first."""

LOCAL_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"Channel closed prematurely|exited with return code|Socket closed"),
        "A worker process was killed, most likely because memory ran out: take fewer workers (--direct_num_workers=1) or smaller pieces "
        "(--set part_bytes=…, --set shard.window_bytes=…).",
    ),
)
"""The same of a job on this machine."""

_BEAM_ADDS = re.compile(r" \[while running '([^']*)'\]")
"""Beam writes the name of a transform into the first argument of an exception, in the middle of some sentences."""

_NO_CAUSE = re.compile(r"^\s*(at |\.\.\. \d+ more|Driver stacktrace|Caused by: java|$)")
_EXCEPTION = re.compile(r"^\s*([\w.]*(Error|Exception|Interrupt)\b.*)$")
_CONTEXT = re.compile(r"[\w.]+: (?:Only one SparkContext|Cannot call methods on a stopped SparkContext)[^\n]*")
"""Spark's own refusals, which no worker raised; its traces after them do not look like traces."""


def _cause(error: Exception) -> str:
    """The line of a failure that tells most: of several exceptions in it the last of Python's, without Java's traces."""
    context = _CONTEXT.search(str(error))
    if context:
        return context[0][:500].rstrip(".")
    lines = [line for line in str(error).strip().splitlines() if not _NO_CAUSE.match(line)]
    raised = [line for line in lines if _EXCEPTION.match(line) and not line.lstrip().startswith(("java.", "org."))]
    found = (raised or lines or [type(error).__name__])[-1].strip()
    step = _BEAM_ADDS.search(found)
    return _BEAM_ADDS.sub("", found)[:500].rstrip(".") + (f" (while running {step[1]})" if step else "")


def known_error(text: str) -> SpanmillError | None:
    """The error that a worker of ours raised, if the text carries one."""
    found = _CARRIED.search(text)
    if not found:
        return None
    kind = getattr(contracts.errors, found[1], SpanmillError)
    error: SpanmillError = kind(base64.b64decode(found[2]).decode(errors="replace"))
    return error


@contextmanager
def translated(label: str, log: str, remote: bool) -> Iterator[None]:
    """Turns what an engine raises into a SpanmillError or a KeyboardInterrupt. `log`: where Beam's messages are, for the words."""
    try:
        yield
    except (KeyboardInterrupt, SpanmillError):
        raise
    except Exception as error:
        text = str(error)
        known = known_error(text)
        if known:
            raise known from None
        if not remote and "KeyboardInterrupt" in text:  # Beam's in-memory mode wraps it
            raise KeyboardInterrupt from None
        where = f" Beam's messages are in {log}." if log else ""
        advice = next((words for sign, words in (SIGNS if remote else LOCAL_SIGNS) if sign.search(text)), "")
        kind = EngineError if advice else SpanmillError
        words = f"{label} failed: {_cause(error)}. {advice}".rstrip()
        raise kind(f"{words}{where} What is done is kept: without the cause, the same command goes on from there.") from error

"""What curate says of a source of which next to nothing was kept: a corpus is seldom meant to vanish.

of 803 documents of the source 'notes' none was kept: the filter license dropped 803, for example because of: no licence (…).
Documents without a licence are kept with license_policy = "keep_unknown" in its [[source]].
"""

from __future__ import annotations

from typing import Final

from contracts.errors import InputError
from contracts.manifest import Manifest
from pipelines.corpus import read_part
from pipelines.counts import add_up
from pipelines.filters import FILTERS
from pipelines.progress import Reporter
from pipelines.storage import join, read_manifest

LEAST_KEPT: Final = 0.01
"""Share of a source's documents below which somebody should look. Our choice."""

NO_LICENSE: Final = "no licence"
"""How the licence filter's reasons begin for documents without one."""


def warn(made: Manifest, run_dir: str, reporter: Reporter) -> None:
    """Warns of each source of which less than LEAST_KEPT was kept."""
    for source, languages in sorted(made.statistics["sources"].items()):
        counts = add_up(languages.values())
        kept, read = counts.get("kept", 0), sum(counts.get(name, 0) for name in ("documents_in", "quarantined"))
        if kept < LEAST_KEPT * read:
            reporter.warn(_words(made, join(run_dir, "curate"), source, kept, read))


def check_something_is_left(run_dir: str) -> None:
    """Raises InputError where curate kept no document at all: no later stage could do anything."""
    folder = join(run_dir, "curate")
    totals = read_manifest(folder).totals
    if not totals["kept"]:
        raise InputError(
            f"None of {totals['in']:,} documents was kept, so there is nothing to go on with. Every one of them has its reason in "
            f"{join(folder, 'decisions')}. Change the recipe as the warnings say; the same command then curates again."
        )


def _words(made: Manifest, folder: str, source: str, kept: int, read: int) -> str:
    check, count = max(made.statistics["checks"][source].items(), key=lambda item: (item[1], item[0]))
    reason = _example(made, folder, source, check)
    what = f"the filter {check} dropped" if check in FILTERS else f"the check {check} quarantined"
    return (
        f"of {read:,} documents of the source {source!r} {_amount(kept)} kept: {what} {count:,}"
        f"{f', one for this reason: {reason}' if reason else ''}. {_advice(check, reason)}"
    )


def _amount(kept: int) -> str:
    return f"only {kept:,} {'was' if kept == 1 else 'were'}" if kept else "none was"


def _advice(check: str, reason: str) -> str:
    if check == "license" and reason.startswith(NO_LICENSE):
        return 'Documents without a licence are kept with license_policy = "keep_unknown" in its [[source]] (docs/sources.md).'
    if check == "license":
        return "Which licences are allowed is said by filters.license.allow and also_allow."
    if check in FILTERS:
        return f"[filters.{check}] decides (spanmill settings filters.{check})."
    return "Its [[source]] may not be what its files are."


def _example(made: Manifest, folder: str, source: str, check: str) -> str:
    """The first reason that is written down for a check in a source; "" if there is none to be read."""
    for entry in made.files:
        if entry.stratum == source and entry.path.startswith("decisions/") and entry.rows:
            rows = read_part(folder, entry, ["check", "reason"]).to_pylist()
            if found := next((row["reason"] for row in rows if row["check"] == check), ""):
                return str(found)
    return ""

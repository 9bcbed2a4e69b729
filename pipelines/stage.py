"""A stage on disk: what it is made from, what is done of it, and the commit.

    RUN/STAGE/.progress/identity.json      recipe of this stage, digests of its inputs, versions: what its bytes depend on
    RUN/STAGE/.progress/ID/STEP/00000007.json  receipt: item 7 of a step is done; holds its counts and the digests of its files
    RUN/STAGE/.progress/ID/work            folder of what steps of the stage hand one another
    RUN/STAGE/manifest.json                written last; from then on the stage exists, and .progress is removed

ID is a digest of the identity, so a worker left over from a run with other settings can never hand this one its results, and never
commits. A killed run goes on from its receipts, on the same engine or another. A run with another identity says what changed and
starts the stage again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

from contracts.errors import OutputError, StageError
from contracts.manifest import FileEntry, Manifest, digest_of
from contracts.schemas import FORMAT_VERSION
from pipelines.differences import difference, why
from pipelines.storage import (
    TEMPORARY,
    abort_uploads,
    exists,
    files_below,
    join,
    names_in,
    read_bytes_or_none,
    read_manifest,
    read_many,
    remove,
    sizes_below,
    sizes_of,
    write_bytes,
)
from sharding.forgotten import MASK_PATH

PACKAGES = ("spanmill", "gigatoken", "numpy", "pyarrow", "tokenizers")
"""Packages whose version can change a stage's bytes."""

Receipt = dict[str, Any]
"""A JSON object that a step's item leaves behind when it is done."""


def installed_versions() -> dict[str, str]:
    """Of PACKAGES, in this Python."""
    return {package: version(package) for package in PACKAGES}


@dataclass(frozen=True)
class Stage:
    """One stage of one run."""

    name: str
    run_dir: str
    config: dict[str, Any]
    """The settings that decide its bytes."""
    seed: int
    upstream: dict[str, str]
    versions: dict[str, str] = field(default_factory=installed_versions)
    """Of the Python that submits; workers must have the same."""
    layout: dict[str, Any] = field(default_factory=dict)
    """How its work is cut: decides no byte that is committed, but receipts of one layout mean nothing in another."""

    @property
    def folder(self) -> str:
        """Where its output lies."""
        return join(self.run_dir, self.name)

    def path(self, *names: str) -> str:
        """A path in the stage's folder."""
        return join(self.folder, *names)

    @cached_property
    def progress(self) -> str:
        """Folder of receipts and work of this identity; one folder below it for each step."""
        identity = {**self.identity, "layout": _plain(self.layout)} if self.layout else self.identity
        return join(self.folder, ".progress", digest_of(identity)[:16])

    def work_path(self, *names: str) -> str:
        """A path for what steps hand one another; removed at the commit."""
        return join(self.progress, "work", *names)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that its bytes depend on."""
        return _plain(
            {
                "config": self.config,
                "seed": self.seed,
                "upstream": self.upstream,
                "versions": self.versions,
                "format_version": FORMAT_VERSION,
            }
        )

    def open(self) -> tuple[bool, str]:
        """Readies the folder: (whether there is work to do, words on what was found)."""
        work_to_do, words = self.look()
        if work_to_do:
            self.begin()
        else:
            self.close()
        return work_to_do, words

    def look(self) -> tuple[bool, str]:
        """As `open`, but changes nothing. Raises OutputError if the folder holds files that no run of Spanmill made."""
        if exists(self.path("manifest.json")):  # by name: a listing may be older than it
            made = read_manifest(self.folder)
            change = difference(_identity_of(made), self.identity)
            missing = [] if change else _missing(self.folder, made.files)
            if not change and not missing:
                return False, "is up to date"
            lost = f"{len(missing)} of its files are missing or were cut, such as {missing[0]}" if missing else ""
            return True, f"is made again{why(change or lost)}"
        found = names_in(self.folder)
        if not found:
            return True, ""
        if ".progress" not in found:
            raise OutputError(
                f"{self.folder} holds {', '.join(found[:3])}{' …' if len(found) > 3 else ''}, which no Spanmill stage made. "
                "Choose another folder with --output, or move them away."
            )
        begun = self._begun()
        if begun is None:
            return True, "is begun again: it was stopped before it had begun"
        change = difference(begun, self.identity)
        return True, f"is begun again{why(change)}" if change else "goes on where it stopped"

    def begin(self, *, again: bool = False) -> None:
        """Readies the folder for work: what is of this identity and unfinished stays, unless `again`; all else goes."""
        if again or exists(self.path("manifest.json")) or self._begun() != self.identity:
            self._restart()

    def receipt(self, step: str, number: int) -> Receipt:
        """An item's receipt; empty if it has none that parses."""
        return _receipt(read_bytes_or_none(self._receipt_path(step, number)))

    def receipts(self, step: str) -> dict[int, Receipt]:
        """Receipts of a step by item number. A receipt that does not parse counts as missing."""
        paths = {self._receipt_path(step, number): number for number in self.done(step)}
        found = {paths[path]: _receipt(content) for path, content in read_many(list(paths)).items()}
        return {number: found[number] for number in sorted(found) if found[number]}

    def all_receipts(self, step: str, count: int) -> list[Receipt]:
        """The receipts of all `count` items of a step, in item order. Raises StageError if one is missing.

        What a listing lacks is asked for by name: some stores list a file only a while after it was written.
        """
        found = self.receipts(step)
        for number in range(count):
            receipt = found.get(number) or self.receipt(step, number)
            if not receipt:
                raise StageError(
                    f"{self.name}: {step}: item {number} of {count} left no receipt in {join(self.progress, step)}. Another run may "
                    "have begun in this folder, or files were removed. The same command goes on from here."
                )
            found[number] = receipt
        return [found[number] for number in range(count)]

    def write_receipt(self, step: str, number: int, receipt: Receipt) -> None:
        """Says that an item is done; its files must be."""
        write_bytes(self._receipt_path(step, number), json.dumps(receipt, sort_keys=True).encode())

    def done(self, step: str) -> list[int]:
        """Numbers of the items of a step that have receipts."""
        names = names_in(join(self.progress, step))
        return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]

    def commit(self, files: Iterable[FileEntry], totals: dict[str, int], statistics: dict[str, Any]) -> Manifest:
        """Writes the manifest: from then on the stage exists. `close` then removes what only the making needed.

        Raises StageError if a run with other settings has begun in this folder meanwhile.
        """
        entries = sorted(files, key=lambda entry: entry.path)
        missing = _missing(self.folder, entries)
        if missing:
            raise StageError(
                f"{self.folder}: {len(missing)} of {len(entries)} files that were written are gone or shorter than they were, such as "
                f"{missing[0]}: something else removes files there. Remove the folder and make the stage again."
            )
        identity = self.identity
        manifest = Manifest(
            stage=self.name,
            config=identity["config"],
            seed=self.seed,
            upstream=self.upstream,
            versions=identity["versions"],
            totals=totals,
            statistics=statistics,
            files=entries,
        )
        self.check_ours()  # now, and not before: looking for all the files may take long
        write_bytes(self.path("manifest.json"), manifest.to_json().encode())
        return manifest

    def close(self) -> Manifest:
        """The committed manifest; removes what only the making needed."""
        manifest = read_manifest(self.folder)
        self._tidy({entry.path for entry in manifest.files})
        abort_uploads(self.folder)
        return manifest

    def check_ours(self) -> None:
        """Raises StageError if a run with other settings has begun in this folder: a job whose submitter is gone may still be at work."""
        begun = self._begun()
        change = difference(begun, self.identity) if begun is not None else "its .progress was removed"
        if change:
            raise StageError(
                f"{self.folder} belongs to another run now: {change}. This job ends without a result; it changes nothing."
            )

    def _receipt_path(self, step: str, number: int) -> str:
        return join(self.progress, step, f"{number:08d}.json")

    def _begun(self) -> dict[str, Any] | None:
        content = read_bytes_or_none(self.path(".progress", "identity.json"))
        try:
            begun = json.loads(content or b"")
        except ValueError:
            return None
        return begun if isinstance(begun, dict) else None

    def _restart(self) -> None:
        # First: a folder that a crash leaves half-removed must still be known as ours.
        write_bytes(self.path(".progress", "identity.json"), json.dumps(self.identity, indent=1, sort_keys=True).encode())
        remove(self.path("manifest.json"))  # then: a half-removed stage must not look finished
        for name in names_in(self.folder):
            if name != ".progress":
                remove(self.path(name))
        for name in names_in(self.path(".progress")):
            if name != "identity.json":
                remove(self.path(".progress", name))
        abort_uploads(self.folder)

    def _tidy(self, keep: set[str]) -> None:
        """Leaves the manifest and its files, and what was forgotten since: torn files of killed workers go, and so does .progress."""
        for name in files_below(self.folder):
            torn = TEMPORARY in name
            if name not in ("manifest.json", MASK_PATH) and name not in keep and (torn or not name.startswith(".progress/")):
                remove(self.path(name))
        remove(self.path(".progress"))


def _receipt(content: bytes | None) -> Receipt:
    try:
        found = json.loads(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _missing(folder: str, entries: Sequence[FileEntry]) -> list[str]:
    """Files that are not there, or not as long as they were. What the listing does not show so is asked for by name."""
    listed = sizes_below(folder)
    suspect = [entry for entry in entries if listed.get(entry.path) != entry.bytes]
    present = sizes_of([join(folder, entry.path) for entry in suspect]) if suspect else {}
    return [entry.path for entry in suspect if present.get(join(folder, entry.path)) != entry.bytes]


def _identity_of(manifest: Manifest) -> dict[str, Any]:
    return {
        "config": manifest.config,
        "seed": manifest.seed,
        "upstream": manifest.upstream,
        "versions": manifest.versions,
        "format_version": manifest.format_version,
    }


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON, so that what is read can be compared with what would be written."""
    return dict(json.loads(json.dumps(value)))

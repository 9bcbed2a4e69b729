"""A folder of files, such as a checked-out repository.

Hidden files and folders (`.git`) are left out, and so are pipes, sockets and devices, and symbolic links: what these point at is
either read under its own name or lies outside. Files whose name tells no language are no inputs unless `default_language` is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import Field

from contracts.errors import InputError
from pipelines.sources import hub
from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.files import read_files
from pipelines.sources.inputs import check_name, is_regular, settled, survey_file, url_of
from pipelines.sources.languages import kind_of, language_of
from pipelines.sources.license_files import LicenseFiles
from pipelines.sources.licenses import from_header
from pipelines.sources.parts import split_by_label
from pipelines.sources.row_buffer import Row
from pipelines.sources.settings import SourceBase
from pipelines.sources.stores import LISTING, ask, exists, is_store, located
from pipelines.storage.errors import reason_of


class TreeSettings(SourceBase):
    """`type = "tree"`."""

    type: Literal["tree"] = Field(default="tree")
    """Selects this source."""

    path: str = Field(min_length=1)
    """The folder; anything that fsspec opens."""

    repo: str = ""
    """Name of the repository, for every document."""

    include: list[str] = Field(default_factory=lambda: ["*"])
    """Paths below the folder to read: shell patterns, in which `*` matches slashes too."""

    exclude: list[str] = Field(default_factory=list)
    """Paths to leave out, even if included."""

    default_language: str = ""
    """Language of files whose name tells none; "" leaves them out."""

    def open(self) -> Tree:
        """The source."""
        return Tree(self)


@dataclass(frozen=True)
class Tree:
    """See pipelines.sources.base.Source. The label of an input is its path below the folder."""

    settings: TreeSettings

    @property
    def name(self) -> str:
        """Name in the recipe."""
        return self.settings.name

    def list_inputs(self) -> list[str]:
        """Files of a known language."""
        check_name(self.settings.path)
        fs, root = settled(self.settings.path)
        try:
            there = exists(fs, root, self.settings.path)
            found = ask(fs, self.settings.path, lambda: sorted(self._walk(fs, root.rstrip("/"))), LISTING) if there else []
        except OSError as error:
            raise InputError(f"The folder {self.settings.path!r} cannot be listed: {reason_of(error)}. Check the path.") from None
        if not found:
            raise InputError(
                f"There is no input below {self.settings.path!r}: it must be a folder that holds files of a known language "
                f"which 'include' = {self.settings.include} admits and 'exclude' = {self.settings.exclude} does not."
            )
        return found

    def survey(self, path: str) -> Input:
        """Digest, and the path below the folder as label."""
        _, root = located(hub.without_commit(self.settings.path))
        _, name = located(hub.without_commit(path))
        return survey_file(path, label=name[len(root.rstrip("/")) + 1 :])

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Whole files, in the order of their paths."""
        return split_by_label(self.name, inputs, part_bytes, self.settings.max_bytes)

    def read(self, part: Part) -> Iterator[Reading]:
        """One document a file."""
        found = LicenseFiles()
        return read_files(part, lambda each, text: self._row(found, each, text), self._language)

    def _row(self, found: LicenseFiles, each: Input, text: bytes) -> Row:
        licenses = from_header(text) or found.nearest(each)
        language = self._language(each)
        evidence = licenses.evidence if licenses.expressions else self.settings.no_license_evidence
        return Row(text, language, kind_of(language), licenses.expressions, evidence, self.settings.repo, each.label)

    def _language(self, each: Input) -> str:
        return language_of(each.label) or self.settings.default_language

    def _walk(self, fs: Any, root: str) -> Iterator[str]:
        if hub.on_hub(fs):
            hub.list_at_once(fs, root)
        for folder, folders, files in fs.walk(root, detail=True, on_error="raise" if is_store(fs) else "omit"):
            for name in [name for name, info in folders.items() if _skipped(name, info)]:
                del folders[name]
            for name, info in files.items():
                path = f"{folder.rstrip('/')}/{name}"
                if is_regular(fs, info) and not _skipped(name, info) and self._wanted(path[len(root) + 1 :]):
                    yield url_of(fs, path)

    def _wanted(self, label: str) -> bool:
        included = any(fnmatchcase(label, pattern) for pattern in self.settings.include)
        excluded = any(fnmatchcase(label, pattern) for pattern in self.settings.exclude)
        return included and not excluded and bool(language_of(label) or self.settings.default_language)


def _skipped(name: str, info: dict[str, Any]) -> bool:
    return name.startswith(".") or bool(info.get("islink"))

"""The default corpus: what is installed beside this program. Real, licensed and there on every machine, without a download.

part = "code"   the source files of the standard library and of the distributions
part = "docs"   their long descriptions and documentation files, and the docstrings of each module as one document
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final, Literal

from pydantic import Field

from contracts.errors import InputError
from pipelines.sources.base import Input, Part, Reading
from pipelines.sources.docstrings import docstrings, estimated_bytes
from pipelines.sources.files import read_files
from pipelines.sources.inputs import survey_file
from pipelines.sources.installed import installed, labels
from pipelines.sources.languages import DATA, PROSE, language_of
from pipelines.sources.licenses import Licenses, from_header, is_license_file
from pipelines.sources.parts import cap, split_by_label
from pipelines.sources.row_buffer import Row
from pipelines.sources.settings import Kind, SourceBase

MIN_DOCSTRING_BYTES: Final = 200
"""Modules with less text in their docstrings are no documents. Our choice: two or three sentences."""

_DOCUMENTS: Final = frozenset({"authors", "changelog", "changes", "contributing", "history", "news", "notes", "readme", "todo"})
"""Names of .txt files that are prose; others in installed packages are mostly test data and lists."""


class PythonEnvironmentSettings(SourceBase):
    """`type = "python_environment"`."""

    type: Literal["python_environment"] = Field(default="python_environment")
    """Selects this source."""

    part: Literal["code", "docs"] = "code"
    """Source files, or the natural language that comes with them."""

    def open(self) -> PythonEnvironment:
        """The source."""
        return PythonEnvironment(self)


def _label(path: str) -> str:
    found = labels().get(path)
    if found is None:
        raise InputError(
            f"{path} is not part of the Python that runs here, {sys.prefix}. The source python_environment is what is installed where the "
            "job is submitted: workers elsewhere need the same environment at the same place, or another source."
        )
    return found


@dataclass(frozen=True)
class PythonEnvironment:
    """See pipelines.sources.base.Source. The label of an input is its distribution, a slash, and its path."""

    settings: PythonEnvironmentSettings

    @property
    def name(self) -> str:
        """Name in the recipe."""
        return self.settings.name

    def list_inputs(self) -> list[str]:
        """Files of the part wanted. Code is chosen by size here already, so that nothing is surveyed in vain."""
        wanted = _is_code if self.settings.part == "code" else _may_hold_docs
        found = [Input(path, _size(path), "", label=label) for path, label in labels().items() if wanted(label)]
        if not found:
            raise InputError("The Python environment holds no file of this part. Use another source, such as 'tree'.")
        limit = self.settings.max_bytes if self.settings.part == "code" else None
        return sorted(each.path for each in cap(found, limit))

    def survey(self, path: str) -> Input:
        """Digest; for a module of the part "docs" also an estimate of its docstrings."""
        docs = self.settings.part == "docs" and path.endswith(".py")
        return survey_file(path, _docstring_bytes if docs else None, _label(path))

    def split(self, inputs: Sequence[Input], part_bytes: int) -> list[Part]:
        """Whole files, in the order of their labels; modules that say little are left out."""
        telling = [each for each in inputs if not each.units or sum(each.units) >= MIN_DOCSTRING_BYTES]
        limit = self.settings.max_bytes if self.settings.part == "docs" else None
        return split_by_label(self.name, telling, part_bytes, limit)

    def read(self, part: Part) -> Iterator[Reading]:
        """One document a file."""
        return read_files(part, self._code if self.settings.part == "code" else self._docs, lambda each: language_of(each.label))

    def _code(self, each: Input, text: bytes) -> Row:
        licenses = _licenses(each, text)
        return self._row(each, text, language_of(each.label), licenses)

    def _docs(self, each: Input, text: bytes) -> Row | None:
        licenses = _licenses(each, text)
        _, path = each.label.split("/", 1)
        if path.endswith(".py"):
            words = docstrings(text, path).encode(errors="replace")
            return self._row(each, words, "restructuredtext", licenses) if len(words) >= MIN_DOCSTRING_BYTES else None
        if _is_metadata(path):
            header, _, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
            return self._row(each, body, _description_language(header), licenses) if body.strip() else None
        return self._row(each, text, language_of(path), licenses)

    def _row(self, each: Input, text: bytes, language: str, licenses: Licenses) -> Row:
        repo, path = each.label.split("/", 1)
        evidence = licenses.evidence if licenses.expressions else self.settings.no_license_evidence
        kind: Kind = "code" if self.settings.part == "code" else "prose"
        return Row(text, language, kind, licenses.expressions, evidence, repo, path)


def _licenses(each: Input, text: bytes) -> Licenses:
    """The distribution's, and the file's own where its header names one; all of them must hold."""
    own = from_header(text)
    whole = installed()[each.label.split("/", 1)[0]].licenses
    if own is None:
        return whole
    expressions = tuple(dict.fromkeys([*whole.expressions, *own.expressions]))
    return Licenses(expressions, f"{whole.evidence} and {own.evidence}" if whole.expressions else own.evidence)


def _is_code(label: str) -> bool:
    language = language_of(label)
    return bool(language) and language not in PROSE and language not in DATA


def _may_hold_docs(label: str) -> bool:
    path = PurePosixPath(label)
    if any(step.endswith((".dist-info", ".egg-info")) for step in path.parts[:-1]):
        return _is_metadata(label)
    if path.suffix == ".txt" or not path.suffix:
        return path.stem.lower() in _DOCUMENTS
    return path.suffix == ".py" or (language_of(label) in PROSE and not is_license_file(path.name))


def _is_metadata(path: str) -> bool:
    return path.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO"))


def _description_language(header: bytes) -> str:
    kind = header.lower().partition(b"description-content-type:")[2].split(b"\n")[0]
    return "markdown" if b"markdown" in kind else "text" if b"plain" in kind else "restructuredtext"


def _docstring_bytes(file: BinaryIO) -> list[int]:
    return [estimated_bytes(file.read())]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0

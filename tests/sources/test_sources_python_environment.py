"""The default corpus: there, licensed, chosen the same way each time, and described by real metadata."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest
from source_reading import gathered, plan, read_part

from pipelines.sources.distribution_licenses import licenses_of
from pipelines.sources.docstrings import docstrings, module_name
from pipelines.sources.installed import installed, labels
from pipelines.sources.licenses import UNRECOGNIZED
from pipelines.sources.python_environment import PythonEnvironmentSettings


def test_code_is_chosen_by_content_and_kept_within_the_cap() -> None:
    source = PythonEnvironmentSettings(name="env", max_bytes=1_000_000).open()
    parts = plan(source, 300_000)
    found = gathered([read_part(source, part) for part in parts])
    size = sum(len(text.encode()) for text in found.texts())
    assert 500_000 < size <= 1_000_000
    assert set(found.column("kind")) == {"code"}
    assert found.column("path") == [each.label.partition("/")[2] for part in parts for each in part.inputs]
    assert all(not path.startswith(("/", "..")) for path in found.column("path"))
    larger = set(PythonEnvironmentSettings(name="env", max_bytes=2_000_000).open().list_inputs())
    assert set(source.list_inputs()) <= larger


def test_docs_are_prose_of_all_three_kinds() -> None:
    source = PythonEnvironmentSettings(name="env", part="docs", max_bytes=300_000).open()
    listed = source.list_inputs()
    chosen = [path for path in listed if "/idna" in path or "/click" in path or "/networkx/readwrite" in path]
    parts = source.split([source.survey(path) for path in chosen], 10**9)
    found = gathered([read_part(source, part) for part in parts])
    size = sum(len(text.encode()) for text in found.texts())
    assert 100_000 < size < 400_000
    assert set(found.column("kind")) == {"prose"}
    assert {path.rpartition(".")[2].rpartition("/")[2] for path in found.column("path")} >= {"py", "METADATA"}
    assert {"restructuredtext", "markdown"} <= set(found.column("language"))
    assert min(len(text) for text in found.texts()) >= 50


def test_the_environment_is_large_enough_to_learn_from() -> None:
    """Sizes without reading: 60 MB of code are promised wherever this project's dependencies are installed."""
    source = PythonEnvironmentSettings(name="env", max_bytes=60_000_000).open()
    assert sum(Path(path).stat().st_size for path in source.list_inputs()) > 50_000_000


def test_this_project_and_other_peoples_code_are_left_out() -> None:
    assert not any(repo.startswith("spanmill-") for repo in installed())
    assert not any("/_vendor/" in label for label in labels().values())


def test_standard_library_and_distributions_have_their_licences() -> None:
    by_name = {repo.rpartition("-")[0]: each for repo, each in installed().items()}
    assert by_name["cpython"].licenses == (("Python-2.0.1",), "licence of CPython")
    assert "Apache-2.0" in by_name["pyarrow"].licenses.expressions
    assert by_name["xxhash"].licenses.expressions == ("BSD-2-Clause",)
    assert "os.py" in by_name["cpython"].files
    assert all(each.licenses.evidence for each in installed().values())


MIT_TEXT = b"""MIT License

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR
ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH
THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@pytest.mark.parametrize(
    ("fields", "texts", "expressions", "where"),
    [
        ({"License-Expression": "MIT OR ISC", "License": "GPL"}, [], ("MIT OR ISC",), "License-Expression"),
        ({"Classifier": "License :: OSI Approved :: MIT License", "License": "BSD"}, [], ("MIT",), "classifiers"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, [], ("BSD-2-Clause", "BSD-3-Clause"), "classifiers"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, [MIT_TEXT], ("MIT",), "licence file"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, [b"?"], ("BSD-2-Clause", "BSD-3-Clause"), "classifiers"),
        ({"Classifier": "License :: Free for non-commercial use"}, [], (UNRECOGNIZED,), "classifiers"),
        ({"Classifier": "License :: OSI Approved", "License": "MIT"}, [], ("MIT",), "License field"),
        ({"License": "Apache License, Version 2.0"}, [], ("Apache-2.0",), "License field"),
        ({"License": "BSD 3-Clause License\n\n  Copyright"}, [], ("BSD-3-Clause",), "License field"),
        ({"License": "see LICENSE"}, [MIT_TEXT], ("MIT",), "licence file"),
        ({}, [MIT_TEXT, b"All rights reserved."], (), "License field"),
        ({}, [], (), "License field"),
    ],
)
def test_licences_from_metadata(fields: dict[str, str], texts: list[bytes], expressions: tuple[str, ...], where: str) -> None:
    metadata = Message()
    for name, value in fields.items():
        metadata[name] = value
    found = licenses_of(metadata, texts)  # type: ignore[arg-type]
    assert found.expressions == expressions
    assert found.evidence.startswith(where)


SOURCE = b'''"""A module."""

class Shape:
    """A shape.

        With depth.
    """

    def area(self):
        "Its area."

    def silent(self): pass

async def run():
    """Runs."""
'''


def test_docstrings_of_a_module() -> None:
    assert docstrings(SOURCE, "geo/shapes.py") == (
        "geo.shapes\n\nA module.\n\n"
        "geo.shapes.Shape\n\nA shape.\n\nWith depth.\n\n"
        "geo.shapes.Shape.area\n\nIts area.\n\n"
        "geo.shapes.run\n\nRuns.\n"
    )
    assert module_name("geo/__init__.py") == "geo"


@pytest.mark.parametrize("source", [b"def (", b"\0", b"\xff", b"x = 1", b"(" * 5000])
def test_modules_without_docstrings_or_sense(source: bytes) -> None:
    assert docstrings(source, "a.py") == ""

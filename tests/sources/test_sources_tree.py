"""Source trees: which files, in which language, under which licence."""

from __future__ import annotations

from pathlib import Path

import pytest
from identify.vendor.licenses import LICENSES
from source_reading import Found, read_all

from contracts.errors import InputError
from pipelines.sources.languages import from_linguist, language_of
from pipelines.sources.licenses import UNRECOGNIZED, from_header, is_license_file, recognize
from pipelines.sources.tree import TreeSettings

TEXTS = dict(LICENSES)
"""Texts of licences by SPDX id, as `identify` ships them."""

ISC = TEXTS["ISC"].replace("[year]", "2020").replace("[fullname]", "Jane Doe")


def read(path: Path, **settings: object) -> Found:
    return read_all(TreeSettings.model_validate({"name": "t", "path": str(path), **settings}).open())


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def test_files_of_known_languages_in_path_order(tmp_path: Path) -> None:
    files = {
        "src/b.py": "b",
        "src/a.rs": "a",
        "README.md": "# r",
        "photo.jpg": b"\0",
        ".git/config.py": "c",
        "src/.x.py": "h",
        "Makefile": "all:",
    }
    found = read(write(tmp_path, files), repo="me/it")
    assert found.column("path") == ["Makefile", "README.md", "src/a.rs", "src/b.py"]
    assert found.column("language") == ["makefile", "markdown", "rust", "python"]
    assert found.column("kind") == ["code", "prose", "code", "code"]
    assert set(found.column("repo")) == {"me/it"}
    assert found.lost.num_rows == 0


def test_include_exclude_and_default_language(tmp_path: Path) -> None:
    write(tmp_path, {"src/a.py": "a", "src/vendor/b.py": "b", "c.py": "c", "src/notes": "n"})
    found = read(tmp_path, include=["src/*"], exclude=["*/vendor/*"], default_language="text")
    assert (found.column("path"), found.column("language")) == (["src/a.py", "src/notes"], ["python", "text"])
    with pytest.raises(InputError, match=r"'include' = \['nothing'\]"):
        read(tmp_path, include=["nothing"])
    with pytest.raises(InputError, match="There is no input"):
        read(tmp_path / "missing")


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"outside/secret.py": "secret", "outside/LICENSE": ISC, "in/a.py": "a"})
    (tmp_path / "in" / "link.py").symlink_to(tmp_path / "outside" / "secret.py")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "LICENSE").symlink_to(tmp_path / "outside" / "LICENSE")
    found = read(tmp_path / "in")
    assert (found.texts(), found.column("licenses")) == (["a"], [[]])


def test_files_that_are_no_text_are_lost_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "fine", "b.py": b"\0\1", "c.py": b"\xff", "d.py": ""})
    found = read(tmp_path)
    assert (found.texts(), found.checks()) == (["fine", ""], ["nul", "utf8"])


def test_the_folder_may_move_but_paths_are_part_of_documents(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a/x.py": "same", "b/x.py": "same"}
    one, two = read(write(tmp_path / "one", files)), read(write(tmp_path / "two", files))
    assert one.documents.equals(two.documents)
    assert len(set(one.column("doc_id"))) == 2


def test_header_then_nearest_licence_file_then_nothing(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "top.py": "",
        "lib/LICENSE.txt": ISC,
        "lib/deep/er/a.py": "",
        "lib/own.py": "# SPDX-License-Identifier: MIT OR Apache-2.0 -->\n",
        "odd/COPYING": "Do what you like, mostly.",
        "odd/a.py": "",
        "two/LICENSE-ISC": ISC,
        "two/LICENSE-OTHER": "All rights reserved.",
        "two/a.py": "",
    }
    found = read(write(tmp_path, files), include=["*.py"])
    told = dict(
        zip(found.column("path"), zip(found.column("licenses"), found.column("license_evidence"), strict=True), strict=True)
    )
    assert told == {
        "lib/deep/er/a.py": (["ISC"], "licence file lib/LICENSE.txt"),
        "lib/own.py": (["MIT OR Apache-2.0"], "SPDX-License-Identifier header"),
        "odd/a.py": ([UNRECOGNIZED], "licence file odd/COPYING"),
        "top.py": ([], "none found"),
        "two/a.py": (["ISC", UNRECOGNIZED], "licence file two/LICENSE-ISC, two/LICENSE-OTHER"),
    }


def test_headers() -> None:
    assert from_header(b"/* SPDX-License-Identifier: GPL-2.0+ WITH Classpath-exception-2.0 */") == (
        ("GPL-2.0+ WITH Classpath-exception-2.0",),
        "SPDX-License-Identifier header",
    )
    assert from_header(b"x" * 4096 + b"SPDX-License-Identifier: MIT") is None
    assert from_header(b"# SPDX-License-Identifier:\n\xff") is None


@pytest.mark.parametrize("name", ["LICENSE", "license.md", "LICENCE", "COPYING.LESSER", "LICENSE-MIT", "UNLICENSE"])
def test_names_of_licence_files(name: str) -> None:
    assert is_license_file(name)


@pytest.mark.parametrize("name", ["license.py", "licenses", "my-license.txt", "copying-machine.c", "README"])
def test_other_names(name: str) -> None:
    assert not is_license_file(name)


def test_licence_texts_are_recognised_or_called_unrecognised() -> None:
    texts = {spdx: TEXTS[spdx] for spdx in ("MIT", "Apache-2.0", "BSD-3-Clause", "GPL-3.0", "MPL-2.0")}
    for spdx, text in texts.items():
        filled = text.replace("[year]", "2021").replace("[fullname]", "Jane Doe")
        assert recognize(filled.encode()) == spdx
    assert recognize("\n\n".join(texts.values()).encode()) == UNRECOGNIZED
    assert recognize(b"\xff\xfe") == UNRECOGNIZED
    assert recognize(b"") == UNRECOGNIZED


@pytest.mark.parametrize("rider", ["The Software shall be used for Good,\nnot Evil.", "Subject to the Commons Clause."])
def test_a_rider_is_not_overlooked(rider: str) -> None:
    assert recognize(f"{TEXTS['MIT']}\n{rider}\n".encode()) == UNRECOGNIZED


def test_languages_by_name() -> None:
    assert [language_of(name) for name in ("a.PY", "x/Dockerfile", "CMakeLists.txt", "a.unknown", "README", "a.tar.gz")] == [
        "python", "dockerfile", "cmake", "", "text", "",
    ]  # fmt: skip
    assert [from_linguist(name) for name in ("C++", "C#", "Jupyter Notebook", "")] == ["cpp", "c-sharp", "jupyter-notebook", ""]


def test_every_real_language_has_a_name(corpora: Path) -> None:
    """The real corpus was labelled independently; extensions that several languages claim may differ."""
    import pyarrow.parquet as pq

    total = agree = 0
    for path in sorted((corpora / "small").glob("*/*.parquet")):
        if path.parent.name != "nl":
            table = pq.read_table(path, columns=["max_stars_repo_path", "lang"])
            for name, language in zip(*(column.to_pylist() for column in table.columns), strict=True):
                if found := language_of(name):
                    total += 1
                    agree += found == language
    assert total > 3500
    assert agree / total > 0.98

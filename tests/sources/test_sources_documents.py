"""Ids: what they are made of, and what they do not depend on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import xxhash
from source_reading import read_all, write_code

from pipelines.sources.parquet import ParquetSettings
from pipelines.sources.starcoderdata import StarCoderDataSettings


def netstrings(*words: bytes) -> bytes:
    return b"%d;" % len(words) + b"".join(b"%d:%b" % (len(word), word) for word in words)


def test_ids_are_hashes_of_source_locator_and_text(tmp_path: Path) -> None:
    text = "naïve = 1\n"
    path = write_code(tmp_path / "python" / "a.parquet", [text])
    found = read_all(StarCoderDataSettings(name="code", path=str(tmp_path)).open())
    prefix = netstrings(b"code", b"owner/repo0", b"src/0.py", b"0")
    body = text.encode()
    assert found.column("doc_id") == [xxhash.xxh3_128_digest(prefix + b"%d:" % len(body) + body)]
    assert found.column("content_hash") == [xxhash.xxh3_128_digest(body)]
    assert found.column("origin") == [f"{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}#0"]


def test_ids_are_part_of_the_format(tmp_path: Path) -> None:
    """A digest that must never change: removals, segments and earlier corpora refer to documents by it."""
    write_code(tmp_path / "python" / "a.parquet", ["x = 1\n"])
    found = read_all(StarCoderDataSettings(name="code", path=str(tmp_path)).open())
    assert found.column("doc_id")[0].hex() == "f6355f4027efbf1f40c1f38c901ec459"


def test_ids_survive_repartitioning_where_the_corpus_has_its_own(tmp_path: Path) -> None:
    texts = [f"x = {i}\n" for i in range(50)]
    write_code(tmp_path / "one" / "python" / "a.parquet", texts, group=7)
    paths, names = [f"src/{i}.py" for i in range(50)], [f"owner/repo{i % 3}" for i in range(50)]
    for at in (0, 25):
        rows = slice(at, at + 25)
        columns = {"max_stars_repo_path": paths[rows], "max_stars_repo_name": names[rows], "id": [str(i) for i in range(50)][rows]}
        write_code(tmp_path / "two" / "python" / f"{at}.parquet", texts[rows], **columns)
    one, two = (read_all(StarCoderDataSettings(name="c", path=str(tmp_path / each)).open()) for each in ("one", "two"))
    assert sorted(one.column("doc_id")) == sorted(two.column("doc_id"))
    assert set(one.column("origin")).isdisjoint(two.column("origin"))


def test_equal_rows_without_an_id_are_different_documents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_code(tmp_path / f"{name}.parquet", ["same", "same"], max_stars_repo_path=None, id=None)
    settings = ParquetSettings.model_validate({"name": "p", "path": str(tmp_path), "columns": {"text": "content"}})
    found = read_all(settings.open())
    assert len(set(found.column("doc_id"))) == 4
    assert len(set(found.column("content_hash"))) == 1


def test_source_names_keep_ids_apart(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", ["x"])
    ids = [read_all(StarCoderDataSettings(name=name, path=str(tmp_path)).open()).column("doc_id") for name in ("a", "b")]
    assert ids[0] != ids[1]

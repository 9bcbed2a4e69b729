"""StarCoderData, The Stack and plain Parquet: what a good file gives, and that no bad one goes unmentioned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_reading import Found, gathered, not_utf8, plan, read_all, read_part, write_code

from contracts.errors import InputError
from pipelines.sources.parquet import ParquetSettings
from pipelines.sources.starcoderdata import StarCoderDataSettings
from pipelines.sources.the_stack import TheStackSettings


def starcoder(path: Path, **settings: object) -> Found:
    return read_all(StarCoderDataSettings.model_validate({"name": "code", "path": str(path), **settings}).open())


def stack(path: Path, **settings: object) -> Found:
    return read_all(TheStackSettings.model_validate({"name": "code", "path": str(path), **settings}).open())


def test_a_whole_document(tmp_path: Path) -> None:
    write_code(tmp_path / "c-sharp" / "train-00000-of-00001.parquet", ["<reponame>a/b<gh_stars>10-100\nclass A {}\n"])
    found = starcoder(tmp_path)
    document = {
        name: values[0] for name, values in found.documents.to_pydict().items() if name not in ("doc_id", "content_hash", "origin")
    }
    assert document == {
        "source": "code",
        "text": "class A {}\n",
        "marks": [],
        "language": "c-sharp",
        "kind": "code",
        "repo": "a/b",
        "path": "src/0.py",
        "stars": 0,
        "licenses": [],
        "license_evidence": "source 'code' declares its documents permissive",
    }
    assert found.lost.num_rows == 0


def test_issues_commits_and_notebooks_are_read_when_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["<issue_start>Title"]}), _in(tmp_path / "github-issues-filtered-structured"))
    write_code(tmp_path / "python" / "a.parquet", ["x"])
    assert starcoder(tmp_path).column("kind") == ["code"]
    found = starcoder(tmp_path, languages=["github-issues-filtered-structured"])
    assert found.column("kind") == ["issue"]
    assert found.texts() == ["Title"]
    assert found.column("marks") == [[{"at": 0, "token": "<issue_start>"}]]


def _in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder / "train-00000-of-00001.parquet"


def test_a_missing_column_is_named_with_those_seen_and_the_setting(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", ["x"], content=None, contents=["x"])
    found = starcoder(tmp_path)
    assert found.checks() == ["column"]
    assert "unknown column 'content'. Did you mean 'contents'?" in found.reasons()[0]
    assert "Known: contents, id, max_stars_count" in found.reasons()[0]
    assert "Set 'text_column'" in found.reasons()[0]
    assert found.lost["origin"][0].as_py().endswith("#0")
    assert found.lost["language"].to_pylist() == ["python"]


def test_rows_that_are_no_text_are_lost_one_by_one(tmp_path: Path) -> None:
    texts = not_utf8([b"good", b"\xff\xfe", b"nul\0", b"", b"\xed\xa0\x80", b"also good"])
    path = write_code(tmp_path / "python" / "a.parquet", texts)
    found = starcoder(path.parent.parent)
    assert found.texts() == ["good", "", "also good"]
    assert found.checks() == ["utf8", "nul", "utf8"]
    assert [origin.rpartition("#")[2] for origin in found.lost["origin"].to_pylist()] == ["1", "2", "4"]


def test_a_null_text_is_lost_and_null_columns_are_empty(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", ["x", None], max_stars_count=pa.array([None, 1], pa.int64()), id=["a", None])
    found = starcoder(tmp_path)
    assert (found.column("stars"), found.checks()) == ([None], ["text"])


def test_invalid_names_cost_their_row_only(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", ["x", "y"], max_stars_repo_path=not_utf8([b"ok.py", b"\xff.py"]))
    found = starcoder(tmp_path)
    assert found.column("path") == ["ok.py"]
    assert found.reasons() == ["column 'max_stars_repo_path' is not valid UTF-8"]


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    write_code(tmp_path / "in" / "python" / "a.parquet", ["x"], max_stars_repo_path=["../../../etc/passwd"])
    assert starcoder(tmp_path / "in").column("path") == ["../../../etc/passwd"]
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("damage", ["empty", "footer", "garbage"])
def test_a_file_that_cannot_be_opened_is_one_lost_row(tmp_path: Path, damage: str) -> None:
    path = write_code(tmp_path / "python" / "bad.parquet", ["x"] * 100)
    write_code(tmp_path / "python" / "good.parquet", ["fine"])
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "footer": whole[:-20], "garbage": b"not parquet at all"}[damage])
    found = starcoder(tmp_path)
    assert found.texts() == ["fine"]
    assert found.checks() == ["parquet"]
    assert str(tmp_path) not in found.reasons()[0]


def damage(path: Path, group: int) -> None:
    """Overwrites the head of the text's first page in one row group."""
    column = pq.ParquetFile(path).metadata.row_group(group).column(4)
    damaged = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    damaged[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(damaged))


@pytest.mark.parametrize("part_bytes", [1, 10**9])
def test_a_damaged_row_group_costs_itself_only(tmp_path: Path, part_bytes: int) -> None:
    path = write_code(tmp_path / "python" / "a.parquet", [f"text {i} " + "x" * 500 for i in range(350)], group=100)
    whole = starcoder(tmp_path)
    damage(path, 1)
    found = read_all(StarCoderDataSettings(name="code", path=str(tmp_path)).open(), part_bytes)
    kept = [*range(100), *range(200, 350)]
    assert [text.split()[1] for text in found.texts()] == [str(i) for i in kept]
    rows = [origin.rpartition("#")[2] for origin in found.column("origin")]
    assert rows == [whole.column("origin")[i].rpartition("#")[2] for i in kept]
    assert found.checks() == ["parquet"]
    assert found.lost["origin"].to_pylist()[0].endswith("#100")
    assert found.reasons()[0].startswith(
        "100 of the 100 rows that row group 1 held by the footer are lost, from row 100 on: OSError: "
    )


def test_every_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = write_code(tmp_path / "python" / "a.parquet", [f"{i} " + "x" * 500 for i in range(250)], group=100)
    for group in (0, 2):
        damage(path, group)
    found = starcoder(tmp_path)
    assert [words.partition(" are lost")[0] for words in found.reasons()] == [
        "100 of the 100 rows that row group 0 held by the footer",
        "50 of the 50 rows that row group 2 held by the footer",
    ]
    assert (found.documents.num_rows, len(set(found.lost["doc_id"].to_pylist()))) == (100, 2)


def test_a_file_without_rows_gives_nothing_and_loses_nothing(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", [])
    found = starcoder(tmp_path)
    assert (found.documents.num_rows, found.lost.num_rows) == (0, 0)


def test_folders_without_files_and_unknown_languages_are_refused(tmp_path: Path) -> None:
    source = StarCoderDataSettings(name="code", path=str(tmp_path)).open()
    with pytest.raises(InputError, match=r"There is no input at .* must be a file, a glob .* \*\.parquet"):
        source.list_inputs()
    write_code(tmp_path / "python" / "a.parquet", ["x"])
    with pytest.raises(InputError, match=r"unknown language folder 'pyhton'. Did you mean 'python'\?"):
        starcoder(tmp_path, languages=["pyhton"])


def test_renaming_changes_no_byte_and_no_order(tmp_path: Path) -> None:
    for i in range(6):
        write_code(tmp_path / "one" / "python" / f"train-{i}.parquet", [f"{i} {j} {'x' * 200}" for j in range(40)], group=10)
    shutil.copy(tmp_path / "one" / "python" / "train-0.parquet", tmp_path / "one" / "python" / "twin.parquet")
    (tmp_path / "two" / "python").mkdir(parents=True)
    for i, path in enumerate(sorted((tmp_path / "one" / "python").iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / "two" / "python" / f"other-{i}.parquet")
    sources = [StarCoderDataSettings(name="code", path=str(tmp_path / each)).open() for each in ("one", "two")]
    one, two = ([read_part(source, part) for part in plan(source, 5_000)] for source in sources)
    assert len(one) == len(two) > 6
    assert all(a.documents.equals(b.documents) for a, b in zip(one, two, strict=True))
    assert len(set(gathered(one).column("doc_id"))) == 280


@pytest.mark.parametrize("part_bytes", [1, 3_000, 10**9])
def test_part_size_decides_no_document(tmp_path: Path, part_bytes: int) -> None:
    for i in range(3):
        write_code(tmp_path / "python" / f"{i}.parquet", [f"{i} {j} {'y' * 100}" for j in range(30)], group=7)
    source = StarCoderDataSettings(name="code", path=str(tmp_path)).open()
    found = read_all(source, part_bytes)
    assert sorted(found.column("doc_id")) == sorted(read_all(source, 20_000).column("doc_id"))
    assert len(set(found.column("origin"))) == 90


def test_other_string_types_and_dictionaries_are_read(tmp_path: Path) -> None:
    texts = pa.array(["same", "same", "other"])
    for name, column in (("d", texts.dictionary_encode()), ("l", texts.cast(pa.large_string())), ("b", texts.cast(pa.binary()))):
        write_code(tmp_path / name / "python" / "a.parquet", [""] * 3, content=column)
        assert starcoder(tmp_path / name).texts() == ["same", "same", "other"]


def test_files_are_read_from_other_file_systems() -> None:
    import fsspec

    table = pa.table({"text": ["from memory"], "license": ["MIT"]})
    with fsspec.open("memory://corpus/a.parquet", "wb") as file:
        pq.write_table(table, file)
    settings = ParquetSettings.model_validate({"name": "p", "path": "memory://corpus", "columns": {"licenses": "license"}})
    found = read_all(settings.open())
    assert (found.texts(), found.column("licenses")) == (["from memory"], [["MIT"]])
    assert found.column("license_evidence") == ["column 'license'"]


def test_stack_joins_the_licences_of_repository_and_file(tmp_path: Path) -> None:
    columns = {
        "max_stars_repo_licenses": [["MIT"], ["GPL-2.0"], [], []],
        "file_license": [["MIT"], ["MIT"], ["ISC"], []],
        "lang": ["Python", "C++", None, "F#"],
    }
    write_code(tmp_path / "data" / "python" / "a.parquet", ["a", "b", "c", "d"], id=None, **columns)
    found = stack(tmp_path / "data", file_license_column="file_license")
    assert found.column("licenses") == [["MIT"], ["GPL-2.0", "MIT"], ["ISC"], []]
    both = "max_stars_repo_licenses and file_license"
    assert found.column("license_evidence") == [both, both, "file_license", "none found"]
    assert found.column("language") == ["python", "cpp", "python", "f-sharp"]
    assert stack(tmp_path / "data").column("licenses") == [["MIT"], ["GPL-2.0"], [], []]


def test_stack_needs_its_licence_column(tmp_path: Path) -> None:
    write_code(tmp_path / "python" / "a.parquet", ["a"])
    assert "Set 'license_column'" in stack(tmp_path).reasons()[0]


def test_real_code_and_prose(corpora: Path) -> None:
    found = stack(corpora / "small", exclude_languages=["nl"], file_license_column="file_license")
    assert (found.documents.num_rows, found.lost.num_rows) == (5298, 0)
    assert len(set(found.column("doc_id"))) == 5298
    assert min(len(each) for each in found.column("licenses")) >= 1
    columns = {"id": "id", "language": "language_hint", "repo": "source", "path": "path", "licenses": "licence"}
    settings = {"name": "nl", "path": str(corpora / "small" / "nl"), "kind": "prose", "language": "text", "columns": columns}
    prose = read_all(ParquetSettings.model_validate(settings).open())
    assert (prose.documents.num_rows, prose.lost.num_rows) == (665, 0)
    assert ["CC-BY-4.0", "CC-BY-SA"] in prose.column("licenses")
    assert {"text", "ja", "de"} <= set(prose.column("language"))

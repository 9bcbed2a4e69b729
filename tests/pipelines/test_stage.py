from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from contracts.errors import OutputError, StageError
from contracts.manifest import FileEntry, Manifest
from pipelines.counts import add_up
from pipelines.differences import difference, why
from pipelines.stage import Stage
from pipelines.storage import digest_file, files_below, names_in, read_manifest, write_bytes


def stage(run_dir: Path, **config: object) -> Stage:
    return Stage("curate", str(run_dir), dict(config), 0, {"corpus": "abc"})


def test_a_fresh_stage_has_work_to_do_and_a_committed_one_has_not(tmp_path: Path) -> None:
    first = stage(tmp_path, a=1)
    assert first.open() == (True, "")
    written = write_bytes(first.path("x.bin"), b"hello")
    first.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})
    assert first.open() == (False, "is up to date")
    first.close()
    assert files_below(first.folder) == ["manifest.json", "x.bin"]
    assert read_manifest(first.folder).files[0].xxh3_64 == digest_file(first.path("x.bin")).xxh3_64


def test_an_interrupted_stage_keeps_its_receipts(tmp_path: Path) -> None:
    first = stage(tmp_path, a=1)
    first.open()
    first.write_receipt("parts", 3, {"n": 7})
    assert stage(tmp_path, a=1).open() == (True, "goes on where it stopped")
    assert first.receipts("parts") == {3: {"n": 7}}


def test_a_torn_receipt_counts_as_missing(tmp_path: Path) -> None:
    first = stage(tmp_path)
    first.open()
    folder = Path(first.progress, "parts")
    folder.mkdir(parents=True)
    for number, text in enumerate(('{"n":', "null", "[]", "{}", "\x00")):
        (folder / f"{number:08d}.json").write_text(text)
    assert first.receipts("parts") == {}


@pytest.mark.parametrize("committed", [False, True])
def test_a_changed_setting_is_named_and_nothing_stale_is_used(tmp_path: Path, committed: bool) -> None:
    first = stage(tmp_path, a=1, inner={"b": [1, 2]})
    first.open()
    first.write_receipt("parts", 0, {"n": 1})
    write_bytes(first.path("x.bin"), b"old")
    if committed:
        first.commit([], {}, {})
    again = stage(tmp_path, a=1, inner={"b": [1, 3]})
    to_do, words = again.open()
    assert to_do
    assert "inner.b was [1, 2], is [1, 3]" in words
    assert again.receipts("parts") == {}
    assert files_below(again.folder) == [".progress/identity.json"]


def test_that_another_stage_was_made_again_is_said_without_its_digest() -> None:
    old = {"upstream": {"curate": "5d5e", "dedup": "1a", "corpus": "x"}, "seed": 0}
    new = {"upstream": {"curate": "162d", "dedup": "1b", "corpus": "x"}, "seed": 0}
    assert why(difference(old, new)) == " because curate and dedup were made again"
    assert why(difference(old, new | {"upstream": old["upstream"] | {"curate": "3"}})) == " because curate was made again"
    assert why(difference(old, new | {"seed": 1})) == ": seed was 0, is 1; curate was made again; dedup was made again"


def test_a_worker_of_a_run_with_other_settings_hands_over_nothing(tmp_path: Path) -> None:
    old, new = stage(tmp_path, a=1), stage(tmp_path, a=2)
    old.open()
    new.open()
    old.write_receipt("parts", 0, {"n": 1})  # a leftover worker ends late
    assert new.receipts("parts") == {}
    assert new.work_path("x") != old.work_path("x")


def test_a_stage_whose_files_are_gone_or_cut_is_made_again(tmp_path: Path) -> None:
    first = stage(tmp_path)
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"hel")):
        first.open()
        written = write_bytes(first.path("x.bin"), b"hello")
        first.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})
        damage(Path(first.path("x.bin")))
        assert first.open() == (True, "is made again: 1 of its files are missing or were cut, such as x.bin")


def test_a_crash_while_a_stage_is_begun_again_leaves_it_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stage(tmp_path, a=1)
    first.open()
    written = write_bytes(first.path("x.bin"), b"hello")
    first.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})

    def crash(path: str) -> None:
        if path.endswith("manifest.json"):
            os.unlink(path)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.stage.remove", crash)
        with pytest.raises(KeyboardInterrupt):
            stage(tmp_path, a=2).open()
    assert stage(tmp_path, a=2).open() == (True, "goes on where it stopped")


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "curate").mkdir()
    (tmp_path / "curate" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex.*no Spanmill stage made.*--output"):
        stage(tmp_path).open()
    assert (tmp_path / "curate" / "thesis.tex").exists()


def test_torn_files_go_at_the_commit(tmp_path: Path) -> None:
    first = stage(tmp_path)
    first.open()
    (tmp_path / "curate" / "documents").mkdir()
    (tmp_path / "curate" / "documents" / "0.parquet.tmp-123").write_bytes(b"half")
    first.commit([], {}, {})
    first.close()
    assert files_below(first.folder) == ["manifest.json"]


def test_a_crash_after_the_commit_leaves_a_finished_stage_that_is_tidied_later(tmp_path: Path) -> None:
    first = stage(tmp_path)
    first.open()
    first.write_receipt("parts", 0, {"n": 1})
    first.commit([], {}, {})
    assert stage(tmp_path).open() == (False, "is up to date")
    assert files_below(first.folder) == ["manifest.json"]


def test_a_leftover_job_does_not_commit_into_a_folder_that_is_another_runs(tmp_path: Path) -> None:
    old = stage(tmp_path, a=1)
    old.open()
    stage(tmp_path, a=2).open()
    with pytest.raises(StageError, match=r"belongs to another run now: a was 2, is 1"):
        old.commit([], {}, {})
    assert not (tmp_path / "curate" / "manifest.json").exists()


def test_a_receipt_that_a_listing_lacks_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stage(tmp_path)
    first.open()
    for number in range(3):
        first.write_receipt("parts", number, {"n": number})
    monkeypatch.setattr("pipelines.stage.names_in", lambda folder: ["00000000.json"])
    assert [receipt["n"] for receipt in first.all_receipts("parts", 3)] == [0, 1, 2]
    with pytest.raises(StageError, match=r"item 3 of 4 left no receipt.*goes on from here"):
        first.all_receipts("parts", 4)


def test_a_missing_manifest_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no finished 'shard' stage.*--input"):
        read_manifest(str(tmp_path / "shard"))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format_version": 99}', "\x00"])
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(StageError, match=r"not a Spanmill manifest|format version 99"):
        Manifest.from_json(text, "m.json")


def test_a_manifest_comes_back_as_it_went() -> None:
    made = Manifest(
        "shard", {"a": [1]}, 3, {"x": "y"}, {"numpy": "2"}, {"rows": 4}, {"é": 0.5}, [FileEntry("s/0.arrow", 4, 5, "6", 7, "s")]
    )
    assert Manifest.from_json(made.to_json(), "") == made


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "make this one writable")])
def test_errors_of_the_disk_say_what_to_do_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=words):
        write_bytes(str(tmp_path / "x"), b"data")
    assert names_in(str(tmp_path)) == []


def test_differences_are_few_and_brief() -> None:
    old = {f"k{i}": "x" * 100 for i in range(5)}
    new = {f"k{i}": i for i in range(5)}
    words = difference(old, new)
    assert words.endswith("; and 2 more")
    assert len(words) < 300


def test_counts_add_up_in_any_order() -> None:
    parts = [{"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [3, 4], "d": 5}}, {}]
    assert add_up(parts) == add_up(parts[::-1]) == {"a": 1, "b": {"c": [4, 6], "d": 5}}
    assert json.dumps(parts[0]) == '{"a": 1, "b": {"c": [1, 2]}}', "the parts are left as they were"

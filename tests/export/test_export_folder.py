"""What an export does to its folder, whatever the format: names, interruptions, refusals, stores, and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from export_runs import CONTROL_IDS, ROWS, TOKENIZER, digests, make_run

from beam_runner import cli
from contracts.errors import ConfigError, OutputError, ShardError, StageError
from contracts.special_tokens import PAD
from pipelines import storage
from pipelines.export import FORMATS, export, job
from pipelines.export.folder import FINISHED, UNFINISHED
from sharding.forgotten import MASK_PATH, Places, mask_bytes
from sharding.shards import Shard, open_shards

KINDS = [(to, unit) for to, units in FORMATS.items() for unit in units]
TRAINING = [source for source, shards in ROWS.items() if sum(shards)]


@pytest.mark.parametrize(("to", "unit"), KINDS)
def test_bytes_depend_on_the_shards_alone(small_run: Path, tmp_path: Path, to: str, unit: str) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(small_run, moved)
    for run, name in ((small_run, "one"), (moved, "two")):
        export(str(run), str(tmp_path / name), to, unit)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert not (tmp_path / "one" / UNFINISHED).exists()


@pytest.mark.parametrize(("to", "unit"), KINDS)
def test_says_what_is_there(small_run: Path, tmp_path: Path, to: str, unit: str) -> None:
    made = export(str(small_run), str(tmp_path), to, unit)
    said = json.loads((tmp_path / FINISHED).read_text())
    assert (said["format"], said["unit"], list(said["sources"])) == (to, unit, sorted(TRAINING))
    assert {entry["path"]: entry["bytes"] for entry in said["files"]} == {
        path: (tmp_path / path).stat().st_size for path in digests(tmp_path) if path not in (FINISHED, "tokenizer.json")
    }
    assert made.rows == sum(map(sum, ROWS.values())) == sum(each["rows"] for each in said["sources"].values())
    assert (tmp_path / "tokenizer.json").read_bytes() == TOKENIZER
    assert made.lost
    assert all(line in "\n".join(made.lines()) for line in (*made.lost, made.how_to_read))


@pytest.mark.parametrize(("to", "unit"), KINDS)
def test_an_interrupted_export_is_replaced(
    small_run: Path, tmp_path: Path, to: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export(str(small_run), str(tmp_path / "whole"), to, unit)
    others = (UNFINISHED, "tokenizer.json", FINISHED)
    for stop in range(len(whole.files) + len(others)):
        with monkeypatch.context() as patch:
            _stop_after(patch, stop)
            with pytest.raises(KeyboardInterrupt):
                export(str(small_run), str(tmp_path / "again"), to, unit)
        assert not (tmp_path / "again" / FINISHED).exists()
    (tmp_path / "again" / "leftover.bin").write_bytes(b"of another format")
    export(str(small_run), str(tmp_path / "again"), to, unit)
    assert digests(tmp_path / "again") == digests(tmp_path / "whole")


def _stop_after(patch: pytest.MonkeyPatch, files: int) -> None:
    """Ctrl-C when the file after so many is begun."""
    left, real = [files], storage.begin

    def begin(path: str) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(path)

    patch.setattr(storage, "begin", begin)


@pytest.mark.parametrize(("to", "unit"), KINDS)
def test_what_was_forgotten_is_gone(tmp_path: Path, to: str, unit: str) -> None:
    """Its tokens and its name are nowhere, and export.json says which mask was applied."""
    run = make_run(tmp_path / "run", rows={"code": [20]})
    shards = open_shards(str(run / "shard"))
    long = [row for row in range(20) if (table := shards.row("code", row)[1]).length[0] >= 6 and table.kind[0]]
    ids, segments = shards.row("code", long[0])
    forgotten, length = segments.doc_id[0].tobytes(), int(segments.length[0])
    places = Places(np.array(long[:1]), np.array([0], np.int32), segments.length[:1].astype(np.int32), segments.doc_id[:1])
    (run / "shard/forgotten").mkdir()
    (run / "shard" / MASK_PATH).write_bytes(mask_bytes(shards.manifest.digest, {"code/00000.arrow": places}))
    export(str(run), str(tmp_path / "out"), to, unit)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert ids[:length].tobytes() not in everything
    assert forgotten not in everything
    if to == "hf":
        rows = pq.read_table(tmp_path / "out/data/code/00000.parquet").to_pylist()
        assert rows[long[0]]["input_ids"] == [CONTROL_IDS[PAD]] * length + ids[length:].tolist()
        assert rows[long[0]]["labels"][:length] == [-100] * length
        assert forgotten.hex() not in [doc_id for row in rows for doc_id in row["doc_ids"]]
    assert json.loads((tmp_path / "out" / FINISHED).read_text())["forgotten"] == open_shards(str(run / "shard")).mask.digest


def test_foreign_and_finished_folders_are_left_alone(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'notes.txt', which no export wrote.*Choose an empty"):
        export(str(small_run), str(tmp_path / "theirs"), "mds")
    export(str(small_run), str(tmp_path / "done"), "mds")
    before = digests(tmp_path / "done")
    with pytest.raises(OutputError, match="holds a finished export"):
        export(str(small_run), str(tmp_path / "done"), "hf")
    assert digests(tmp_path / "done") == before
    assert (tmp_path / "theirs/notes.txt").read_text() == "mine"


def test_a_run_is_no_place_for_an_export(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    before = digests(tmp_path / "run")
    with pytest.raises(OutputError, match="not empty"):
        export(str(tmp_path / "run"), str(tmp_path / "run"), "hf")
    with pytest.raises(OutputError, match=r"lies in the shard stage of .*run\. Choose another folder, such as .*/run/export"):
        export(str(tmp_path / "run"), str(tmp_path / "run/shard/hf"), "hf")
    assert digests(tmp_path / "run") == before


def test_stores(small_run: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{small_run}/", "/export-test/run/", recursive=True)
    try:
        for to, unit in KINDS:
            export(str(small_run), str(tmp_path / to / unit), to, unit)
            export("memory://export-test/run", f"memory://export-test/{to}/{unit}", to, unit)
            memory.get(f"/export-test/{to}/{unit}/", str(tmp_path / "fetched" / to / unit), recursive=True)
            assert digests(tmp_path / "fetched" / to / unit) == digests(tmp_path / to / unit)
    finally:
        memory.rm("/export-test", recursive=True)


def test_unknown_names(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown format 'megatrn'. Did you mean 'megatron'\? Known: hf, mds, megatron, nanoset"):
        export(str(small_run), str(tmp_path / "out"), "megatrn")
    with pytest.raises(ConfigError, match="unknown unit of mds 'segment'"):
        export(str(small_run), str(tmp_path / "out"), "mds", "segment")
    with pytest.raises(StageError, match=r"manifest.json does not exist"):
        export(str(tmp_path / "nothing"), str(tmp_path / "out"), "mds")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"a/b": [1], "a.b": [1]}, "would both be written to 'a.b'"),
        ({"..": [1]}, "cannot be the name of a folder"),
    ],
)
def test_names_that_clash_or_leave_the_folder(tmp_path: Path, sources: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        job.folder_names(list(sources))


def test_another_tokenizer_is_not_copied(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rows={"code": [3]})
    (run / "tokenizer/tokenizer.json").write_bytes(b"{}")
    made = export(str(run), str(tmp_path / "out"), "nanoset")
    assert not (tmp_path / "out/tokenizer.json").exists()
    assert "tokenizer/tokenizer.json is not the one that the shards were made with" in made.tokenizer_note
    assert f"note: {made.tokenizer_note}" in made.lines()


def test_the_tokenizer_is_taken_from_the_run_that_has_it(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run / "shard", tmp_path / "run/shard")
    alone = export(str(tmp_path / "run"), str(tmp_path / "alone"), "nanoset")
    assert f"none is in {tmp_path / 'run'}" in alone.tokenizer_note
    assert "--input RUN takes it from there" in alone.tokenizer_note
    whole = shutil.copytree(small_run, tmp_path / "whole")
    shutil.copy(whole / "shard/manifest.json", whole / "tokenizer/manifest.json")
    arguments = ["export", str(tmp_path / "run"), "--to", "nanoset", "--output", str(tmp_path / "out"), "--input", str(whole)]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, "note:" in done.output) == (0, False), done.output
    assert (tmp_path / "out/tokenizer.json").read_bytes() == TOKENIZER
    with pytest.raises(StageError, match=r"--input .*none holds no finished stage"):
        export(str(tmp_path / "run"), str(tmp_path / "more"), "nanoset", input_dir=str(tmp_path / "none"))


@pytest.mark.parametrize(("to", "unit"), KINDS)
def test_a_bit_that_flipped_is_not_exported(small_run: Path, tmp_path: Path, to: str, unit: str) -> None:
    """Nor is anything else of the folder finished. The last shard of a stratum is met in the middle of the export."""
    run = shutil.copytree(small_run, tmp_path / "run")
    path = run / "shard/code/00001.arrow"
    content = bytearray(path.read_bytes())
    content[content.index(Shard.open(str(path)).row(3).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"code/00001.arrow is not the file that its manifest lists .* Copy it again"):
        export(str(run), str(tmp_path / "out"), to, unit)
    assert not (tmp_path / "out" / FINISHED).exists()


def test_command(small_run: Path, tmp_path: Path) -> None:
    called = CliRunner().invoke(
        cli, ["export", str(small_run), "--to", "megatron", "--unit", "segment", "--output", str(tmp_path / "out")]
    )
    assert called.exit_code == 0, called.output
    assert "90 rows, 1,440 tokens" in called.output
    assert "tears examples" in called.output
    assert (tmp_path / "out/prose.english.idx").exists()

"""Stages made elsewhere come to this machine whole, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_the_line import QUIET, digests

from contracts.errors import ConfigError, StageError
from pipelines.fetch import fetch, need_disk


def test_stages_come_with_every_byte_and_only_once(made: Path, tmp_path: Path) -> None:
    fetch(("tokenizer", "shard"), str(made), str(tmp_path), QUIET)
    wanted = {path: digest for path, digest in digests(made).items() if path.startswith(("tokenizer/", "shard/"))}
    assert digests(tmp_path) == wanted
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    fetch(("tokenizer", "shard"), str(made), str(tmp_path), QUIET)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_interrupted_copy_goes_on(made: Path, tmp_path: Path) -> None:
    fetch(("shard",), str(made), str(tmp_path), QUIET)
    (tmp_path / "shard" / "manifest.json").unlink()
    victim = next((tmp_path / "shard").rglob("*.arrow"))
    victim.write_bytes(victim.read_bytes()[:100])
    fetch(("shard",), str(made), str(tmp_path), QUIET)
    assert digests(tmp_path) == {path: digest for path, digest in digests(made).items() if path.startswith("shard/")}


def test_a_damaged_file_is_not_taken_over(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "tokenizer", tmp_path / "there" / "tokenizer")
    (tmp_path / "there" / "tokenizer" / "tokenizer.json").write_bytes(b"{}")
    for _ in range(2):  # the second time it must not pass for a copy that goes on
        with pytest.raises(StageError, match=r"tokenizer\.json is not the file that its manifest lists"):
            fetch(("tokenizer",), str(tmp_path / "there"), str(tmp_path / "here"), QUIET)
    assert not (tmp_path / "here" / "tokenizer" / "manifest.json").exists()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no finished 'shard' stage"):
        fetch(("shard",), str(tmp_path / "nowhere"), str(tmp_path / "here"), QUIET)


def test_training_needs_a_disk(tmp_path: Path) -> None:
    need_disk(str(tmp_path), "Training")
    with pytest.raises(ConfigError, match=r"Training needs a folder on this machine.*--until=shard.*--input memory://run"):
        need_disk("memory://run", "Training")


def test_another_stage_that_is_here_is_left_alone(made: Path, tmp_path: Path) -> None:
    fetch(("shard",), str(made), str(tmp_path / "here"), QUIET)
    shutil.copytree(made / "shard", tmp_path / "there" / "shard")
    manifest = json.loads((tmp_path / "there" / "shard" / "manifest.json").read_text())
    manifest["files"].pop()
    (tmp_path / "there" / "shard" / "manifest.json").write_text(json.dumps(manifest))
    before = digests(tmp_path / "here")
    with pytest.raises(StageError, match=r"here/shard holds another shard stage than .*there/shard: leave --input out"):
        fetch(("shard",), str(tmp_path / "there"), str(tmp_path / "here"), QUIET)
    assert digests(tmp_path / "here") == before

"""Sets of many files, of many passes, and of stores."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from stages import CONTEXT, metadata_for, write_passes, write_stage

from contracts.errors import ShardError
from contracts.schemas import shard_schema
from sharding import shards as shards_module
from sharding.shards import Shard, ShardMetadata, open_shards


def open_files() -> list[str]:
    """What the file descriptors of this process point to."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.lexists(link)]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A stage of 300 files of two rows."""
    return write_stage(tmp_path / "many", [(f"{number:05d}.arrow", "code", 2) for number in range(300)])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only /proc/self/fd tells which files are open")
def test_all_files_of_a_disk_stay_open_without_a_file_descriptor(many: Path) -> None:
    shards = open_shards(str(many))
    for _ in range(2):
        for row in range(600):
            assert shards.row("code", row)[0][:3].tolist() == [ord("c"), row // 256, row % 256]
    assert shards._opened.cache_info().misses == 300
    assert not [name for name in open_files() if name.startswith(str(many))]


def test_files_that_are_held_in_memory_are_few(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("memory").put(str(many), "/many", recursive=True)
    largest = max(entry.bytes for entry in open_shards(str(many)).manifest.files)
    packed = shutil.copytree(many, tmp_path / "packed")
    packed.joinpath("manifest.json").write_text(
        (many / "manifest.json").read_text().replace('"config": {}', '"config": {"compression": "zstd"}')
    )
    for folder in ("memory://many", str(packed)):
        for bytes_in_memory, most in [(10 * largest, 10), (1, 1), (2**40, 256)]:
            monkeypatch.setattr(shards_module, "MAX_BYTES_IN_MEMORY", bytes_in_memory)
            shards = open_shards(folder)
            for row in range(600):
                shards.row("code", row)
            assert shards._opened.cache_info().currsize == most


def test_what_shards_have_in_common_is_parsed_once(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    from_json = ShardMetadata.from_json

    def counting(text: bytes, where: str = "") -> ShardMetadata:
        parsed.append(text)
        return from_json(text, where)

    monkeypatch.setattr(ShardMetadata, "from_json", staticmethod(counting))
    write_stage(many, [("0.arrow", "code", 2), ("1.arrow", "code", 2), ("2.arrow", "prose", 2)], seed=77)
    opened = [Shard.open(str(many / f"{number}.arrow")) for number in (0, 1, 2, 1)]
    assert len(parsed) == 2
    assert [shard.metadata.source for shard in opened] == ["code", "code", "prose", "code"]
    assert all(shard.metadata.special_ids is opened[0].metadata.special_ids for shard in opened)


def test_metadata_that_is_refused_names_each_shard(tmp_path: Path) -> None:
    schema = shard_schema(CONTEXT, 1000, replace(metadata_for(), objectives=["none"]).to_json())
    for name in ("a", "b", "a"):
        with pa.ipc.new_file(str(tmp_path / f"{name}.arrow"), schema):
            pass
        with pytest.raises(ShardError, match=f"{name}.arrow: unknown objective 'none'"):
            Shard.open(str(tmp_path / f"{name}.arrow"))


def test_files_are_ordered_by_number_beyond_five_digits(tmp_path: Path) -> None:
    """As a manifest sorts them: as text."""
    files = [("100000.arrow", 3, 1), ("100001.arrow", 4, 1), ("99998.arrow", 5, 0), ("99999.arrow", 6, 0)]
    shards = open_shards(str(write_passes(tmp_path, files, epochs=2)))
    assert [entry.path for entry in shards.strata["code"].entries] == ["99998.arrow", "99999.arrow", "100000.arrow", "100001.arrow"]
    assert shards.passes("code") == [11, 7]
    assert [int(shards.row("code", row)[0][2]) for row in range(18)] == [*range(5), *range(6), *range(3), *range(4)]
    assert [shards.shard("code", number).metadata.epoch for number in range(4)] == [0, 0, 1, 1]


def test_a_shard_of_another_pass_is_refused(tmp_path: Path) -> None:
    files = [("00000.arrow", 4, 3), ("00001.arrow", 4, 4), ("00002.arrow", 4, 4)]
    shards = open_shards(str(write_passes(tmp_path, files, epochs=3, epoch=3)))
    assert [shards.shard("code", number).metadata.epoch for number in (0, 1)] == [3, 4]
    with pytest.raises(
        ShardError, match=r"00002.arrow holds rows of epoch 4; by its number those of epoch 5 should be there. Copy"
    ):
        shards.row("code", 8)


def test_held_out_shards_are_of_the_first_pass(tmp_path: Path) -> None:
    folder = write_stage(tmp_path, [("c0.arrow", "code", 4), ("h0.arrow", "held_out/code", 4), ("h1.arrow", "held_out/code", 4)])
    shards = open_shards(str(folder))
    assert [shards.shard("held_out/code", number).metadata.epoch for number in (0, 1)] == [0, 0]
    assert shards.passes("held_out/code") == [8]


def test_files_that_are_no_whole_passes_are_refused(tmp_path: Path) -> None:
    shards = open_shards(
        str(write_passes(tmp_path, [("00000.arrow", 4, 0), ("00001.arrow", 4, 1), ("00002.arrow", 4, 1)], epochs=2))
    )
    for ask in (lambda: shards.passes("code"), lambda: shards.row("code", 0)):
        with pytest.raises(ShardError, match="'code' has 3 shards, which cannot be 2 passes"):
            ask()

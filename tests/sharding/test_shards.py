from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages import CONTEXT, metadata_for, segments_of, write_stage

from contracts.errors import ShardError, StageError
from contracts.schemas import FORMAT_VERSION, OBJECTIVES, shard_schema
from sharding.segments import SegmentTable
from sharding.shards import Shard, ShardMetadata, open_shards, token_dtype, write_shard

rows_of_lengths = st.lists(
    st.lists(st.integers(1, 5), min_size=2, max_size=3).map(lambda head: [*head, CONTEXT + 1 - sum(head)]), min_size=1, max_size=20
)


def equal(one: SegmentTable, other: SegmentTable) -> bool:
    return all(
        np.array_equal(value, vars(other)[name]) and value.dtype == vars(other)[name].dtype for name, value in vars(one).items()
    )


def shard_bytes(rows: int = 20, rows_per_batch: int = 8) -> bytes:
    buffer = io.BytesIO()
    ids = np.arange(rows * (CONTEXT + 1), dtype=np.uint16).reshape(rows, -1) % 900
    write_shard(buffer, metadata_for(), [(ids, segments_of([[10, 6]] * rows))], rows_per_batch)
    return buffer.getvalue()


@given(
    lengths=rows_of_lengths,
    rows_per_batch=st.integers(1, 25),
    vocab_size=st.sampled_from([65_536, 65_537]),
    seed=st.integers(0, 99),
)
def test_written_rows_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], rows_per_batch: int, vocab_size: int, seed: int
) -> None:
    dtype = token_dtype(vocab_size)
    ids = np.random.default_rng(seed).integers(0, vocab_size, (len(lengths), CONTEXT + 1)).astype(dtype)
    segments, path = segments_of(lengths), tmp_path_factory.mktemp("shard") / "x.arrow"
    metadata = metadata_for(vocab_size=vocab_size)
    with path.open("wb") as file:
        write_shard(file, metadata, [(ids, segments)], rows_per_batch)
    shard = Shard.open(str(path))
    assert shard.metadata == metadata
    assert shard.rows == len(lengths)
    assert dtype.itemsize == (2 if vocab_size == 65_536 else 4)
    order = np.random.default_rng(seed).permutation(len(lengths))
    assert np.array_equal(shard.gather(order), ids[order])
    assert shard.gather(order).dtype == dtype
    assert equal(shard.segment_table(), segments)
    for row in range(shard.rows):
        assert equal(shard.segments(row), segments.slice(row, row + 1))


def test_rows_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    path.write_bytes(shard_bytes())
    before = pa.total_allocated_bytes()
    row = Shard.open(str(path)).row(13)
    assert row.base is not None
    assert not row.flags.writeable
    assert pa.total_allocated_bytes() == before


def test_equal_arguments_give_equal_bytes() -> None:
    assert shard_bytes() == shard_bytes()


def test_any_arrow_reader_opens_a_shard() -> None:
    table = pa.ipc.open_file(pa.BufferReader(shard_bytes())).read_all()
    assert table.schema.names == ["input_ids", "segments"]
    assert table["segments"][3].as_py()[1]["start"] == 10


def test_opens_from_any_filesystem() -> None:
    with fsspec.open("memory://elsewhere/x.arrow", "wb") as file:
        file.write(shard_bytes())
    assert Shard.open("memory://elsewhere/x.arrow").rows == 20


@pytest.mark.parametrize("size", [0, 1, 7, 100, 1000, -1, -8, -100])
def test_a_torn_shard_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.arrow"
    path.write_bytes(shard_bytes()[:size])
    with pytest.raises(ShardError, match=r"not a complete Arrow file .* make the shard stage again"):
        Shard.open(str(path))


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no such shard"):
        Shard.open(str(tmp_path / "none.arrow"))


def write_table(path: Path, schema: pa.Schema) -> str:
    with pa.ipc.new_file(str(path), schema):
        pass
    return str(path)


def test_foreign_arrow_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="not a Spanmill shard"):
        Shard.open(write_table(tmp_path / "a", pa.schema([pa.field("x", pa.int8())])))
    other = shard_schema(CONTEXT + 1, 1000, metadata_for().to_json())
    with pytest.raises(ShardError, match=r"columns are .*\[17\].* is allowed"):
        Shard.open(write_table(tmp_path / "b", other))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": FORMAT_VERSION - 1}, f"format version {FORMAT_VERSION - 1}; this Spanmill reads {FORMAT_VERSION}"),
        ({"vocab_size": "1000"}, "'vocab_size' is '1000'; the type int is allowed"),
        ({"extra": 1}, "missing or unknown: extra"),
        ({"context_length": 0}, "must be 1 or more"),
        ({"special_ids": {"<|endoftext|>": 1}}, "no id for <fim_pad>"),
        ({"special_ids": {**metadata_for().special_ids, "<sep>": 1000}}, "<sep> has id 1000; 0 to 999 is allowed"),
        ({"objectives": ["padding"]}, "unknown objective 'padding'"),
    ],
)
def test_metadata_is_checked(change: dict[str, object], words: str) -> None:
    text = json.dumps({**json.loads(metadata_for().to_json()), **change}).encode()
    with pytest.raises(ShardError, match=words):
        ShardMetadata.from_json(text)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b"3"])
def test_metadata_that_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(ShardError, match="not Spanmill's JSON"):
        ShardMetadata.from_json(text)


def test_the_writer_refuses_what_does_not_fit() -> None:
    good, table = np.zeros((2, CONTEXT + 1), np.uint16), segments_of([[10, 6]] * 2)
    for ids, segments, words in [
        (good.astype(np.uint32), table, "uint32"),
        (good[:, 1:], table, r"\[2, 15\]"),
        (good + np.uint16(1000), table, "outside the vocabulary"),
        (good, segments_of([[10, 6]]), "cover 1 rows"),
        (good, segments_of([[10, 6], [10, 5]]), "do not tile"),
        (good, replace(table, start=np.array([0, 9, 0, 10], np.int32)), "do not tile"),
        (good, replace(table, kind=np.full(4, len(OBJECTIVES), np.uint8)), f"kind {len(OBJECTIVES)} is unknown"),
        (good, replace(table, loss_start=np.array([0, 7, 0, 0], np.int32)), "loss_start"),
        (good, segments_of([[16], []]), "no segment"),
    ]:
        with pytest.raises(ValueError, match=words):
            write_shard(io.BytesIO(), metadata_for(), [(ids, segments)])


def test_rows_of_a_source_run_through_its_files(stage: Path) -> None:
    shards = open_shards(str(stage))
    assert shards.sources == ["code", "prose", "issues"]
    assert [shards.rows(source) for source in shards.sources] == [37, 50, 300]
    for source in shards.sources:
        for row in range(shards.rows(source)):
            ids, segments = shards.row(source, row)
            assert ids[:3].tolist() == [ord(source[0]), row // 256, row % 256]
            assert segments.length.tolist() == [10, 6]


def test_shards_without_a_manifest_do_not_exist(stage: Path) -> None:
    (stage / "manifest.json").unlink()
    with pytest.raises(StageError, match="Run the shard stage until it commits"):
        open_shards(str(stage))


def test_a_manifest_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="lists no rows"):
        open_shards(str(write_stage(tmp_path, [])))


def test_an_unknown_source_is_guessed(stage: Path) -> None:
    with pytest.raises(ShardError, match="Did you mean 'prose'"):
        open_shards(str(stage)).rows("pros")


@pytest.mark.parametrize("change", [{"tokenizer_sha256": "zz"}, {"vocab_size": 999}])
def test_shards_of_another_run_are_refused(stage: Path, tmp_path: Path, change: dict[str, object]) -> None:
    other = write_stage(tmp_path / "other", [("i0.arrow", "issues", 300)], **change)
    (stage / "i0.arrow").write_bytes((other / "i0.arrow").read_bytes())
    shards = open_shards(str(stage))
    with pytest.raises(ShardError, match=f"{next(iter(change))} is .* differs from the other shards"):
        shards.row("issues", 0)


def test_a_shard_that_differs_from_the_manifest_is_refused(stage: Path) -> None:
    (stage / "c1.arrow").write_bytes((stage / "c0.arrow").read_bytes())
    shards = open_shards(str(stage))
    assert shards.row("code", 19)[0][2] == 19
    with pytest.raises(ShardError, match="holds 20 rows of source 'code'; the manifest says 17"):
        shards.row("code", 20)

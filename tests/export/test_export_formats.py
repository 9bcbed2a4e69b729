"""Each format read by a few lines of its own, so that it is checked where the library it is meant for is not installed."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from export_runs import CONTEXT, place_of, rows_of, strata, targets
from hypothesis import given
from hypothesis import strategies as st

from contracts.schemas import OBJECTIVES
from pipelines.export import export, hf, mds, nanoset
from pipelines.export import rows as rows_module
from sharding.shards import open_shards

WIDTH = CONTEXT + 1


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of seven rows, and limits that the runs of the tests exceed."""
    monkeypatch.setattr(rows_module, "TOKENS_PER_BATCH", 7 * WIDTH)
    monkeypatch.setattr(hf, "TOKENS_PER_FILE", 20 * WIDTH)
    monkeypatch.setattr(mds, "SIZE_LIMIT", 4000)
    monkeypatch.setattr(nanoset, "BYTES_PER_FILE", 20 * WIDTH * 2)


def test_rows_by_ranges_and_one_open_file(run: Path) -> None:
    """Any range of rows crosses shards in order; whoever reads on holds no file that is done with."""
    shards = open_shards(str(run / "shard"))
    expected, _ = rows_of(run, "code")
    for first, last in [(0, 37), (0, 20), (20, 37), (5, 31), (19, 21), (36, 37), (4, 4)]:
        seen: list[np.ndarray] = []
        for rows in rows_module.read_rows(shards, "code", first, last):
            assert rows.first == first + len(seen)
            assert (rows.shard, rows.shard_row) == place_of("code", rows.first)
            assert shards._opened.cache_info().currsize == 1
            seen.extend(rows.batch.input_ids)
        assert len(seen) == last - first
        assert all((ids == row).all() for ids, row in zip(seen, expected.input_ids[first:last], strict=True))
        shards.close()


def read_megatron(prefix: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, sequence lengths, pointers and documents."""
    text = prefix.with_name(prefix.name + ".idx").read_bytes()
    assert text[:9] == b"MMIDIDX\0\0"
    version, code, sequences, documents = struct.unpack_from("<QBQQ", text, 9)
    assert version == 1
    lengths = np.frombuffer(text, np.int32, sequences, 34)
    pointers = np.frombuffer(text, np.int64, sequences, 34 + 4 * sequences)
    ends = np.frombuffer(text, np.int64, documents, 34 + 12 * sequences)
    assert len(text) == 34 + 12 * sequences + 8 * documents
    ids = np.fromfile(prefix.with_name(prefix.name + ".bin"), {8: np.uint16, 4: np.int32}[code])
    return ids, lengths, pointers, ends


def test_megatron_rows(run: Path, tmp_path: Path) -> None:
    export(str(run), str(tmp_path), "megatron")
    for source, name in strata(run):
        ids, lengths, pointers, ends = read_megatron(tmp_path / name)
        batch, _ = rows_of(run, source)
        assert (ids.reshape(-1, WIDTH) == batch.input_ids).all()
        assert lengths.tolist() == [WIDTH] * len(batch.input_ids)
        assert pointers.tolist() == [WIDTH * ids.itemsize * row for row in range(len(batch.input_ids))]
        assert ends.tolist() == list(range(len(batch.input_ids) + 1))


def test_megatron_segments(run: Path, tmp_path: Path) -> None:
    export(str(run), str(tmp_path), "megatron", "segment")
    for source, name in strata(run):
        ids, lengths, pointers, ends = read_megatron(tmp_path / name)
        batch, segments = rows_of(run, source)
        expected = [
            [batch.input_ids[row, start : start + length].tolist() for start, length in spans]
            for row, spans in enumerate(_spans(segments))
        ]
        starts = pointers // ids.itemsize
        sequences = [ids[start : start + length].tolist() for start, length in zip(starts, lengths, strict=True)]
        assert [sequences[begin:end] for begin, end in itertools.pairwise(ends)] == expected
        assert sum(map(len, sequences)) == len(ids)


def _spans(segments: Any) -> list[list[tuple[int, int]]]:
    """Start and length of each segment of each row that is no padding."""
    rows = []
    for row in range(segments.rows):
        table = segments.slice(row, row + 1)
        rows.append([(int(s), int(n)) for s, n, kind in zip(table.start, table.length, table.kind, strict=True) if kind])
    return rows


def test_nanoset(run: Path, tmp_path: Path) -> None:
    export(str(run), str(tmp_path), "nanoset")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        dtype, at, seen = batch.input_ids.dtype, 0, 0
        files = sorted((tmp_path / name).glob("*.ds"))
        assert len(files) > 1 or len(batch.input_ids) < 20
        for file in files:
            ids = np.fromfile(file, dtype).reshape(-1, WIDTH)
            mine = segments.slice(at, at + len(ids))
            assert (ids == batch.input_ids[at : at + len(ids)]).all()
            assert np.fromfile(f"{file}.index", np.uint64).tolist() == np.cumsum(mine.length).tolist()
            loss = np.fromfile(f"{file}.loss", np.uint8).reshape(-1, WIDTH)
            assert (loss == targets(batch)[at : at + len(ids)]).all()
            head, count, _ = Path(f"{file}.metadata").read_text().split("\n")
            assert (head.split("|")[-1], int(count)) == (str(dtype.itemsize), ids.size)
            at += len(ids)
            seen += len(mine.length)
        assert (at, seen) == (len(batch.input_ids), len(segments.length))


def test_hf(run: Path, tmp_path: Path) -> None:
    export(str(run), str(tmp_path), "hf")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        files = sorted((tmp_path / "data" / name).glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        assert len(files) == -(-len(batch.input_ids) // 20)
        labels = np.where(targets(batch), batch.input_ids.astype(np.int64), -100)
        for index, row in enumerate(rows):
            table = segments.slice(index, index + 1)
            assert row == {
                "input_ids": batch.input_ids[index].tolist(),
                "labels": labels[index].tolist(),
                "position_ids": batch.positions[index].tolist(),
                "segment_lengths": table.length.tolist(),
                "doc_ids": [doc_id.tobytes().hex() for doc_id in table.doc_id],
                "doc_starts": table.doc_start.tolist(),
                "objectives": [OBJECTIVES[kind] for kind in table.kind],
                "loss_starts": table.loss_start.tolist(),
                "source": source,
                **dict(zip(("shard", "row"), place_of(source, index), strict=True)),
            }
        assert len(rows) == len(batch.input_ids)


def test_mds_shards_are_bounded_and_listed(run: Path, tmp_path: Path) -> None:
    export(str(run), str(tmp_path), "mds")
    for source, name in strata(run):
        index = json.loads((tmp_path / name / "index.json").read_text())
        sizes = [shard["raw_data"]["bytes"] for shard in index["shards"]]
        assert sizes == [(tmp_path / name / shard["raw_data"]["basename"]).stat().st_size for shard in index["shards"]]
        assert max(sizes) <= mds.SIZE_LIMIT
        assert sum(shard["samples"] for shard in index["shards"]) == len(rows_of(run, source)[0].input_ids)


@given(st.lists(st.integers(1, 6000)), st.integers(0, 500))
def test_mds_shards_are_as_full_as_they_can_be(sizes: list[int], config_size: int) -> None:
    """In order, within the limit unless one sample alone exceeds it, and never ended while the next sample would have fitted."""
    limit = mds.SIZE_LIMIT
    made = [[len(sample) for sample in shard.samples] for shard in mds.shards(map(bytes, sizes), config_size)]
    assert [size for shard in made for size in shard] == sizes
    full = [8 + config_size + sum(shard) + 4 * len(shard) for shard in made]
    assert all(size <= limit or len(shard) == 1 for size, shard in zip(full, made, strict=True))
    assert all(size + after[0] + 4 > limit for size, after in zip(full, made[1:], strict=False))


def test_mds_sample_larger_than_a_shard() -> None:
    samples = [bytes(10), bytes(5000), bytes(10)]
    assert [list(map(len, shard.samples)) for shard in mds.shards(iter(samples), 100)] == [[10], [5000], [10]]


@pytest.mark.parametrize("length", [1, 255, 256, 65_535, 65_536])
def test_mds_arrays_say_their_shape(length: int) -> None:
    text = mds._array(np.zeros((length, 1), np.uint8))
    size = 1 if length < 256 else 2 if length < 65_536 else 4
    assert text[0] == 2 << 2 | {1: 0, 2: 1, 4: 2}[size]
    assert np.frombuffer(text[1 : 1 + 2 * size], f"<u{size}").tolist() == [length, 1]
    assert len(text) == 1 + 2 * size + length

"""Each format read back by the library it is meant for: the same tokens, in the same order, with the boundaries it can hold.

The libraries are in an environment of their own: `make test-peers`.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from export_runs import CONTEXT, CONTROL_IDS, ROWS, place_of, rows_of, strata, targets

from contracts.special_tokens import END_OF_TEXT, PAD
from pipelines.export import export, mds, nanoset

WIDTH = CONTEXT + 1


def library(name: str) -> Any:
    """A peer's module, or a skipped test. What it warns of while it is imported is none of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed here: make test-peers", exc_type=ImportError)


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "read"])
def test_megatron_rows(run: Path, tmp_path: Path, mmap: bool) -> None:
    indexed = library("megatron.core.datasets.indexed_dataset")
    export(str(run), str(tmp_path), "megatron")
    for source, name in strata(run):
        batch, _ = rows_of(run, source)
        read = indexed.IndexedDataset(str(tmp_path / name), multimodal=False, mmap=mmap)
        assert len(read) == len(batch.input_ids)
        assert (np.stack([read[row] for row in range(len(read))]) == batch.input_ids).all()
        assert read.document_indices.tolist() == list(range(len(read) + 1))


def test_megatron_segments(run: Path, tmp_path: Path) -> None:
    indexed = library("megatron.core.datasets.indexed_dataset")
    export(str(run), str(tmp_path), "megatron", "segment")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        read = indexed.IndexedDataset(str(tmp_path / name), multimodal=False, mmap=True)
        for row, (first, last) in enumerate(zip(read.document_indices[:-1], read.document_indices[1:], strict=True)):
            table = segments.slice(row, row + 1)
            begins = [begin for begin, kind in zip(table.start, table.kind, strict=True) if kind]
            lengths = table.length[table.kind != 0]
            expected = [batch.input_ids[row, begin : begin + n].tolist() for begin, n in zip(begins, lengths, strict=True)]
            assert [read[sequence].tolist() for sequence in range(first, last)] == expected


def test_megatron_trains_on_whole_rows(run: Path, tmp_path: Path) -> None:
    """With the settings that docs/export.md names, every sample of a GPTDataset is a row, each comes once, and padding is no target."""
    gpt = library("megatron.core.datasets.gpt_dataset")
    export(str(run), str(tmp_path / "out"), "megatron")
    batch, _ = rows_of(run, "code")
    read = _gpt_dataset(gpt, tmp_path, run, "code", sequence_length=WIDTH, add_extra_token_to_sequence=False)
    blanked = np.where(batch.input_ids == CONTROL_IDS[PAD], 0, batch.input_ids)  # as Megatron does
    samples = [read[index] for index in range(len(read))]
    assert sorted(sample["tokens"].tolist() for sample in samples) == sorted(blanked.tolist())
    for sample in samples:
        row = np.flatnonzero((blanked == sample["tokens"].numpy()).all(axis=1))[0]
        shifted = np.append(batch.input_ids[row, 1:], CONTROL_IDS[PAD])
        assert (sample["loss_mask"].numpy() == (shifted != CONTROL_IDS[PAD])).all()


def test_megatron_tears_rows_by_default(run: Path, tmp_path: Path) -> None:
    """Why docs/export.md asks for other settings: with Megatron's own, samples begin one token further back in each row."""
    gpt = library("megatron.core.datasets.gpt_dataset")
    export(str(run), str(tmp_path / "out"), "megatron")
    batch, _ = rows_of(run, "code")
    read = _gpt_dataset(gpt, tmp_path, run, "code", sequence_length=CONTEXT)
    whole = {tuple(ids) for ids in np.where(batch.input_ids == CONTROL_IDS[PAD], 0, batch.input_ids)[:, :CONTEXT].tolist()}
    torn = [index for index in range(len(read)) if tuple(read[index]["tokens"].tolist()) not in whole]
    assert len(torn) > len(read) / 2


def _gpt_dataset(gpt: Any, tmp_path: Path, run: Path, name: str, **settings: Any) -> Any:
    """One pass over a source, shuffled as Megatron does."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset
    from megatron.core.datasets.utils import Split

    vocab_size = json.loads((tmp_path / "out/export.json").read_text())["vocab_size"]
    tokenizer = SimpleNamespace(
        eod=CONTROL_IDS[END_OF_TEXT], pad=CONTROL_IDS[PAD], vocab_size=vocab_size, unique_identifiers={"class": "made up"}
    )
    config = gpt.GPTDatasetConfig(
        random_seed=1, split="1,0,0", path_to_cache=str(tmp_path / "cache"), tokenizer=tokenizer, reset_position_ids=False,
        reset_attention_mask=False, eod_mask_loss=False, **settings,
    )  # fmt: skip
    prefix = str(tmp_path / "out" / name)
    indexed = IndexedDataset(prefix, multimodal=False, mmap=True)
    return gpt.GPTDataset(indexed, prefix, np.arange(len(indexed), dtype=np.int32), None, Split.train, config)


def test_nanoset(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = library("datatrove.utils.dataset")
    monkeypatch.setattr(nanoset, "BYTES_PER_FILE", 1000)
    export(str(run), str(tmp_path), "nanoset")
    for source, name in strata(run):
        batch, _ = rows_of(run, source)
        size = batch.input_ids.dtype.itemsize
        read = dataset.DatatroveFolderDataset(str(tmp_path / name), CONTEXT, token_size=size, return_positions=True)
        assert len(read) == len(batch.input_ids)
        assert (np.stack([read[row]["input_ids"].numpy() for row in range(len(read))]) == batch.input_ids).all()
        assert (np.stack([read[row]["positions"].numpy() for row in range(len(read))]) == batch.positions).all()


def test_nanoset_is_what_datatrove_writes(run: Path, tmp_path: Path) -> None:
    tokens = library("datatrove.pipeline.tokens.tokenizer")
    export(str(run), str(tmp_path / "ours"), "nanoset")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        size, flat, loss = batch.input_ids.dtype.itemsize, batch.input_ids.reshape(-1), targets(batch).reshape(-1)
        folder = tmp_path / "theirs" / name
        file = tokens.TokenizedFile(str(folder), "00000.ds", save_loss_metadata=True, token_size=size)
        for end, length in zip(np.cumsum(segments.length), segments.length, strict=True):
            file.write(flat[end - length : end].tolist(), loss[end - length : end])
        file.close()
        for suffix in (".ds", ".ds.index", ".ds.loss"):
            assert (tmp_path / "ours" / name / f"00000{suffix}").read_bytes() == (folder / f"00000{suffix}").read_bytes()


def test_mds(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = library("streaming")
    monkeypatch.setattr(mds, "SIZE_LIMIT", 4000)
    export(str(run), str(tmp_path), "mds")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        read = streaming.LocalDataset(str(tmp_path / name))
        assert len(read) == len(batch.input_ids)
        for row in range(len(read)):
            _check_sample(read[row], batch, segments.slice(row, row + 1), source, row)


def _check_sample(sample: dict[str, Any], batch: Any, table: Any, source: str, row: int) -> None:
    assert (sample["input_ids"] == batch.input_ids[row]).all()
    assert sample["input_ids"].dtype == batch.input_ids.dtype
    assert (sample["loss_mask"] == targets(batch)[row]).all()
    for name in ("doc_id", "doc_start", "kind", "length", "loss_start"):
        assert (sample[name] == getattr(table, name)).all()
    assert (sample["source"], sample["shard"], sample["row"]) == (source, *place_of(source, row))


def test_mds_is_what_its_own_writer_writes(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = library("streaming")
    monkeypatch.setattr(mds, "SIZE_LIMIT", 4000)
    export(str(run), str(tmp_path / "ours"), "mds")
    for source, name in strata(run):
        batch, segments = rows_of(run, source)
        held = {key: column.encoding for key, column in mds.columns(WIDTH, batch.input_ids.dtype).items()}
        with streaming.MDSWriter(out=str(tmp_path / "theirs" / name), columns=held, hashes=["xxh3_64"], size_limit=4000) as writer:
            for row in range(len(batch.input_ids)):
                table = segments.slice(row, row + 1)
                shard, number = place_of(source, row)
                columns = {key: getattr(table, key) for key in ("doc_id", "doc_start", "kind", "length", "loss_start")}
                mask = targets(batch)[row].astype(np.uint8)
                writer.write(
                    {
                        **columns,
                        "input_ids": batch.input_ids[row],
                        "loss_mask": mask,
                        "row": number,
                        "shard": shard,
                        "source": source,
                    }
                )
        names = sorted(path.name for path in (tmp_path / "theirs" / name).iterdir())
        assert sorted(path.name for path in (tmp_path / "ours" / name).iterdir()) == names
        for each in names:
            assert (tmp_path / "ours" / name / each).read_bytes() == (tmp_path / "theirs" / name / each).read_bytes()


def test_mds_streams(small_run: Path, tmp_path: Path) -> None:
    """Several sources as streams of one data set, in order, their hashes checked."""
    streaming = library("streaming")
    export(str(small_run), str(tmp_path / "out"), "mds")
    names = dict(strata(small_run))
    streams = [
        streaming.Stream(remote=str(tmp_path / "out" / name), local=str(tmp_path / "local" / name)) for name in names.values()
    ]
    read = streaming.StreamingDataset(streams=streams, validate_hash="xxh3_64", shuffle=False, batch_size=1)
    expected = np.concatenate([rows_of(small_run, source)[0].input_ids for source in names])
    assert sorted(sample["input_ids"].tolist() for sample in read) == sorted(expected.tolist())


def test_hf(run: Path, tmp_path: Path) -> None:
    datasets = library("datasets")
    export(str(run), str(tmp_path / "out"), "hf")
    held = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    for split, sources in {"train": ["code", "prose/english"], "validation": ["held_out/code"]}.items():
        batches = [rows_of(run, source)[0] for source in sources]
        read = held[split].with_format("numpy")
        assert (read["input_ids"][:] == np.concatenate([batch.input_ids for batch in batches])).all()
        assert (read["position_ids"][:] == np.concatenate([batch.positions for batch in batches])).all()
        labels = [np.where(targets(batch), batch.input_ids.astype(np.int64), -100) for batch in batches]
        assert (read["labels"][:] == np.concatenate(labels)).all()
        assert held[split]["source"][:] == [source for source in sources for _ in range(sum(ROWS[source]))]


def test_hf_card(run: Path, tmp_path: Path) -> None:
    """The card's configurations are found, and its features are those of the files."""
    datasets = library("datasets")
    export(str(run), str(tmp_path / "out"), "hf")
    assert datasets.get_dataset_config_names(str(tmp_path / "out")) == ["default", "code", "prose.english"]
    one = datasets.load_dataset(str(tmp_path / "out"), "code", cache_dir=str(tmp_path / "cache"))
    assert (one["train"].num_rows, one["validation"].num_rows) == (37, 3)
    files = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out/data/code"), cache_dir=str(tmp_path / "cache"))
    assert one["train"].features == files["train"].features
    rows = datasets.load_dataset(str(tmp_path / "out"), "code", split="train", streaming=True)
    segments = rows_of(run, "code")[1]
    first, last = segments.row_offsets[:-1], segments.row_offsets[1:]
    for row, begin, end in zip(rows, first, last, strict=True):
        assert row["segment_lengths"] == segments.length[begin:end].tolist()
        assert row["doc_ids"] == [doc_id.tobytes().hex() for doc_id in segments.doc_id[begin:end]]

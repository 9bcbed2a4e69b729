from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, control_tokens
from sharding.check import documents as restored_documents
from sharding.check import inspect
from sharding.chunks import Documents
from sharding.objectives.base import Controls
from sharding.objectives.causal import Causal
from sharding.objectives.span_corruption import SpanCorruption, SpanCorruptionSettings
from sharding.rows import RowBuilder, Rows
from sharding.shards import Shard, ShardMetadata, write_shard

ORDINARY = 300
CONTROL_IDS = {name: ORDINARY + i for i, name in enumerate([END_OF_TEXT, *control_tokens(16)])}
VOCAB = ORDINARY + len(CONTROL_IDS)


def builder(context_length: int = 64, epoch: int = 0, vocab_size: int = VOCAB, **how: Any) -> RowBuilder:
    controls = Controls.of(CONTROL_IDS)
    return RowBuilder(
        objectives={"causal": Causal(controls), "span_corruption": SpanCorruption(SpanCorruptionSettings(max_spans=3), controls)},
        mixtures=[{"causal": 0.5, "span_corruption": 0.5}],
        ends_line=np.arange(VOCAB) == 10,
        starts_character=np.ones(VOCAB, np.bool_),
        context_length=context_length,
        vocab_size=vocab_size,
        padding_id=CONTROL_IDS["<fim_pad>"],
        seed=5,
        epoch=epoch,
        **how,
    )


def random_documents(lengths: list[int], seed: int = 0) -> Documents:
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    doc_id = rng.integers(0, 256, (len(lengths), 16), dtype=np.uint8)
    return Documents.whole(rng.integers(0, ORDINARY, offsets[-1]).astype(np.uint32), offsets, doc_id)


def as_shard(rows: Rows, folder: Path, context_length: int = 64) -> Shard:
    metadata = ShardMetadata(
        format_version=FORMAT_VERSION, source="s", context_length=context_length, vocab_size=VOCAB, tokenizer_sha256="0" * 64,
        special_ids=CONTROL_IDS, seed=5, epoch=0, config_digest="0" * 32, objectives=list(OBJECTIVES[1:]),
    )  # fmt: skip
    buffer = io.BytesIO()
    write_shard(buffer, metadata, [(rows.input_ids, rows.segments)])
    path = folder / "0.arrow"
    path.write_bytes(buffer.getvalue())
    return Shard.open(str(path))


@pytest.mark.parametrize("how", [{}, {"pack": "concat"}, {"cut_at": "lines"}], ids=str)
@given(lengths=st.lists(st.integers(0, 500), min_size=1, max_size=25), seed=st.integers(0, 1000))
def test_restore_gives_back_every_document(
    tmp_path_factory: pytest.TempPathFactory, how: dict[str, Any], lengths: list[int], seed: int
) -> None:
    documents = random_documents(lengths, seed)
    shard = as_shard(builder(**how).build(documents), tmp_path_factory.mktemp("shard"))
    assert inspect(shard)[:3] == ([], len(lengths), sum(lengths))
    found = restored_documents(iter([shard]))
    assert len(found) == len(lengths)
    for i, doc_id in enumerate(documents.doc_id):
        assert found[doc_id.tobytes()].tolist() == documents.ids[documents.offsets[i] : documents.offsets[i + 1]].tolist()


def test_counts_add_up() -> None:
    rows = builder().build(random_documents([40, 500, 3, 0, 90]))
    counts = rows.statistics
    assert counts["text_tokens"] == 633
    assert rows.input_ids.size == counts["text_tokens"] + counts["control_tokens"] + counts["padding_tokens"]
    assert sum(each["text_tokens"] for each in counts["objectives"].values()) == 633
    assert rows.input_ids.dtype == np.uint16


def test_an_example_does_not_depend_on_its_neighbours() -> None:
    documents = random_documents([100, 200, 50, 300])
    alone = Documents.whole(documents.ids[:100], documents.offsets[:2], documents.doc_id[:1])

    def examples_of(rows: Rows) -> set[tuple[int, ...]]:
        table = rows.segments
        owner = np.repeat(np.arange(len(rows.input_ids)), np.diff(table.row_offsets))
        mine = np.flatnonzero((table.doc_id == documents.doc_id[0]).all(axis=1))
        return {tuple(rows.input_ids[owner[i], table.start[i] : table.start[i] + table.length[i]].tolist()) for i in mine}

    assert examples_of(builder().build(documents)) == examples_of(builder().build(alone))


def test_another_epoch_corrupts_differently() -> None:
    documents = random_documents([60] * 50)
    first, second = builder(epoch=0).build(documents), builder(epoch=1).build(documents)
    assert first.statistics["text_tokens"] == second.statistics["text_tokens"]
    assert not np.array_equal(first.input_ids[:20], second.input_ids[:20])


def test_a_vocabulary_beyond_16_bits_gets_wider_ids() -> None:
    assert builder(vocab_size=65_537).build(random_documents([30])).input_ids.dtype == np.uint32


def test_no_documents_give_no_rows() -> None:
    rows = builder().build(random_documents([]))
    assert rows.input_ids.shape == (0, 65)


def test_damage_is_found(tmp_path: Path) -> None:
    rows = builder().build(random_documents([60] * 10))
    corrupted = np.flatnonzero(rows.segments.kind == 2)[0]
    row = int(np.searchsorted(rows.segments.row_offsets, corrupted, side="right") - 1)
    at = int(rows.segments.start[corrupted]) + 5
    ids = rows.input_ids.copy()
    ids[row, at] = CONTROL_IDS["<fim_middle>"]
    wrong = inspect(as_shard(Rows(ids, rows.segments, {}), tmp_path)).problems
    assert len(wrong) == 1
    assert "control token" in wrong[0] or "do not belong together" in wrong[0]

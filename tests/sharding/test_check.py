from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_text import chunks_of, example, made_up, small
from stages import metadata_for

from contracts.errors import ShardError
from contracts.schemas import OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, PAD
from sharding.check import documents, inspect, restored_bytes, whole_documents
from sharding.objectives import Chunks, Examples, build
from sharding.objectives.fim import FimSettings
from sharding.objectives.span_corruption import SpanCorruptionSettings
from sharding.segments import SegmentTable
from sharding.shards import Shard, write_shard

LENGTH = 160
TEXTS = [made_up(400, seed) for seed in range(6)] + ["", "x", "漢字\n"]


class Wanted:
    """Settings of objectives, as ShardSettings has them."""

    span_corruption = SpanCorruptionSettings()

    def __init__(self, fim: FimSettings) -> None:
        self.fim = fim


FIMS = {
    "fim": FimSettings(rate=0.8),
    "fim, tokens": FimSettings(cut="token"),
    "fim, lines": FimSettings(rate=1, cut="line"),
    "fim, codegen2": FimSettings(sentinels="codegen2", spm_rate=0),
}


def made(objective: str, encoded: list[list[int]]) -> tuple[Chunks, Examples]:
    s = small()
    chunks = chunks_of(encoded, 70, seed=1)
    name = objective.split(",")[0]
    examples = build([name], Wanted(FIMS.get(objective, FimSettings())), s.controls, s.codec)[name].examples(chunks)
    return chunks, examples


def write(
    path: Path, chunks: Chunks, examples: Examples, which: list[int], epoch: int = 0, spoil: dict[int, int] | None = None
) -> Shard:
    """One example a row, padded; `spoil` puts other ids at places of the first row."""
    s = small()
    pad = s.controls.ids[PAD]
    rows = np.full((len(which), LENGTH), pad, np.uint16)
    for row, i in enumerate(which):
        rows[row, : len(example(examples, i))] = example(examples, i)
    for at, token in (spoil or {}).items():
        rows[0, at] = token
    lengths = np.diff(examples.offsets)[which]
    doc_id = np.zeros((2 * len(which), 16), np.uint8)
    doc_id[::2, 0] = document_of(chunks)[which]
    table = SegmentTable(
        row_offsets=np.arange(len(which) + 1) * 2,
        doc_id=doc_id,
        doc_start=interleaved((chunks.start - chunks.begin)[which], 0, np.int64),
        start=interleaved(0 * lengths, lengths, np.int32),
        length=interleaved(lengths, LENGTH - lengths, np.int32),
        kind=interleaved(examples.kind[which], 0, np.uint8),
        loss_start=interleaved(examples.loss_start[which], 0, np.int32),
    )
    ids = s.controls.ids
    metadata = metadata_for(vocab_size=max(ids.values()) + 1, context_length=LENGTH - 1, special_ids=dict(ids), epoch=epoch)
    with path.open("wb") as file:
        write_shard(file, metadata, [(rows, table)])
    return Shard.open(str(path))


def interleaved(examples: Any, padding: Any, dtype: Any) -> np.ndarray[Any, Any]:
    out = np.zeros(2 * len(examples), dtype)
    out[::2], out[1::2] = examples, padding
    return out


def document_of(chunks: Chunks) -> np.ndarray[Any, Any]:
    """int64[m]: a document's chunks are followed by another's when one of them is its last."""
    return np.cumsum(chunks.last) - chunks.last


def encoded() -> list[list[int]]:
    return [small().encode(text) for text in TEXTS]


@pytest.mark.parametrize("objective", [*OBJECTIVES[1:], *list(FIMS)[1:]])
def test_every_document_comes_back_byte_for_byte(tmp_path: Path, objective: str) -> None:
    chunks, examples = made(objective, encoded())
    everything = np.random.default_rng(0).permutation(len(chunks.start)).tolist()
    half = len(everything) // 2
    shards = [
        write(tmp_path / f"{k}.arrow", chunks, examples, part) for k, part in enumerate((everything[:half], everything[half:]))
    ]
    found = dict(restored_bytes(iter(shards), small().codec.table))
    assert {doc_id[0]: text.decode() for doc_id, text in found.items()} == dict(enumerate(TEXTS))
    few = [[i for i in everything if picked == (document_of(chunks)[i] < 4)] for picked in (True, False)]
    seen = [inspect(write(tmp_path / f"whole{k}.arrow", chunks, examples, part)) for k, part in enumerate(few)]
    assert [problem for each in seen for problem in each.problems] == []
    assert [each.documents for each in seen] == [4, len(TEXTS) - 4]
    assert [each.id_sum for each in seen] == [6 << 120, sum(range(4, len(TEXTS))) << 120]
    assert sum(each.text_tokens for each in seen) == len(chunks.ids) + examples.grown.sum()
    if examples.grown.any():
        assert objective in ("fim", "fim, lines", "fim, codegen2")
    else:
        assert {doc_id[0]: ids.tolist() for doc_id, ids in documents(shards).items()} == dict(enumerate(encoded()))


def test_a_document_is_told_as_soon_as_it_is_whole(tmp_path: Path) -> None:
    chunks, examples = made("fim", encoded())
    of = document_of(chunks)
    first, rest = [np.flatnonzero(pick).tolist() for pick in (of < 2, of >= 2)]
    read: list[int] = []

    def shards() -> Any:
        for k, which in enumerate((first, rest)):
            read.append(k)
            yield write(tmp_path / f"{k}.arrow", chunks, examples, which)

    told = whole_documents(shards())
    assert {next(told).doc_id[0], next(told).doc_id[0]} == {0, 1}
    assert read == [0]
    assert len(list(told)) == len(TEXTS) - 2


@pytest.mark.parametrize("objective", ["causal", "fim"])
def test_gaps_overlaps_and_missing_ends_are_found(tmp_path: Path, objective: str) -> None:
    chunks, examples = made(objective, encoded()[:2])
    every = list(range(len(chunks.start)))
    end = int(np.flatnonzero(chunks.last)[0])
    for which, words in (
        (every[1:], "tokens go to 0, the next stretch starts at"),
        ([i for i in every if i != 1], r"tokens go to \d+, the next stretch starts at"),
        ([*every, 1], r"tokens go to \d+, the next stretch starts at"),
        ([i for i in every if i != end], "the end of the document is not where its last stretch is"),
    ):
        shard = write(tmp_path / "s.arrow", chunks, examples, which)
        with pytest.raises(ShardError, match=words):
            documents([shard])
        (problem,) = inspect(shard).problems
        assert re.search(words, problem)


def test_epochs_are_kept_apart(tmp_path: Path) -> None:
    chunks, examples = made("causal", encoded()[:2])
    every = list(range(len(chunks.start)))
    shards = [write(tmp_path / f"{epoch}.arrow", chunks, examples, every, epoch) for epoch in range(2)]
    assert sorted((each.epoch, each.doc_id[0]) for each in whole_documents(shards)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    with pytest.raises(ShardError, match="occurs twice, the second time in epoch 1"):
        documents(shards)


@pytest.mark.parametrize("name", ["<fim_middle>", "<mask_3>", "<sep>", "<eom>", END_OF_TEXT, PAD])
def test_what_only_objectives_write_may_not_stand_in_text(tmp_path: Path, name: str) -> None:
    chunks, examples = made("causal", encoded()[:1])
    shard = write(tmp_path / "s.arrow", chunks, examples, list(range(len(chunks.start))), spoil={3: small().controls.ids[name]})
    assert inspect(shard).problems == [f"document {bytes(16).hex()}: a control token stands in its text"]


@pytest.mark.parametrize(
    "name", ["<reponame>", "<filename>", "<gh_stars>", "<issue_start>", "<jupyter_code>", "<commit_msg>", "<dummy_2>"]
)
def test_what_documents_hold_themselves_may(tmp_path: Path, name: str) -> None:
    chunks, examples = made("causal", encoded()[:1])
    shard = write(tmp_path / "s.arrow", chunks, examples, list(range(len(chunks.start))), spoil={3: small().controls.ids[name]})
    assert inspect(shard).problems == []


def test_a_torn_infill_example_is_found(tmp_path: Path) -> None:
    chunks, examples = made("fim", encoded()[:1])
    i = int(np.flatnonzero(examples.kind == OBJECTIVES.index("fim"))[0])
    at = example(examples, i).tolist().index(small().controls.ids["<fim_middle>"])
    shard = write(tmp_path / "s.arrow", chunks, examples, [i], spoil={at: 65})
    (problem,) = inspect(shard).problems
    assert "row 0, segment 0: an infill example needs each of <fim_prefix>, <fim_suffix>, <fim_middle> once" in problem

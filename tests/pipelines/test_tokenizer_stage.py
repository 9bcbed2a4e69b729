"""The tokenizer stage: what is sampled, what is reported, and what decides neither."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counted_store import CountedStore
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpus import recipe_values

from contracts.errors import ConfigError, InputError
from contracts.manifest import Manifest
from contracts.special_tokens import control_tokens
from pipelines import tokenizer as tokenizer_stage
from pipelines import tokenizer_sample
from pipelines.audit import audit, show
from pipelines.corpus import find_corpus, read_columns
from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.storage import join, write_parquet
from pipelines.tokenizer import TrainVocabulary, tokenizer
from pipelines.tokenizer_sample import MergeWords, SamplePart, sample_shares, stretch
from tokenizer import train
from tokenizer.config import TokenizerSettings
from tokenizer.train import bytes_by_count
from tokenizer.words import COUNTED, SCHEMA


def shares(made: Path, **settings: object) -> dict[str, float]:
    found = sample_shares(find_corpus(str(made), ""), TokenizerSettings(**settings))
    return {cell: share for cell, (share, _) in found.items()}


def sizes(made: Path) -> dict[str, int]:
    sources = find_corpus(str(made), "").dedup.manifest.statistics["sources"]
    return {f"{source}/{name}": row["bytes_kept"] for source, rows in sources.items() for name, row in rows.items()}


def stage(made: Path, run_dir: Path, engine: Engine, corpus: Path, **settings: object) -> Manifest:
    values = recipe_values(corpus)
    values["tokenizer"] |= settings
    return tokenizer(Recipe(**values), str(run_dir), str(made), engine)


def test_the_sample_is_dealt_by_source_and_language(made: Path) -> None:
    total = 30_000
    size = sizes(made)
    found = shares(made, sample_bytes=total, weights={"code": 1, "code/java": 2, "prose": 1})
    dealt = {cell: share * size[cell] for cell, share in found.items()}
    prose = [cell for cell in size if cell.startswith("prose/")]
    assert dealt["code/java"] == pytest.approx(total / 2)
    assert dealt["code/python"] == pytest.approx(total / 4)
    assert sum(dealt[cell] for cell in prose) == pytest.approx(total / 4)


def test_without_weights_every_share_is_the_same_and_small_sources_give_all(made: Path) -> None:
    size = sum(sizes(made).values())
    assert list(shares(made, sample_bytes=10_000).values()) == pytest.approx([10_000 / size] * len(sizes(made)))
    assert set(shares(made, sample_bytes=10 * size).values()) == {1.0}
    assert shares(made, sample_bytes=10_000, weights={"code": 1})["code/java"] > 0
    assert all(share == 0 for cell, share in shares(made, sample_bytes=10_000, weights={"code": 1}).items() if "prose" in cell)


def test_a_weight_of_nothing_lists_what_is_known(made: Path) -> None:
    with pytest.raises(ConfigError, match=r"'code/cobol'.*Known: code, code/java, code/python, prose"):
        shares(made, weights={"code/cobol": 1})


@given(st.text("aé🙂\n", max_size=200), st.integers(0, 2**64 - 1), st.integers(8, 60))
def test_a_stretch_is_part_of_the_text_and_fits(text: str, key: int, most: int) -> None:
    found = stretch(memoryview(text.encode()), key, most).decode()
    assert found in text
    assert len(found.encode()) <= most
    assert found == text or len(text.encode()) > most


def test_key_ranges_do_not_change_the_vocabulary(
    made: Path, corpus: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_sample, "RANGE_BYTES", 20_000)
    stage(made, tmp_path, engine, corpus)
    for name in ("tokenizer.json", "manifest.json"):
        assert (tmp_path / "tokenizer" / name).read_bytes() == (made / "tokenizer" / name).read_bytes()


@dataclass
class Work:
    """What the steps need of a stage, without one; the receipts of its items are all alike."""

    folder: Path
    receipt: dict[str, Any]
    samples: str = ""
    """What stands before the paths of samples."""

    def work_path(self, *names: str) -> str:
        return (self.samples if names[0] == "sample" else "") + join(str(self.folder), *names)

    def all_receipts(self, step: str, count: int) -> list[dict[str, Any]]:
        return [self.receipt] * count


@pytest.mark.parametrize(("ranges", "share"), [(1, 1.0), (8, 1 / 8)])
def test_of_a_store_only_the_words_of_a_key_range_are_asked_for(
    ranges: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_sample, "RANGE_BYTES", 1000)
    settings, work = TokenizerSettings(sample_bytes=1000 * ranges), Work(tmp_path, {"bytes": 1})
    words = pa.table([[b"w%07d" % i for i in range(40_000)], range(40_000), [1] * 40_000], schema=SCHEMA)
    for part in range(2):
        SamplePart(work, None, 0, settings, {})._write_words(part, words)  # type: ignore[arg-type]
    work.samples = "counted://"
    assert MergeWords(work, 2, ranges)(ranges - 1)["words"] == 40_000 // ranges  # type: ignore[arg-type]
    for file in (tmp_path / "sample").iterdir():
        size, asked = file.stat().st_size, CountedStore.asked[str(file)]
        assert size * share <= sum(asked) <= size * share + 5_000
        assert len(asked) == (1 if ranges == 1 else 3)
    merged = read_columns(work.work_path("words", f"{ranges - 1:05d}.parquet"), ["word", "count"])
    assert merged["word"].to_pylist() == words["word"].to_pylist()[ranges - 1 :: ranges]
    assert set(merged["count"].to_pylist()) == {2}


def test_a_torn_file_of_words_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    work = Work(tmp_path, {"bytes": 1})
    words = pa.table([[b"a", b"b"], [1, 2], [3, 4]], schema=SCHEMA)
    SamplePart(work, None, 0, TokenizerSettings(), {})._write_words(0, words)  # type: ignore[arg-type]
    assert MergeWords(work, 1, 1)(0)["words"] == 2  # type: ignore[arg-type]
    file = tmp_path / "sample" / "00000.arrow"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(pa.ArrowInvalid):
        MergeWords(work, 1, 1)(0)  # type: ignore[arg-type]


def test_rare_words_of_all_key_ranges_are_never_in_memory_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's memory when each range is read: what was kept of those before."""
    ranges, rare, often = 6, 50_000, 100
    tables = [
        pa.table([[b"%d w%07d" % (number, i) for i in range(rare)], [9] * often + [1] * (rare - often)], schema=COUNTED)
        for number in range(ranges)
    ]
    for number, table in enumerate(tables):
        write_parquet(join(str(tmp_path), "words", f"{number:05d}.parquet"), iter(table.combine_chunks().to_batches()), COUNTED)
    work = Work(tmp_path, {"bytes_by_count": bytes_by_count(tables[0]).tolist()})
    monkeypatch.setattr(train, "MOST_BYTES", 20 * ranges * often)
    held, read = [], tokenizer_stage.read_columns

    def watched(*given: Any) -> pa.Table:
        held.append(pa.total_allocated_bytes())
        return read(*given)

    monkeypatch.setattr(tokenizer_stage, "read_columns", watched)
    found = TrainVocabulary(work, TokenizerSettings(), 0, ranges)._words()  # type: ignore[arg-type]
    assert found.num_rows == ranges * often
    assert set(found["count"].to_pylist()) == {9}
    assert np.ptp(held[1:]) < tables[0].nbytes / 10


def test_the_report_adds_up(made: Path, corpus: Path, engine: Engine, tmp_path: Path) -> None:
    found = stage(made, tmp_path, engine, corpus, sample_bytes=10**9).statistics["report"]
    assert found["sample"]["bytes"] == sum(sizes(made).values())
    assert {cell: row["bytes"] for cell, row in found["languages"].items()} == {c: s for c, s in sizes(made).items() if s}
    assert all(
        0 < row["run_tokens"] < row["tokens"] < row["bytes"] for cell, row in found["languages"].items() if cell[:4] == "code"
    )
    assert found["unseen_tokens"] >= len(found["unseen_multibyte"])
    assert len(found["longest_tokens"][0]) >= len(found["longest_tokens"][-1])


def test_ranks_are_taken_over_and_what_is_missing_is_named(made: Path, corpus: Path, engine: Engine, tmp_path: Path) -> None:
    ranks = tmp_path / "vocab.bpe"
    ranks.write_text("#version: 0.2\nd e\nde f\n")
    manifest = stage(made, tmp_path / "run", engine, corpus, ranks=str(ranks), masks=40)
    assert manifest.totals["vocab_size"] == 258 + 1 + 38 + len(control_tokens(40))
    with pytest.raises(InputError, match=r"tokenizer\.ranks = .*gone.* cannot be read.*\.tiktoken"):
        stage(made, tmp_path / "other", engine, corpus, ranks=str(tmp_path / "gone"))


def test_audit_counts_literals_where_they_stand(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {row["doc_id"] for path in (made / "dedup/removals").iterdir() for row in pq.read_table(path).to_pylist()}
    rows = [row for path in (made / "curate/documents").iterdir() for row in pq.read_table(path).to_pylist()]
    texts = [row["text"] for row in rows if row["doc_id"] not in gone]
    expected = Counter({name: sum(text.count(name) for text in texts) for name in ("<|endoftext|>", *control_tokens(40))})
    found = audit(str(made))
    assert found["tokens"] == {name: count for name, count in expected.items() if count}
    assert found["totals"]["documents"] == len(texts)
    assert found["totals"]["literals"] == expected.total() == sum(row["literals"] for row in found["languages"].values()) > 0
    show(found)
    said = capsys.readouterr().out
    assert "<eom>" in said
    assert "the 30 most frequent of 65" in said


def test_audit_of_a_run_without_a_tokenizer_names_the_missing_stage(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "curate", tmp_path / "curate")
    with pytest.raises(Exception, match="'tokenizer' stage is not finished"):
        audit(str(tmp_path))

"""The tokenizer stage: what is sampled, what is reported, and what decides neither."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpus import recipe_values

from contracts.errors import ConfigError, InputError
from contracts.manifest import Manifest
from contracts.special_tokens import control_tokens
from pipelines import tokenizer_sample
from pipelines.audit import audit, show
from pipelines.corpus import find_corpus
from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.tokenizer import tokenizer
from pipelines.tokenizer_sample import sample_shares, stretch
from tokenizer.config import TokenizerSettings


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
    found = stretch(text, key, most)
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

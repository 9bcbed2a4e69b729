"""The line on the small corpus of real files. Skipped where it is not there."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import load
from pipelines.shard import shard
from pipelines.stats import collect
from pipelines.tokenizer import tokenizer
from pipelines.verify import verify
from sharding.check import documents
from sharding.headers import FIELDS, strip_header
from sharding.shards import Shard
from tokenizer.layout import without_control_tokens

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "small_corpus.toml"
COPYLEFT = ("GPL", "LGPL", "AGPL", "MPL", "EPL", "CDDL", "EUPL", "SSPL")


@pytest.fixture(scope="module")
def made(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("run")
    recipe = load(str(CONFIG), [f"source.0.path={corpora / 'small'}", f"source.1.path={corpora / 'small' / 'nl'}"])
    engine = Engine(reporter=Reporter(quiet=True))
    curate(recipe, str(run_dir), engine)
    for stage in (dedup, tokenizer, shard):
        stage(recipe, str(run_dir), "", engine)
    return run_dir


def rows(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.iterdir()) for row in pq.read_table(path).to_pylist()]


def test_all_documents_are_accounted_for(made: Path) -> None:
    sources = collect(str(made))["sources"]
    assert sources["code"]["in"] == 5298
    assert sources["prose"]["in"] == 665
    kept, decisions = rows(made / "curate/documents"), rows(made / "curate/decisions")
    assert len(kept) + len(decisions) == 5963
    assert len({row["doc_id"] for row in kept + decisions}) == 5963
    assert len({row["origin"] for row in kept + decisions}) == 5963


def test_no_copyleft_file_is_kept_and_each_that_is_gone_has_reason_and_evidence(made: Path) -> None:
    for row in rows(made / "curate/documents"):
        assert row["licenses"], row["origin"]
        for expression in row["licenses"]:
            symbols = expression.replace("(", " ").replace(")", " ").split()
            clean = [symbol for symbol in symbols if not symbol.startswith(COPYLEFT)]
            assert clean == symbols or " OR " in expression, expression
    dropped = [row for row in rows(made / "curate/decisions") if row["check"] == "license"]
    assert len(dropped) > 2000
    assert all("evidence: " in row["reason"] for row in dropped)
    assert any("GPL-2.0" in row["reason"] for row in dropped)


def test_restore_gives_back_every_document_and_ids_are_those_of_tokenizers(made: Path) -> None:
    """Byte for byte, and id for id against the reference implementation, on all that was kept."""
    gone = {row["doc_id"] for row in rows(made / "dedup/removals")}
    kept = {row["doc_id"]: row["text"] for row in rows(made / "curate/documents") if row["doc_id"] not in gone}
    text = (made / "tokenizer/tokenizer.json").read_text()
    reference, whole = Tokenizer.from_str(without_control_tokens(text)), Tokenizer.from_str(text)
    shards = [Shard.open(str(path)) for path in sorted((made / "shard").rglob("*.arrow"))]
    control_ids, newline = shards[0].metadata.special_ids, reference.encode("\n", add_special_tokens=False).ids[0]
    restored = documents(shards)
    assert restored.keys() == kept.keys()
    for doc_id, ids in restored.items():
        text_ids = strip_header(ids, control_ids, newline).tolist()
        assert text_ids == reference.encode(kept[doc_id], add_special_tokens=False).ids
        assert whole.decode(text_ids, skip_special_tokens=False) == kept[doc_id]
    assert sum(len(ids) > 0 and int(ids[0]) in {control_ids[name] for name in FIELDS} for ids in restored.values()) > 1000


def test_the_run_verifies(made: Path) -> None:
    assert verify(str(made), Reporter(quiet=True)) == []

"""Documents with marks and headers through the whole line, proved by their hashes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_corpus import recipe_values
from run_the_line import QUIET, run

from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.text_proof import Kept
from pipelines.verify import prove, verify
from sharding.shards import Shard

CHATS = [
    {
        "messages": [{"role": "user", "content": f"Question {i} é漢?"}, {"role": "assistant", "content": f"Answer {i}\n"}]
        * (1 + i % 3)
    }
    for i in range(20)
]
ISSUES = [
    {"title": f"It breaks {i}", "comments": [{"author": "a", "body": f"No {i}"}, {"author": "b", "body": ""}], "state": "closed"}
    for i in range(20)
]


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A run with chats and issues beside the files of the others."""
    folder = tmp_path_factory.mktemp("marked")
    values = recipe_values(corpus)
    for kind, rows in (("chat", CHATS), ("issue", ISSUES)):
        path = folder / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        policy = {"license_policy": "keep_unknown"}
        values["source"].append({"name": kind, "type": "jsonl", "path": str(path), "kind": kind, "shape": kind, **policy})
    values["shard"]["objectives_of"] = {"chat": {"chat": 1.0}, "issue": {"fim": 1.0}}
    run(Recipe(**values), folder / "run", Engine(beam_args=("--direct_running_mode=in_memory",), reporter=QUIET))
    return folder / "run"


def test_documents_with_marks_and_headers_come_back(marked: Path) -> None:
    shards = [Shard.open(str(path)) for path in sorted((marked / "shard").rglob("*.arrow"))]
    assert {shard.metadata.source for shard in shards} >= {"chat", "issue", "code"}
    kept = Kept.of(str(marked / "curate"), str(marked / "tokenizer"))
    assert [problem for shard in shards for problem in kept.problems(shard)] == []
    assert verify(str(marked), QUIET) == []


@pytest.mark.parametrize("source", ["chat", "issue", "code"])
def test_another_text_is_found(marked: Path, source: str) -> None:
    shard = Shard.open(str(marked / f"shard/{source}/00000.arrow"))
    kept = Kept.of(str(marked / "curate"), str(marked / "tokenizer"))
    first = shard.segments(0).doc_id[0]
    place = int(np.flatnonzero((kept.ids == first).all(axis=1))[0])
    kept.hashes[place, 3] ^= 1
    (problem,) = kept.problems(shard)
    assert problem == f"1 documents do not come back as curate kept them: {first.tobytes().hex()}"
    without = Kept(np.delete(kept.ids, place, 0), np.delete(kept.hashes, place, 0), kept.table)
    assert list(without.problems(shard)) == [problem]


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        ("curate/documents/00000.parquet", None),
        ("curate/documents/00000.parquet", lambda content: content[:-50]),
        ("tokenizer/tokenizer.json", None),
        ("tokenizer/tokenizer.json", lambda content: content[:-500]),
    ],
)
def test_damage_of_what_texts_are_compared_with_is_told_once(marked: Path, tmp_path: Path, path: str, damage: Any) -> None:
    run_dir = shutil.copytree(marked, tmp_path / "run")
    content = (run_dir / path).read_bytes()
    (run_dir / path).unlink()
    if damage:
        (run_dir / path).write_bytes(damage(content))
    proof = prove(str(run_dir), QUIET)
    assert len(proof.problems) == 1
    assert path.split("/", 1)[1] in proof.problems[0]
    assert any("its texts were not compared" in note for note in proof.notes)

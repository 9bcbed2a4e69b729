"""A corpus in StarCoderData's layout with The Stack's licence columns, made up and written by each test run that needs it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.special_tokens import control_tokens

WORDS = ["data", "index", "value", "total", "count", "name", "path", "node", "tree", "list", "item", "key", "left", "right", "size"]


def function(rng: random.Random) -> str:
    """A few lines that look like code."""
    names = [rng.choice(WORDS) + str(rng.randrange(1000)) for _ in range(6)]
    lines = [f"def {names[0]}({names[1]}, {names[2]}):"]
    lines += [
        f"    {rng.choice(names)} = {rng.choice(names)} + {rng.choice(WORDS)}({rng.randrange(10**6)})"
        for _ in range(rng.randrange(2, 9))
    ]
    return "\n".join([*lines, f"    return {names[3]}", "", ""])


def source_file(rng: random.Random) -> str:
    return "".join(function(rng) for _ in range(rng.randrange(1, 20)))


def write_corpus(root: Path, documents: int = 240, seed: int = 0) -> Path:
    """Two languages with exact and near-duplicates, copyleft files, literal special tokens, and a prose file in JSON Lines."""
    rng = random.Random(seed)
    texts = [source_file(rng) for _ in range(documents)]
    texts[1] = texts[0]
    texts[3] = texts[2] + "# one line more\n"
    texts[5] = "x = '" + "".join(control_tokens(40)) + "<|endoftext|>'\n" + texts[5]
    for language, rows in (("python", range(0, documents // 2)), ("java", range(documents // 2, documents))):
        table = pa.table(
            {
                "max_stars_repo_path": [f"src/file{i}.{language}" for i in rows],
                "max_stars_repo_name": [f"owner{i % 7}/repo" for i in rows],
                "max_stars_count": [i % 50 if i % 5 else None for i in rows],
                "max_stars_repo_licenses": [["GPL-3.0-only"] if i % 11 == 10 else ["MIT"] for i in rows],
                "id": [str(i) for i in rows],
                "content": [texts[i] for i in rows],
            }
        )
        folder = root / "code" / language
        folder.mkdir(parents=True, exist_ok=True)
        half = table.num_rows // 2
        pq.write_table(table.slice(0, half), folder / "train-00000-of-00002.parquet", row_group_size=20)
        pq.write_table(table.slice(half), folder / "train-00001-of-00002.parquet", row_group_size=20)
    prose = [
        {"text": " ".join(rng.choices(WORDS, k=rng.randrange(20, 300))) + ".", "id": str(i), "license": "CC-BY-4.0"}
        for i in range(60)
    ]
    (root / "prose").mkdir(exist_ok=True)
    (root / "prose" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prose))
    return root


def recipe_values(corpus: Path) -> dict:
    return {
        "part_bytes": 40_000,
        "source": [
            {"name": "code", "type": "the_stack", "path": str(corpus / "code")},
            {
                "name": "prose",
                "type": "jsonl",
                "path": str(corpus / "prose"),
                "kind": "prose",
                "fields": {"id": "id", "licenses": "license"},
            },
        ],
        "tokenizer": {"vocab_size": 900, "masks": 40, "sample_bytes": 100_000},
        "shard": {"context_length": 128, "window_bytes": 60_000, "span_corruption": {"max_spans": 4}},
        "train": {"steps": 2, "batch_size": 2, "micro_batch_size": 2, "dim": 16, "layers": 1, "heads": 2},
    }

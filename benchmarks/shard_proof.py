"""Whether every document of a corpus comes back byte for byte from its rows, objective by objective.

    python benchmarks/shard_proof.py RUN [--only NAME …] [--context 2048] [--work DIR]

RUN holds finished stages up to the tokenizer. For each way below its shards are made, read back and undone, and every document's text is
compared with the content hash that curate wrote, bytes of headers apart. Prints documents, tokens, padding, cuts, and what was wrong.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import xxhash

from pipelines.corpus import Committed, find_corpus
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.storage import read_bytes, read_manifest
from sharding.check import restored_bytes
from sharding.objectives import TextTable
from sharding.shards import Shard
from tokenizer.token_bytes import token_bytes

WAYS: dict[str, dict[str, Any]] = {
    "causal": {"objectives": {"causal": 1.0}},
    "causal, concat": {"objectives": {"causal": 1.0}, "pack": "concat"},
    "causal, cut at lines": {"objectives": {"causal": 1.0}, "cut_at": "lines"},
    "recipe": {"objectives": {"causal": 0.5, "span_corruption": 0.5}},
    "recipe, cut at lines": {"objectives": {"causal": 0.5, "span_corruption": 0.5}, "cut_at": "lines"},
    "recipe, concat": {"objectives": {"causal": 0.5, "span_corruption": 0.5}, "pack": "concat"},
    "span corruption": {"objectives": {"span_corruption": 1.0}},
    "T5 spans": {"objectives": {"span_corruption": 1.0}, "span_corruption": {"variant": "t5", "max_spans": 128}},
    "fim, characters": {"objectives": {"fim": 1.0}, "fim": {"rate": 1.0}},
    "fim, tokens": {"objectives": {"fim": 1.0}, "fim": {"rate": 1.0, "cut": "token"}},
    "fim, lines": {"objectives": {"fim": 1.0}, "fim": {"rate": 1.0, "cut": "line"}},
    "fim, CodeGen2": {"objectives": {"fim": 1.0}, "fim": {"rate": 1.0, "spm_rate": 0.0, "sentinels": "codegen2"}},
    "prefix LM": {"objectives": {"prefix_lm": 1.0}},
    "all, concat": {"objectives": dict.fromkeys(("causal", "span_corruption", "fim", "prefix_lm"), 1.0), "pack": "concat"},
}
"""Settings of `[shard]`."""


def main() -> None:
    """Makes, undoes, compares, prints; exits with 1 if a document did not come back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--only", nargs="*", default=list(WAYS), help="ways to try (default: all)")
    parser.add_argument("--context", type=int, default=2048, help="context length (default 2048)")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    arguments = parser.parse_args()
    run_dir = str(arguments.run.resolve())
    wanted = content_hashes(run_dir)
    print(
        f"{'':24}{'documents':>12}{'tokens':>15}{'padding':>10}{'cut docs':>10}{'cuts':>10}{'at lines':>10}{'wrong':>7}", flush=True
    )
    wrong = sum(prove(run_dir, name, arguments.context, arguments.work, wanted) for name in arguments.only)
    sys.exit(1 if wrong else 0)


def content_hashes(run_dir: str) -> dict[bytes, bytes]:
    """xxh3-128 of the text by doc_id, of all documents that dedup left."""
    corpus = find_corpus(run_dir, "")
    found: dict[bytes, bytes] = {}
    for part in corpus.parts():
        for _, table, kept in corpus.groups(part, ("doc_id", "text")):
            for doc_id, text, stays in zip(table["doc_id"].to_pylist(), table["text"], kept, strict=True):
                if stays:
                    found[doc_id] = xxhash.xxh3_128_digest(text.as_buffer())
    return found


def prove(run_dir: str, name: str, context: int, work: Path | None, wanted: dict[bytes, bytes]) -> int:
    """One row; the number of documents that are missing or other than they were."""
    with tempfile.TemporaryDirectory(prefix="spanmill-proof-", dir=work) as folder:
        recipe = Recipe(shard={"context_length": context, **WAYS[name]})  # type: ignore[arg-type]
        shard(recipe, folder, run_dir, Engine(("--direct_running_mode=in_memory",), Reporter(quiet=True)))
        made = read_manifest(f"{folder}/shard")
        vocabulary = Committed.at(f"{run_dir}/tokenizer")
        text = read_bytes(f"{run_dir}/tokenizer/tokenizer.json").decode()
        table = TextTable(*token_bytes(text, vocabulary.manifest.totals["vocab_size"]))
        shards = (Shard.open(f"{folder}/shard/{entry.path}") for entry in made.files)
        right = sum(wanted.get(doc_id) == xxhash.xxh3_128_digest(content) for doc_id, content in restored_bytes(shards, table))
        shutil.rmtree(f"{folder}/shard")
    totals, strata = made.totals, made.statistics["strata"].values()
    cuts = [sum(counts[key] for counts in strata) for key in ("cut_documents", "cuts", "cuts_at_line_ends")]
    padding = totals["padding_tokens"] / totals["tokens"]
    wrong, at_lines = len(wanted) - right, cuts[2] / max(1, cuts[1])
    counts = f"{totals['documents']:12,}{totals['tokens']:15,}{padding:10.4%}{cuts[0]:10,}{cuts[1]:10,}"
    print(f"{name:24}{counts}{at_lines:10.0%}{wrong:7,}", flush=True)
    return wrong


if __name__ == "__main__":
    main()

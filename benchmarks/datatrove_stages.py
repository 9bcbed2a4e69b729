"""datatrove's stages, run by its own interpreter (benchmarks/datatrove_side.py makes it). Knows nothing of Spanmill.

python datatrove_stages.py {curate|dedup|dedup-spacy|shingles|tokenize} INPUT OUTPUT [--tasks 1] [--licenses FILE] [--tokenizer FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import WhitespaceTokenizer

METADATA = [("kind", pa.string()), ("language", pa.string()), ("repo", pa.string()), ("path", pa.string()), ("stars", pa.int64())]
CURATED = pa.schema(
    [
        ("text", pa.large_string()),
        ("id", pa.string()),
        ("metadata", pa.struct([*METADATA, ("licenses", pa.list_(pa.string()))])),
    ]
)
"""Its writer guesses the types from the first document, which may have no licences: so they are given."""


def main() -> None:
    """Runs one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("curate", "dedup", "dedup-spacy", "shingles", "tokenize"))
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--licenses", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    arguments = parser.parse_args()
    runs = {"curate": curate, "tokenize": tokenize, "dedup": dedup, "dedup-spacy": dedup, "shingles": shingles}
    runs[arguments.stage](arguments)


def curate(arguments: argparse.Namespace) -> None:
    """Reads, filters by size, licence and shape, writes."""
    allowed = frozenset(json.loads(arguments.licenses.read_text()))
    reader = ParquetReader(str(arguments.input), text_key="text", id_key="id")
    filters = [LambdaFilter(small_enough), LambdaFilter(licensed(allowed)), LambdaFilter(well_shaped)]
    writer = ParquetWriter(str(arguments.output / "documents"), compression="zstd", schema=CURATED)
    execute([reader, *filters, writer], arguments.output / "logs", arguments.tasks)


def dedup(arguments: argparse.Namespace) -> None:
    """MinHash in its four steps, with its defaults: word 5-grams, 14 buckets of 8; 64-bit hashes."""
    language = Languages.english if arguments.stage == "dedup-spacy" else WhitespaceTokenizer()
    config = MinhashConfig(hash_config=HashConfig(precision=64))
    signatures, buckets, removed, kept = (str(arguments.output / name) for name in ("signatures", "buckets", "remove", "kept"))
    logs, tasks = arguments.output / "logs", arguments.tasks
    sign = MinhashDedupSignature(signatures, config=config, language=language)
    execute([documents(arguments.input), sign], logs / "1", tasks)
    execute([MinhashDedupBuckets(signatures, buckets, config=config)], logs / "2", config.num_buckets, workers=tasks)
    execute([MinhashDedupCluster(buckets, removed, config=config)], logs / "3", 1)
    execute([documents(arguments.input), MinhashDedupFilter(removed), ParquetWriter(kept, compression="zstd")], logs / "4", tasks)


def shingles(arguments: argparse.Namespace) -> None:
    """The shingles of which the stage dedup makes signatures: doc_id, and the distinct 64-bit hashes."""
    sign = MinhashDedupSignature(str(arguments.output / "signatures"), config=MinhashConfig(), language=WhitespaceTokenizer())
    ids, values = [], []
    for document in documents(arguments.input).run():
        ids.append(document.id)
        values.append(np.unique(sign.get_shingles(document.text)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"doc_id": ids, "shingles": values}), arguments.output / "shingles.parquet")


def tokenize(arguments: argparse.Namespace) -> None:
    """Token files, shuffled within, <|endoftext|> behind each document."""
    tokens = DocumentTokenizer(str(arguments.output / "tokens"), str(arguments.tokenizer), eos_token="<|endoftext|>", seed=1)
    execute([documents(arguments.input), tokens], arguments.output / "logs", arguments.tasks)


def execute(pipeline: list[PipelineStep], logs: Path, tasks: int, workers: int | None = None) -> None:
    """Runs a pipeline on this machine."""
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers or tasks, logging_dir=str(logs)).run()


def documents(folder: Path) -> ParquetReader:
    """Text and id of every document."""
    return ParquetReader(str(folder), text_key="text", id_key="doc_id", read_metadata=False)


def small_enough(document: Document) -> bool:
    """1 MB of UTF-8 for code, 10 MB for prose."""
    return len(document.text.encode()) <= (1_000_000 if document.metadata["kind"] == "code" else 10_000_000)


def licensed(allowed: frozenset[str]) -> Callable[[Document], bool]:
    """Every licence is on the list; code must have one."""

    def check(document: Document) -> bool:
        licenses = document.metadata["licenses"]
        return all(each in allowed for each in licenses) if licenses else document.metadata["kind"] != "code"

    return check


def well_shaped(document: Document) -> bool:
    """StarCoderData's general limits for code: longest line 1,000, mean 100, a quarter letters and digits, no XML."""
    if document.metadata["kind"] != "code":
        return True
    text = document.text
    lengths = [len(line) for line in text.splitlines()]
    if not lengths or max(lengths) > 1000 or sum(lengths) / len(lengths) > 100 or "<?xml version=" in text[:100]:
        return False
    return sum(map(str.isalnum, text)) / len(text) >= 0.25


if __name__ == "__main__":
    main()

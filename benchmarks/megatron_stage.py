"""What Megatron's tools/preprocess_data.py does with each document, by megatron-core's own builder. Knows nothing of Spanmill.

python megatron_stage.py DOCUMENTS TOKENIZER OUTPUT       Parquet files with a column `text`; tokenizer.json; prefix of .bin and .idx
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder
from tokenizers import Tokenizer


def main(documents: Path, tokenizer_json: Path, output: Path) -> None:
    """Encodes every document, puts <|endoftext|> behind it, and appends it."""
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    end = tokenizer.token_to_id("<|endoftext|>")
    builder = IndexedDatasetBuilder(f"{output}.bin", dtype=np.uint16 if tokenizer.get_vocab_size() <= 65_536 else np.int32)
    for path in sorted(documents.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            for text in batch.column("text").to_pylist():
                ids = tokenizer.encode(text).ids
                builder.add_document(torch.tensor([*ids, end]), [len(ids) + 1])
    builder.finalize(f"{output}.idx")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:4]))

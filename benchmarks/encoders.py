"""MB a second and core of encoders alone: gigatoken as we call it, and `tokenizers`, with the same tokenizer.json.

    python benchmarks/encoders.py TOKENIZER.json FOLDER [--megabytes 10]

FOLDER holds parquet files with a column `content` or `text`. CPU time of one thread, median of three passes over the text after a
warm-up on a tenth of it; `tokenizers` runs once. Both leave control tokens out, as our shard stage does; their ids are compared.
"""

from __future__ import annotations

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # read when `tokenizers` is imported

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from dedup_kernels import read_texts, size
from tokenizers import Tokenizer

from tokenizer.encode import Encoder
from tokenizer.layout import without_control_tokens

Made = TypeVar("Made")

BATCH = 64
"""Documents that `tokenizers` gets at a time; its rate is best at 32 to 64."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=10.0, help="text to measure on (default 10)")
    arguments = parser.parse_args()
    text = read_texts(arguments.folder, int(arguments.megabytes * 1e6))
    content = arguments.tokenizer.read_text()
    fast, slow = Encoder(content), Tokenizer.from_str(without_control_tokens(content))
    fast(text[: max(1, len(text) // 10)])
    fast_rate, encoded = rate(lambda: fast(text), text, 3)
    slow_rate, reference = rate(lambda: encode_slowly(slow, text.to_pylist()), text, 1)
    same = encoded.ids.tolist() == [token for ids in reference for token in ids]
    print(f"{size(text) / 1e6:.1f} MB in {len(text):,} documents; ids are {'the same' if same else 'NOT THE SAME'}\n")
    print(f"{'encoder':58} MB/s/core")
    print(f"{'gigatoken, from Arrow buffers (our Encoder)':58} {fast_rate:9.1f}")
    print(f"{'tokenizers, encode_batch_fast':58} {slow_rate:9.1f}")


def encode_slowly(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Ids by `tokenizers`."""
    batches = (texts[i : i + BATCH] for i in range(0, len(texts), BATCH))
    return [each.ids for batch in batches for each in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]


def rate(work: Callable[[], Made], text: pa.LargeStringArray, repeats: int) -> tuple[float, Made]:
    """Median MB/s of CPU time, and the last result."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        made = work()
        seconds.append(time.process_time() - begin)
    return size(text) / 1e6 / statistics.median(seconds), made


if __name__ == "__main__":
    main()

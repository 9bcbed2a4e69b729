"""Whether the encoder's ids are those of `tokenizers` on a whole corpus, and whether its memory stays bounded.

    python benchmarks/encoder_proof.py TOKENIZER.json FOLDER [--processes 2] [--gigabytes 10] [--skip-ids]

FOLDER holds Parquet files with a column `content` or `text`. Ids: every distinct text once, with both engines; `tokenizers` encodes about
1 MB a second. Memory: the texts again and again until so many gigabytes are encoded in one process, in batches as the shard stage has
them; printed is what the process holds beside the text, after each gigabyte. Exits with 1 if an id differs.
"""

from __future__ import annotations

import os

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}  # read when these libraries are imported

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from encoders import documents, memory

from tokenizer.encode import Encoder

BATCH_BYTES = 4_000_000
"""Text that is encoded at once."""


def main() -> None:
    """Compares, then fills memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2, help="that compare ids (default 2)")
    parser.add_argument("--gigabytes", type=float, default=10.0, help="text that one process encodes (default 10)")
    parser.add_argument("--skip-ids", action="store_true", help="look at memory only")
    arguments = parser.parse_args()
    unequal = 0 if arguments.skip_ids else compare(arguments)
    fill(arguments)
    sys.exit(unequal > 0)


def compare(arguments: argparse.Namespace) -> int:
    """Prints and returns how many texts have other ids."""
    size = count = unequal = 0
    with get_context("spawn").Pool(arguments.processes, initializer=_load, initargs=(arguments.tokenizer.read_text(),)) as pool:
        for texts, compared_bytes, wrong in pool.imap_unordered(_compare, distinct_batches(arguments.folder)):
            count, size, unequal = count + texts, size + compared_bytes, unequal + len(wrong)
            for text in wrong[:3]:
                print(f"  other ids: {text[:200]!r}")
    print(f"{count:,} distinct texts, {size / 1e6:,.0f} MB: {unequal} with other ids than `tokenizers`", flush=True)
    return unequal


_engines: list[Encoder] = []


def _load(tokenizer: str) -> None:
    _engines[:] = [Encoder(tokenizer), Encoder(tokenizer, "tokenizers")]


def _compare(text: pa.LargeStringArray) -> tuple[int, int, list[str]]:
    """(texts, bytes, those with other ids)."""
    ours, theirs = (documents(engine(text)) for engine in _engines)
    wrong = [text[i].as_py() for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not np.array_equal(a, b)]
    return len(text), text.nbytes, wrong


def fill(arguments: argparse.Namespace) -> None:
    """Prints what one process holds while it encodes."""
    encoder = Encoder(arguments.tokenizer.read_text())
    batches = [each for each in batches_of(arguments.folder) if len(each)]
    encoder(batches[0])
    before, done, most, begin = memory(), 0, 0, time.process_time()
    for batch in cycle(batches):
        gigabytes = done // 10**9
        encoder(batch)
        done, most = done + batch.nbytes, max(most, memory() - before)
        if done // 10**9 > gigabytes:
            rate = done / 1e6 / (time.process_time() - begin)
            print(
                f"{done / 1e9:5.1f} GB: {(memory() - before) / 1e6:6.0f} MB, at most {most / 1e6:.0f}; {rate:.0f} MB/s", flush=True
            )
        if done >= arguments.gigabytes * 1e9:
            return


def distinct_batches(folder: Path) -> Iterator[pa.LargeStringArray]:
    """Batches of texts that have not come before."""
    seen: set[bytes] = set()
    for batch in batches_of(folder):
        keys = [xxhash.xxh3_128_digest(value.as_buffer()) for value in batch]
        new = [key not in seen and not seen.add(key) for key in keys]
        yield batch.filter(pa.array(new))


def batches_of(folder: Path) -> Iterator[pa.LargeStringArray]:
    """All texts, some megabytes at a time."""
    for path in sorted(folder.rglob("*.parquet")):
        name = next(each for each in ("content", "text") if each in pq.read_schema(path).names)
        text = pa.concat_arrays(pq.read_table(path, columns=[name])[name].cast(pa.large_string()).drop_null().chunks)
        sizes = np.cumsum([len(each.as_buffer()) for each in text])
        edges = np.unique(np.concatenate([[0], np.flatnonzero(np.diff(sizes // BATCH_BYTES)) + 1, [len(text)]]))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            yield text[start:stop]


if __name__ == "__main__":
    main()

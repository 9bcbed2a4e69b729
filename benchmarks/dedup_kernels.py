"""MB of source code a second and core for shingles and signatures: ours, datasketch's, and MinHash as it is usually written.

    python benchmarks/dedup_kernels.py FOLDER [--megabytes 30]

FOLDER holds parquet files with a column `content` or `text`. CPU time of one thread, best of three; the slow ones run once, on a
tenth of the text. Every variant makes 256 permutations of word 5-grams.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash

from dedup import reference
from dedup.config import DedupSettings
from dedup.minhash import SCHEME, signatures
from dedup.shingles import shingle_sets

SETTINGS = DedupSettings()
WORD = re.compile(r"\w+")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=30.0, help="text to measure on (default 30)")
    arguments = parser.parse_args()
    text = read_texts(arguments.folder, int(arguments.megabytes * 1e6))
    few = read_texts(arguments.folder, int(arguments.megabytes * 1e5))
    print(f"{size(text) / 1e6:.1f} MB in {len(text):,} files, {size(few) / 1e6:.1f} MB in {len(few):,} for the slow ones\n")
    print(f"{'variant':58} MB/s/core")
    for name, rate in rows(text, few):
        print(f"{name:58} {rate:9.1f}")


def rows(text: pa.LargeStringArray, few: pa.LargeStringArray) -> Iterator[tuple[str, float]]:
    """Name and MB/s of each variant."""
    signatures(text[:1], SETTINGS), shingle_sets(text[:1], SETTINGS)  # compile
    yield "spanmill signatures, from text", rate(lambda: signatures(text, SETTINGS), text, 3)
    yield "spanmill shingle sets, from text", rate(lambda: shingle_sets(text, SETTINGS), text, 3)
    strings = few.to_pylist()
    hashed = [reference.shingles(string, SETTINGS) for string in strings]
    yield "datasketch update_batch, shingles hashed beforehand", rate(lambda: [from_hashes(each) for each in hashed], few, 1)
    yield "datasketch update_batch, sha1 and shingles in Python", rate(lambda: [from_text(each) for each in strings], few, 1)
    yield "dedup/reference.py, all in Python", rate(lambda: [reference.minhash(each, SETTINGS) for each in strings], few, 1)


def from_hashes(hashes: Sequence[int]) -> MinHash:
    """A sketch by datasketch from our 64-bit shingle hashes."""
    return reference.minhash_of(hashes, SETTINGS)


def from_text(text: str) -> MinHash:
    """A sketch as most pipelines make it: regular expression, joined n-grams, SHA-1."""
    words = WORD.findall(text)
    sketch = MinHash(num_perm=SETTINGS.num_perm, seed=SETTINGS.seed, scheme=SCHEME)
    sketch.update_batch({" ".join(words[i : i + SETTINGS.ngram]).encode() for i in range(len(words) - SETTINGS.ngram + 1)})
    return sketch


def rate(work: Callable[[], object], text: pa.LargeStringArray, repeats: int) -> float:
    """MB/s of CPU time, best of `repeats`."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return size(text) / 1e6 / min(seconds)


def read_texts(folder: Path, limit: int) -> pa.LargeStringArray:
    """Texts of about `limit` bytes in all, spread evenly over the documents of every parquet file below `folder`."""
    chunks = []
    for path in sorted(folder.glob("**/*.parquet")):
        names = pq.read_schema(path).names
        column = "content" if "content" in names else "text"
        chunks += pq.read_table(path, columns=[column])[column].cast(pa.large_string()).chunks
    if not chunks:
        raise SystemExit(f"{folder}: no parquet files; give a folder that has some, with a column content or text")
    every = pa.concat_arrays(chunks)
    count = max(1, min(len(every), round(len(every) * limit / size(every))))
    return every.take(pa.array(np.linspace(0, len(every) - 1, count).astype(np.int64)))


def size(text: pa.LargeStringArray) -> int:
    """UTF-8 bytes of all texts."""
    offsets = np.frombuffer(text.buffers()[1], np.int64)
    return int(offsets[text.offset + len(text)] - offsets[text.offset])


if __name__ == "__main__":
    main()

"""What it costs to have many shards: start-up, rows in random order, memory, open files.

    python benchmarks/open_shards.py [--files 600 8000] [--rows 64] [--reads 20000] [--work DIR]

Makes stages of so many small shards of one stratum, each with the control ids of a whole vocabulary, and reads rows at random places of
one set, as views, twice. `opened` counts files that were opened: more than there are means that some had to be opened again. `KB a
file`: by which the process grows, the rows that were seen included.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from encoders import memory

from contracts.manifest import FileEntry, Manifest
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, PUBLISHED_MASKS, control_tokens
from sharding.segments import SegmentTable
from sharding.shards import ShardMetadata, open_shards, write_shard

CONTEXT = 128


def main() -> None:
    """Makes the stages and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="*", default=[600, 8000], help="shards of each stage (default 600 8000)")
    parser.add_argument("--rows", type=int, default=64, help="rows of a shard (default 64)")
    parser.add_argument("--reads", type=int, default=20_000, help="rows that are read (default 20,000)")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    arguments = parser.parse_args()
    heads = ("start-up ms", "rows/s, first", "rows/s, again", "KB a file", "opened", "descriptors")
    print(f"{'files':>8} {heads[0]:>12} {heads[1]:>14} {heads[2]:>14} {heads[3]:>10} {heads[4]:>8} {heads[5]:>12}")
    for files in arguments.files:
        with tempfile.TemporaryDirectory(prefix="spanmill-bench-", dir=arguments.work) as name:
            make(Path(name), files, arguments.rows)
            measure(name, files, arguments.rows, arguments.reads)


def make(folder: Path, files: int, rows: int) -> None:
    """A stage of equal shards."""
    ids = {name: 40_000 + i for i, name in enumerate([END_OF_TEXT, *control_tokens(PUBLISHED_MASKS)])}
    metadata = ShardMetadata(
        format_version=FORMAT_VERSION, source="code", context_length=CONTEXT, vocab_size=51_200, tokenizer_sha256="0" * 64,
        special_ids=ids, seed=0, epoch=0, config_digest="0" * 32, objectives=list(OBJECTIVES[1:]),
    )  # fmt: skip
    zeros, whole = np.zeros(rows, np.int64), np.full(rows, CONTEXT + 1, np.int32)
    segments = SegmentTable(
        np.arange(rows + 1), np.zeros((rows, 16), np.uint8), zeros, zeros.astype(np.int32), whole, np.ones(rows, np.uint8),
        zeros.astype(np.int32),
    )  # fmt: skip
    (folder / "code").mkdir()
    first = folder / "code/00000.arrow"
    with first.open("wb") as file:
        write_shard(file, metadata, [(np.zeros((rows, CONTEXT + 1), np.uint16), segments)])
    content, entries = first.read_bytes(), []
    for number in range(files):
        path = f"code/{number:05d}.arrow"
        (folder / path).write_bytes(content)
        entries.append(
            FileEntry(path=path, rows=rows, tokens=rows * (CONTEXT + 1), stratum="code", bytes=len(content), xxh3_64="0" * 16)
        )
    made = Manifest(
        stage="shard",
        format_version=FORMAT_VERSION,
        config={},
        seed=0,
        upstream={},
        versions={},
        files=entries,
        totals={},
        statistics={},
    )
    (folder / "manifest.json").write_text(made.to_json())


def measure(folder: str, files: int, rows: int, reads: int) -> None:
    """Prints a row. CPU time."""
    begin = time.process_time()
    shards = open_shards(folder)
    start_up = time.process_time() - begin
    some = np.random.Generator(np.random.Philox(0)).integers(0, files * rows, reads).tolist()
    before = memory()
    first = read(shards, some)
    grown = (memory() - before) / 1e3 / len({row // rows for row in some})
    again = read(shards, some)
    opened = shards._opened.cache_info().misses
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    rates = f"{reads / first:14,.0f} {reads / again:14,.0f}"
    print(f"{files:8,} {start_up * 1e3:12.1f} {rates} {grown:10.0f} {opened:8,} {descriptors:12}", flush=True)


def read(shards, rows: list[int]) -> float:
    """Seconds for so many rows."""
    begin = time.process_time()
    for row in rows:
        shards.row("code", row)
    return time.process_time() - begin


if __name__ == "__main__":
    main()

"""The whole near-deduplication of a corpus, beside datatrove's four stages on the same documents.

    python benchmarks/dedup_stage.py --corpus DIR [--code-only] [--repeat N] [--peer-megabytes N] [--without-peers] [--work DIR]

DIR holds Parquet files in the layout of The Stack or with a column `text` (bench_corpus.py); all documents go to both sides, none is
filtered. Each command runs in fresh processes with one worker; CPU seconds include interpreter, imports, reading, writing and all
children; numba's cache is warm. Peak memory is that of the largest process.

    ours        spanmill dedup: signatures, exact copies, 256 permutations, every candidate verified on its shingle sets, keepers named
    signatures  the first part of it alone; "kernel": the same text in memory, without reading and writing
    datatrove   MinhashDedupSignature, Buckets, Cluster and Filter with its defaults: 112 hashes, nothing verified; words at white space,
                which is faster than its default for English. With --peer-megabytes on so much of the corpus: at half a MB/s a gigabyte
                takes it most of an hour.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from bench_corpus import prepare
from bench_process import ONE_THREAD, Usage, median_usage, run
from datatrove_side import VERSION, Datatrove, interpreter
from spanmill_side import ONE_WORKER, SOURCE
from stages import cpu_model

from dedup.config import DedupSettings
from dedup.minhash import signatures
from pipelines.corpus import Committed, column, read_part
from pipelines.storage import read_manifest

UNFILTERED = "part_bytes = 32_000_000\n" + "".join(f"[filters.{name}]\nenabled = false\n" for name in ("size", "license", "basic"))


def main() -> None:
    """Prepares, measures, prints."""
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="spanmill-bench-", dir=arguments.work) as name:
        work = Path(name)
        ours = Side(work / "all", arguments.corpus, None, arguments.code_only)
        print(f"{cpu_model()}; {ours.documents:,} documents, {ours.size / 1e6:,.0f} MB of text; datatrove {VERSION}", flush=True)
        print(f"\n{'':44}{'MB':>8}{'MB/s/core':>11}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}", flush=True)
        whole = median_usage(ours.command("dedup", again=("signatures", "dedup")), arguments.repeat)
        rate = show("spanmill dedup, all of it", ours.size, whole)
        show("  spanmill signatures", ours.size, median_usage(ours.command("signatures", again=("signatures",)), arguments.repeat))
        print(f"  {'kernel':42}{ours.size / 1e6:8,.0f}{kernel_rate(ours.run_dir):11.1f}", flush=True)
        if not arguments.without_peers:
            limit = int(arguments.peer_megabytes * 1e6) if arguments.peer_megabytes else None
            theirs = ours if limit is None else Side(work / "some", arguments.corpus, limit, arguments.code_only)
            peer = Datatrove(interpreter(), work / "datatrove")
            theirs_rate = show("datatrove, four stages", theirs.size, peer.dedup(theirs.run_dir / "curate" / "documents")())
            print(f"\nratio {rate / theirs_rate:.0f}; removed: ours {ours.removed:,} of {ours.documents:,}", end="")
            print(f"; datatrove {theirs.documents - peer.rows('dedup/kept'):,} of {theirs.documents:,}")


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of Parquet files")
    parser.add_argument("--code-only", action="store_true", help="leave prose out")
    parser.add_argument("--repeat", type=int, default=1, help="runs of our commands; medians are printed (default 1)")
    parser.add_argument("--peer-megabytes", type=float, help="text that datatrove gets (default: all)")
    parser.add_argument("--without-peers", action="store_true", help="measure our side only")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    return parser.parse_args()


class Side:
    """A corpus, curated without filters."""

    def __init__(self, folder: Path, corpus: Path, limit: int | None, code_only: bool) -> None:
        prepare(corpus, folder / "corpus", limit)
        kinds = ["code"] if code_only else [kind for kind in ("code", "prose") if any((folder / "corpus" / kind).glob("*.parquet"))]
        self.run_dir, self._recipe = folder / "run", folder / "recipe.toml"
        tables = [SOURCE.format(kind=kind, path=(folder / "corpus" / kind).resolve(), policy="keep_unknown") for kind in kinds]
        self._recipe.write_text(UNFILTERED + "".join(tables))
        self.command("curate")()
        totals = read_manifest(str(self.run_dir / "curate")).totals
        self.documents, self.size = totals["kept"], totals["bytes_kept"]

    def command(self, name: str, again: tuple[str, ...] = ()) -> Callable[[], Usage]:
        """One of our commands, anew."""

        def once() -> Usage:
            for stage in again:
                shutil.rmtree(self.run_dir / stage, ignore_errors=True)
            script = Path(__file__).parent.parent / "beam_runner.py"
            options = ["--quiet", "--config", str(self._recipe), "--output", str(self.run_dir)]
            return run([sys.executable, script, name, *options, *ONE_WORKER], ONE_THREAD)

        return once

    @property
    def removed(self) -> int:
        """Documents that our dedup removed."""
        return read_manifest(str(self.run_dir / "dedup")).totals["removed"]


def kernel_rate(run_dir: Path) -> float:
    """MB/s/core of signatures, text in memory."""
    settings, curated = DedupSettings(), Committed.at(str(run_dir / "curate"))
    signatures(pa.array(["compile this first"], pa.large_string()), settings)
    seconds, size = 0.0, 0
    for part in curated.parts():
        table = read_part(curated.folder, part, ("text",))
        if table.num_rows:
            text = column(table, "text")
            begin = time.process_time()
            signatures(text, settings)
            seconds += time.process_time() - begin
            size += text.nbytes
    return size / 1e6 / seconds


def show(label: str, size: int, used: Usage) -> float:
    """Prints a row; its MB/s/core."""
    rate = size / 1e6 / used.cpu
    print(f"{label:44}{size / 1e6:8,.0f}{rate:11.2f}{used.cpu:9.1f}{used.wall:9.1f}{used.peak / 1e6:9,.0f}", flush=True)
    return rate


if __name__ == "__main__":
    main()

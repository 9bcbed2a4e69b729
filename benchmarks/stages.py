"""MB of text a second and core of every stage of ours, beside datatrove's on the same documents.

    python benchmarks/stages.py [--corpus DIR | --environment] [--megabytes N] [--repeat N] [--without-peers] [--work DIR]

Without --corpus: ../shared/corpora/small if it is there, else 60 MB of this machine's own Python environment. Every figure is of fresh
processes (bench_process.py): CPU seconds include interpreter, imports, and all children. "Start-up" is the same command on a corpus of
a few documents; "net" leaves it out, which is what a large corpus sees. numba's cache is warm: the start-up corpus goes through all
stages first. Wall times mean something on an idle machine only.

    stage      bytes in                       ours                             datatrove
    curate     raw text                       read, filter, decide, write      ParquetReader, three LambdaFilters, ParquetWriter
    dedup      text that our curate kept      256 permutations, every pair     112 hashes; four steps; pairs are not verified
                                              and removal verified
    tokenizer  text that our dedup kept       trains on a sample of it         has none
    shard      text that our dedup kept       encodes, corrupts, packs         DocumentTokenizer: encodes, shuffles
    whole      raw text                       all four in one process          the sum of the above
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench_corpus import ALL_CODE, ENVIRONMENT, Size, prepare
from bench_process import Usage, median_usage
from datatrove_side import VERSION, Datatrove, interpreter
from spanmill_side import STAGES, Line, cores

SMALL = Path(__file__).parents[2] / "shared" / "corpora" / "small"

LEAST_NET = 0.1
"""Share of a command's CPU time that must be left without start-up for a rate: less is noise."""

PACKAGES = ("apache-beam", "pyarrow", "numba", "gigatoken", "tokenizers", "datasketch")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    stage: str
    side: str
    size: int
    used: Usage
    start_up: float
    """CPU seconds."""

    @property
    def rate(self) -> float:
        """MB/s/core of the whole command."""
        return self.size / 1e6 / self.used.cpu

    @property
    def net_rate(self) -> float:
        """MB/s/core without start-up; not a number where start-up is nearly all."""
        net = self.used.cpu - self.start_up
        return self.size / 1e6 / net if net > LEAST_NET * self.used.cpu else math.nan


def main() -> None:
    """Prepares, measures, prints."""
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="spanmill-bench-", dir=arguments.work) as name:
        work = Path(name)
        limit = int(arguments.megabytes * 1e6) if arguments.megabytes else None
        size = prepare(arguments.corpus, work / "corpus", limit, ALL_CODE if arguments.environment else ENVIRONMENT)
        print_header(arguments, size)
        line = Line(work / "corpus", work / "run", int(arguments.sample_megabytes * 1e6))
        tiny = Line(work / "tiny", work / "tiny-run", line.sample_bytes)
        ours = measure_ours(line, tiny, arguments.repeat)
        line.write_kept(work / "kept")
        theirs = [] if arguments.without_peers else measure_theirs(line, tiny, work, arguments.repeat)
        print_table(ours, theirs)
        print_removed(line, work / "datatrove", theirs)
        if not arguments.without_peers:
            print_kernels(line.tokenizer, work / "kept")


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=SMALL if SMALL.exists() else None, help="folder of parquet files")
    parser.add_argument("--megabytes", type=float, help="take about so much text of the corpus (default: all)")
    parser.add_argument("--sample-megabytes", type=float, default=16.0, help="text to train the tokenizer on (default 16)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of every command; medians are printed (default 1)")
    parser.add_argument("--without-peers", action="store_true", help="measure our side only")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    parser.add_argument(
        "--environment", action="store_true", help="all code of this machine's Python environment instead of a corpus"
    )
    arguments = parser.parse_args()
    if arguments.environment:
        arguments.corpus = None
    return arguments


def measure_ours(line: Line, tiny: Line, repeat: int) -> list[Row]:
    """Our rows; leaves the run of `line` finished."""
    line.write_recipe()
    line.write_tiny(tiny.corpus)
    tiny.write_recipe()
    tiny.whole()()  # fills numba's cache
    whole = median_usage(line.whole(), repeat)  # first, as each stage reads what it left
    curated, deduplicated = line.manifest("curate").totals, line.manifest("dedup").totals
    sizes = {"curate": curated["bytes_in"], "dedup": curated["bytes_kept"]}
    rows = []
    for stage in STAGES:
        start_up = median_usage(tiny.stage(stage), repeat).cpu
        size = sizes.get(stage, deduplicated["bytes_kept"])
        rows.append(Row(stage, "spanmill", size, median_usage(line.stage(stage), repeat), start_up))
    start_up = median_usage(tiny.whole(), repeat).cpu
    rows.append(Row("whole", "spanmill", sizes["curate"], whole, start_up))
    start_up = median_usage(tiny.all_cores(), repeat).cpu
    rows.append(Row("whole, all cores", "spanmill", sizes["curate"], median_usage(line.all_cores(), repeat), start_up))
    return rows


def measure_theirs(line: Line, tiny: Line, work: Path, repeat: int) -> list[Row]:
    """Rows of datatrove, on the raw corpus and on what our stages kept."""
    python = interpreter()
    there, small = Datatrove(python, work / "datatrove"), Datatrove(python, work / "datatrove-tiny")
    tiny.write_kept(work / "tiny-kept")
    raw, kept, tokenizer = line.manifest("curate").totals, work / "kept", line.tokenizer
    whole, deduplicated = raw["bytes_in"], line.manifest("dedup").totals["bytes_kept"]

    def row(stage: str, label: str, size: int, tasks: int = 1) -> Row:
        def usage(side: Datatrove, of: Line, texts: Path) -> Usage:
            commands = {
                "curate": lambda: side.curate(of.corpus, tasks),
                "dedup": lambda: side.dedup(of.curated, "dedup", tasks),
                "dedup-spacy": lambda: side.dedup(of.curated, "dedup-spacy", tasks),
                "shard": lambda: side.tokenize(texts, tokenizer, tasks),
            }
            return median_usage(commands[stage](), repeat)

        return Row(stage.split("-")[0], label, size, usage(there, line, kept), usage(small, tiny, work / "tiny-kept").cpu)

    rows = [row("curate", "datatrove", whole), row("dedup-spacy", "datatrove, English words (spaCy)", raw["bytes_kept"])]
    rows.append(row("dedup", "datatrove, words at white space", raw["bytes_kept"]))
    rows.append(row("shard", "datatrove", deduplicated))
    rows.append(added([rows[0], rows[2], rows[3]], "whole"))
    every = [
        row("curate", "", whole, cores()),
        row("dedup", "", raw["bytes_kept"], cores()),
        row("shard", "", deduplicated, cores()),
    ]
    return [*rows, added(every, "whole, all cores")]


def added(rows: list[Row], stage: str) -> Row:
    """A row for commands that follow one another; its bytes are the first one's."""
    used = Usage(sum(r.used.cpu for r in rows), sum(r.used.wall for r in rows), max(r.used.peak for r in rows))
    return Row(stage, "datatrove, sum of the above", rows[0].size, used, sum(r.start_up for r in rows))


def print_header(arguments: argparse.Namespace, size: Size) -> None:
    """What was measured where."""
    name = arguments.corpus.name if arguments.corpus else "this Python environment"
    print(f"{cpu_model()}, {cores()} cores; {platform.system()}, Python {platform.python_version()}")
    print(", ".join(f"{each} {version(each)}" for each in PACKAGES) + f"; datatrove {VERSION}")
    print(f"Corpus: {name}, {size.documents:,} documents, {size.bytes / 1e6:.1f} MB of text; ", end="")
    print(f"tokenizer sample {arguments.sample_megabytes:g} MB; medians of {arguments.repeat}; numba's cache is warm\n")


def print_table(ours: list[Row], theirs: list[Row]) -> None:
    """Ours, and below each stage theirs with the ratios."""
    print(f"{'':51} MB/s/core            ratio         CPU s")
    print(
        f"{'stage':17}{'side':33}{'MB in':>8}{'all':>7}{'net':>7}{'all':>7}{'net':>7}{'all':>8}{'start-up':>10}{'wall s':>8}{'peak MB':>9}"
    )
    for mine in ours:
        print(row_text(mine, mine))
        for other in (each for each in theirs if each.stage == mine.stage):
            print(row_text(other, mine))


def row_text(row: Row, mine: Row) -> str:
    """A line; the ratios are ours over theirs."""
    ratio = "" if row is mine else f"{mine.rate / row.rate:7.1f}{mine.net_rate / row.net_rate:7.1f}"
    stage = row.stage if row is mine else ""
    rates = f"{row.size / 1e6:8.1f}{row.rate:7.2f}{row.net_rate:7.2f}{ratio:14}".replace("nan", "  –")
    return f"{stage:17}{row.side:33}{rates}{row.used.cpu:8.1f}{row.start_up:10.1f}{row.used.wall:8.1f}{row.used.peak / 1e6:9.0f}"


def print_removed(line: Line, datatrove: Path, theirs: list[Row]) -> None:
    """How many documents each side kept: speed means little without it."""
    curated, deduplicated = line.manifest("curate").totals, line.manifest("dedup").totals
    print(f"\nKept: curate {curated['kept']:,} of {curated['in']:,}; dedup {deduplicated['kept']:,} of {curated['kept']:,}", end="")
    if theirs:
        side = Datatrove(Path(), datatrove)
        print(f"; datatrove {side.rows('curate/documents'):,}; {side.rows('dedup/kept'):,} (white space), ", end="")
        print(f"{side.rows('dedup-spacy/kept'):,} (spaCy)", end="")
    print("; padding " + f"{padding(line):.3%}")


def padding(line: Line) -> float:
    """Share of padding in our rows."""
    totals = line.manifest("shard").totals
    return totals["padding_tokens"] / totals["tokens"]


def print_kernels(tokenizer: Path, kept: Path) -> None:
    """Encoders and signatures alone."""
    here = Path(__file__).parent
    tables: list[list[str | Path]] = [["encoders.py", tokenizer, kept], ["dedup_kernels.py", kept]]
    for script, *rest in tables:
        print(flush=True)
        subprocess.run([sys.executable, here / script, *rest], check=True)


def cpu_model() -> str:
    """As the kernel names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()

"""What Beam costs, and how well its local workers are kept busy.

    python benchmarks/engine.py [--corpus DIR] [--megabytes N] [--repeat N] [--work DIR]

Three tables, each of fresh processes with warm kernels:

    share      CPU seconds of every stage through Beam with one worker, and of the same steps called in a plain loop
    start-up   seconds from the start of the command to the first item of work, with one process and with worker processes
    busy       share of the workers' time that map steps fill, with parts from 1 MB to 64 MB (one Parquet row group each, so that none can
               be split): by the clock (item running) and by CPU time (which other processes on the machine take away from)

--corpus is a folder of Parquet files in the layout of The Stack (../shared/corpora/small without it).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bench_corpus import LAYOUT, Size, prepare
from bench_process import ONE_THREAD, Usage
from bench_process import run as run_process
from engine_sides import NOTES, PlainEngine, noting
from spanmill_side import Line, cores

import pipelines.engine as engine_module
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import load
from pipelines.shard import shard
from pipelines.survey import survey
from pipelines.tokenizer import tokenizer

SMALL = Path(__file__).parents[2] / "shared" / "corpora" / "small"

STAGES = ("survey", "curate", "dedup", "tokenizer", "shard")

MAP_STEPS = ("curate/parts", "signatures/sign", "dedup/sets", "shard/windows")
"""Steps that have an item for each part; the others have few, or end within a second."""

UNEVEN = (64, 1, 2, 48, 1, 4, 8, 1, 32, 2, 16, 4, 1, 24, 2, 8)
"""Sizes of the parts of the last table in MB, over and over."""


def main() -> None:
    """Prints the tables."""
    arguments = _arguments()
    if arguments.once:
        _once(arguments)
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        work = Path(folder)
        size = prepare(arguments.corpus, work / "corpus", arguments.megabytes * 1_000_000)
        line = Line(work / "corpus", work / "run", 16_000_000)
        line.write_recipe()
        recipe = work / "run.toml"
        print(f"{size.documents:,} documents, {size.bytes / 1e6:,.0f} MB of text; {cores()} cores\n")
        print_share(recipe, work, size, arguments.repeat)
        print_start_up(line, work, arguments.repeat)
        print_busy(work / "corpus", work)


def print_share(recipe: Path, work: Path, size: Size, repeat: int) -> None:
    """Beam beside a plain loop."""
    _measure("plain", recipe, work / "warm", "")  # compiles kernels, fills the page cache
    beam, plain = ([_measure(mode, recipe, work / mode, "") for _ in range(repeat)] for mode in ("in_memory", "plain"))
    print("stage          Beam CPU s   plain loop CPU s   Beam's share")
    for stage in (*STAGES, "whole"):
        ours, loop = (statistics.median(each[stage] for each in runs) for runs in (beam, plain))
        print(f"{stage:14} {ours:10.2f} {loop:18.2f} {(ours - loop) / ours:14.1%}")
    print(f"whole: {size.bytes / 1e6 / statistics.median(each['whole'] for each in beam):.1f} MB/s/core, start-up included\n")


def print_start_up(line: Line, work: Path, repeat: int) -> None:
    """Until the first item."""
    line.write_tiny(work / "tiny")
    tiny = replace(line, corpus=work / "tiny", run_dir=work / "tiny-run")
    tiny.write_recipe()
    print("start-up of curate              wall s to the first item   CPU s of the command")
    for mode, words in (("in_memory", "one process"), ("multi_processing", f"{cores()} worker processes")):
        runs = [_measure(mode, work / "tiny-run.toml", work / "tiny-out", "curate") for _ in range(repeat)]
        wall, cpu = (statistics.median(each[key] for each in runs) for key in ("first item", "cpu"))
        print(f"{words:30} {wall:26.2f} {cpu:22.2f}")
    print()


def print_busy(corpus: Path, work: Path) -> None:
    """How full the workers are."""
    _write_uneven(corpus, work / "uneven")
    line = Line(work / "uneven", work / "uneven-run", 16_000_000)
    line.write_recipe()
    found = _measure("multi_processing", work / "uneven-run.toml", work / "uneven-out", "")
    print(f"step             items   largest / all bytes   wall s   busy by the clock   busy by CPU time   ({cores()} workers)")
    for step in MAP_STEPS:
        items = [item for item in found["items"] if item["step"] == step]
        wall = max(item["end"] for item in items) - min(item["begin"] for item in items)
        clock, cpu = (sum(item[key] for item in items) / wall / cores() for key in ("wall", "cpu"))
        largest = max(item["size"] for item in items) / max(1, sum(item["size"] for item in items))
        print(f"{step:16} {len(items):5} {largest:21.1%} {wall:8.1f} {clock:19.1%} {cpu:18.1%}")


def _write_uneven(corpus: Path, folder: Path) -> None:
    """The corpus again, in files of one row group and very different sizes."""
    sizes = [megabytes * 1_000_000 for megabytes in UNEVEN]
    for kind in ("code", "prose"):
        number, held, filled = 0, [], 0
        for path in sorted((corpus / kind).glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(500):
                held.append(batch)
                filled += batch.nbytes
                if filled >= sizes[number % len(sizes)]:
                    _write_one(held, folder / kind / f"{number:05d}.parquet")
                    number, held, filled = number + 1, [], 0
        if held:
            _write_one(held, folder / kind / f"{number:05d}.parquet")


def _write_one(batches: Sequence[pa.RecordBatch], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_batches(batches, schema=LAYOUT)
    pq.write_table(table, path, row_group_size=table.num_rows)


def _measure(mode: str, recipe: Path, output: Path, until: str) -> dict[str, Any]:
    """One run in a fresh process: CPU seconds of each stage, and of each item when it ran."""
    shutil.rmtree(output, ignore_errors=True)
    notes = output.with_suffix(".notes")
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    begin = time.time()
    options = ["--once", mode, "--recipe", recipe, "--output", output, "--notes", notes, "--until", until or "shard"]
    variables = ONE_THREAD | {"PYTHONPATH": str(Path(__file__).parent), NOTES: str(notes)}
    used: Usage = run_process([sys.executable, Path(__file__), *options], variables)
    found: dict[str, Any] = json.loads((notes / "stages.json").read_text())
    found["items"] = [json.loads(line) for path in notes.glob("*.items") for line in path.read_text().splitlines()]
    found["cpu"] = found["whole"] = used.cpu
    found["first item"] = min(item["begin"] for item in found["items"] if item["step"] == "curate/parts") - begin
    return found


def _once(arguments: argparse.Namespace) -> None:
    """What the fresh process does."""
    recipe, output, notes = load(arguments.recipe, []), arguments.output, arguments.notes
    engine_module.build = noting(engine_module.build, notes)
    quiet = Reporter(quiet=True)
    plain = arguments.once == "plain"
    engine: Engine = PlainEngine((), quiet) if plain else Engine((f"--direct_running_mode={arguments.once}",), quiet)
    # The survey of this corpus is no work that worker processes are started for.
    alone = engine if plain else Engine(("--direct_running_mode=in_memory",), quiet)
    calls: dict[str, Callable[[], object]] = {
        "survey": lambda: survey(recipe, output, alone),
        "curate": lambda: curate(recipe, output, engine),
        "dedup": lambda: dedup(recipe, output, "", engine),
        "tokenizer": lambda: tokenizer(recipe, output, "", engine),
        "shard": lambda: shard(recipe, output, "", engine),
    }
    spent = {}
    for stage, call in calls.items():
        begin = _cpu()
        call()
        spent[stage] = _cpu() - begin
        if stage == arguments.until:
            break
    Path(notes, "stages.json").write_text(json.dumps(spent))


def _cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=SMALL if SMALL.is_dir() else None)
    parser.add_argument("--megabytes", type=int, default=10_000, help="Text to take from the corpus, at most.")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path)
    for hidden in ("--once", "--recipe", "--output", "--notes", "--until"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""What dedup costs as a corpus grows, and whether it still removes what it should: the real command on made-up signatures.

    python benchmarks/dedup_scale.py [--documents N …] [--workers N] [--work DIR] [--set dedup.exchange.bytes=… …] [--steps]

A run folder is written for each size, as benchmarks/synthetic_run.py says: signatures with planted duplicates, 1.1 KB a document. Then

    spanmill dedup --set dedup.verify=estimate

runs on it in a fresh process. No text is read: what depends on texts (signatures, and the shingle sets of verify = "exact") is not in
these figures. Two sizes that differ tenfold take 15 minutes and 25 GB of disk at --documents 1e6 1e7.

    CPU s, µs       of the command and all that it starts, and by document
    largest         resident memory of its largest process, mapped files included
    all, own        most memory of all its processes together, looked at twice a second; and of it what is no page of a file
    exchanged       MB of the blocks that the exchanges shuffle, by the layout's bytes a row
    pairs           candidate pairs, and those that reach the threshold
    recall          of the documents that the greedy rule removes if it knows all pairs, the share that went; benchmarks/synthetic_score.py
    expected        share of pairs that the bands find, from the S-curve
    left            documents that the rule would still remove from what was kept
    wrong           removals that should not be. The benchmark fails if there are any, or if recall is below what is expected

`--steps` takes one worker, and shows the CPU time of each step instead of memory: benchmarks/step_clock.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_process import ONE_THREAD, Usage, run
from memory_sum import Peaks, watched
from spanmill_side import ONE_WORKER, cores
from stages import cpu_model
from step_clock import show
from synthetic_run import Planted, make_run
from synthetic_score import Score, score

from contracts.manifest import Manifest
from pipelines.dedup_steps.layout import HASH_ROW, KEY_ROW, NODE_ROW, PRIORITY_ROW
from pipelines.recipe import Recipe, load
from pipelines.storage import read_manifest

ROOT = Path(__file__).resolve().parent.parent

DOCUMENTS = (1e5, 4e5)

PART = 50_000
"""Documents of a part: as many as 128 MB of code hold."""

SETTINGS = ("dedup.verify=estimate",)

RECALL = 0.999
"""Least share of what is wanted, whatever the bands lead one to expect."""


@dataclass(frozen=True)
class Measured:
    """One size."""

    manifest: Manifest
    used: Usage
    peaks: Peaks
    score: Score

    @property
    def microseconds(self) -> float:
        """CPU time a document."""
        return self.used.cpu / self.manifest.totals["in"] * 1e6

    @property
    def expected(self) -> float:
        """Share of pairs."""
        return float(self.manifest.statistics["expected_recall"] or 1.0)

    @property
    def exchanged(self) -> int:
        """Bytes of all blocks but those of verdicts and removals, which are few."""
        totals, bands = self.manifest.totals, self.manifest.statistics["bands"]
        return totals["in"] * (PRIORITY_ROW + NODE_ROW + HASH_ROW) + (totals["in"] - totals["exact"]) * bands * KEY_ROW

    def good(self) -> bool:
        """Whether nothing was removed wrongly, and enough was."""
        return not self.score.wrong and self.score.recall >= min(RECALL, self.expected)


def main() -> None:
    """Runs everything, prints as it goes. Exits with 1 if a removal was wrong or too many are missing."""
    arguments = parse()
    print(f"{cpu_model()}, {cores()} cores; {platform.system()}, Python {platform.python_version()}; workers: {arguments.workers}")
    if not arguments.steps:
        print(HEADER)
    every = []
    for documents in map(int, arguments.documents):
        with tempfile.TemporaryDirectory(prefix="spanmill-scale-", dir=arguments.work) as name:
            found = measure(Path(name), documents, arguments)
        every += [found] if found else []
    if len(every) > 1:
        show_growth(every[0], every[-1])
    sys.exit(0 if all(each.good() for each in every) else 1)


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=float, nargs="+", default=DOCUMENTS, help="sizes (default 1e5 4e5, for a quick look)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes; 1, the default: all in one process")
    parser.add_argument("--part", type=int, default=PART, help=f"documents of a part (default {PART:,})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of the recipe; may be repeated")
    parser.add_argument("--steps", action="store_true", help="show the CPU time of each step")
    parser.add_argument("--work", type=Path, help="folder for the runs (default: the system's for temporary files)")
    arguments = parser.parse_args()
    if min(arguments.documents) < 1000:
        parser.error("--documents must be 1000 or more: of fewer, nothing is planted")
    return arguments


def measure(folder: Path, documents: int, arguments: argparse.Namespace) -> Measured | None:
    """Makes the run, deduplicates it, and prints what came of it."""
    recipe, run_dir = folder / "recipe.toml", folder / "run"
    settings = [*SETTINGS, *arguments.settings]
    read = load_settings(recipe, settings)
    planted = Planted(documents, arguments.seed, read.dedup.num_perm)
    make_run(run_dir, planted, read.dedup, max(1, documents // arguments.part))
    command = [
        "dedup",
        "--quiet",
        "--config",
        recipe,
        "--output",
        run_dir,
        *(word for each in settings for word in ("--set", each)),
    ]
    if arguments.steps:
        show_steps(command, documents, folder / "clock.json")
        return None
    workers = ["--direct_running_mode=multi_processing", f"--direct_num_workers={arguments.workers}"]
    with watched() as peaks:
        command = [sys.executable, ROOT / "beam_runner.py", *command, *(workers if arguments.workers > 1 else ONE_WORKER)]
        used = run(command, ONE_THREAD)
    shutil.rmtree(run_dir / "signatures")
    found = Measured(read_manifest(str(run_dir / "dedup")), used, peaks, score(run_dir, planted, read.dedup.threshold))
    print(row(found), flush=True)
    return found


def load_settings(recipe: Path, settings: Sequence[str]) -> Recipe:
    """An empty recipe with settings; `recipe` is written."""
    recipe.write_text("")
    return load(str(recipe), list(settings))


def show_steps(command: Sequence[str | Path], documents: int, clock: Path) -> None:
    """Runs the command under benchmarks/step_clock.py."""
    run([sys.executable, Path(__file__).with_name("step_clock.py"), *command, "--clock-json", clock], ONE_THREAD)
    found = json.loads(clock.read_text())
    print(f"\n{documents:,} documents, {found['cpu'] / documents * 1e6:.1f} µs of CPU time each")
    show(found["steps"], found["cpu"])


COLUMNS = ("documents", "CPU s", "µs", "wall s", "largest", "all", "own", "exchanged", "pairs", "at t", "removed", "recall", "expected",
           "left", "wrong")  # fmt: skip

HEADER = "".join(f"{name:>11}" for name in COLUMNS)


def row(found: Measured) -> str:
    """A line of the table; memory and exchanged in MB."""
    totals, result = found.manifest.totals, found.score
    memory = (found.used.peak, found.peaks.together, found.peaks.anonymous, found.exchanged)
    cells = [
        f"{totals['in']:,}", f"{found.used.cpu:,.1f}", f"{found.microseconds:.1f}", f"{found.used.wall:,.0f}",
        *(f"{each / 1e6:,.0f}" for each in memory), f"{totals['candidate_pairs']:,}", f"{totals['verified_pairs']:,}",
        f"{result.removed:,}", f"{result.recall:.5%}", f"{found.expected:.5%}", f"{result.left:,}", f"{result.wrong:,}",
    ]  # fmt: skip
    return "".join(f"{cell:>11}" for cell in cells)


def show_growth(small: Measured, large: Measured) -> None:
    """How the time of a document grows, start-up included."""
    times = large.manifest.totals["in"] / small.manifest.totals["in"]
    print(f"\nAt {times:.4g} times as many documents, each takes {large.microseconds / small.microseconds:.2f} times as long.")


if __name__ == "__main__":
    main()

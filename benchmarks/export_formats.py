"""What exporting a run's shards costs, format by format.

    python benchmarks/export_formats.py RUN [--work DIR]

Each export runs in a fresh process; CPU seconds are those above an export of nothing but the start-up (`spanmill --version`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench_process import ONE_THREAD, run

from pipelines.export import FORMATS
from pipelines.storage import read_manifest

SCRIPT = Path(__file__).parent.parent / "beam_runner.py"


def main() -> None:
    """Exports, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with shards")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    arguments = parser.parse_args()
    totals = read_manifest(str(arguments.run / "shard")).totals
    start = run([sys.executable, SCRIPT, "--version"], ONE_THREAD).cpu
    print(f"{totals['rows']:,} rows, {totals['tokens']:,} tokens\n")
    print(f"{'':24}{'Mtok/CPU s':>12}{'bytes/token':>13}{'peak MB':>9}")
    for name, unit in ((name, unit) for name, units in FORMATS.items() for unit in units):
        with tempfile.TemporaryDirectory(prefix="spanmill-export-", dir=arguments.work) as folder:
            options = ["--to", name, "--unit", unit, "--output", f"{folder}/out"]
            used = run([sys.executable, SCRIPT, "export", arguments.run, *options], ONE_THREAD)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        rate = totals["tokens"] / 1e6 / max(1e-9, used.cpu - start)
        print(f"{name + ', ' + unit:24}{rate:12.1f}{size / totals['tokens']:13.2f}{used.peak / 1e6:9,.0f}", flush=True)


if __name__ == "__main__":
    main()

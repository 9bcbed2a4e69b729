"""A Spanmill command, and what each step of its stages took.

    python benchmarks/step_clock.py dedup --config my.toml --output runs/my

One worker, in this process. CPU seconds are of the process: of what emits an exchange's blocks (emit), and of its items with their files
and receipts (items). MB are the blocks', as they are shuffled. The rest is Beam, its shuffles, imports, and looking for receipts.

The table goes to the standard output, or with --clock-json FILE as JSON to a file.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spanmill_side import ONE_WORKER

import beam_runner
from pipelines import graph


@dataclass
class Clock:
    """Sums by step."""

    emit: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    items: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Of items."""
    blocks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def watch(self) -> None:
        """Puts itself around what workers do, from now on."""
        do_item, process = graph.do_item, graph._Emit.process

        def timed_item(stage: Any, step: str, number: int, work: Callable[[], Any]) -> None:
            self.numbers[step] += 1
            with _timed(self.items, step):
                do_item(stage, step, number, work)

        def timed_emit(emit: Any, group: Any) -> Iterator[tuple[bytes, bytes]]:
            name, blocks = emit.step.name, process(emit, group)
            while True:
                with _timed(self.emit, name):
                    found = next(blocks, None)
                if found is None:
                    return
                self.blocks[name] += 1
                self.bytes[name] += len(found[1])
                yield found

        graph.do_item, graph._Emit.process = timed_item, timed_emit  # type: ignore[assignment]

    def rows(self) -> list[dict[str, Any]]:
        """By step, in order; passes of one exchange and rounds of one kind together."""
        rows: dict[str, dict[str, Any]] = {}
        for step in self.numbers:
            name = step.split("-")[0]
            row = rows.setdefault(name, {"step": name, "steps": 0, "items": 0, "emit": 0.0, "work": 0.0, "blocks": 0, "bytes": 0})
            row["steps"] += 1
            found = (self.numbers[step], self.emit[step], self.items[step], self.blocks[step], self.bytes[step])
            for key, value in zip(("items", "emit", "work", "blocks", "bytes"), found, strict=True):
                row[key] += value
        return list(rows.values())


@contextmanager
def _timed(sums: dict[str, float], name: str) -> Iterator[None]:
    begin = time.process_time()
    try:
        yield
    finally:
        sums[name] += time.process_time() - begin


def main() -> None:
    """Runs the command, then prints."""
    arguments, target = sys.argv[1:], ""
    if "--clock-json" in arguments:
        at = arguments.index("--clock-json")
        target = arguments[at + 1]
        del arguments[at : at + 2]
    clock = Clock()
    clock.watch()
    try:
        beam_runner.main([*arguments, *ONE_WORKER])
    except SystemExit as ended:
        if ended.code:
            raise
    if target:
        Path(target).write_text(json.dumps({"steps": clock.rows(), "cpu": time.process_time()}))
    else:
        show(clock.rows(), time.process_time())


def show(rows: list[dict[str, Any]], cpu: float) -> None:
    """The table."""
    print(f"{'step':12}{'steps':>6}{'items':>8}{'emit s':>9}{'items s':>9}{'blocks':>10}{'MB':>10}")
    for row in rows:
        numbers = f"{row['steps']:6}{row['items']:8,}{row['emit']:9.1f}{row['work']:9.1f}{row['blocks']:10,}"
        print(f"{row['step']:12}{numbers}{row['bytes'] / 1e6:10.1f}")
    rest = cpu - sum(row["emit"] + row["work"] for row in rows)
    print(f"{'rest':12}{'':14}{'':9}{rest:9.1f}\n{'all':12}{'':14}{'':9}{cpu:9.1f}")


if __name__ == "__main__":
    main()

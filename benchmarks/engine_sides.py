"""What benchmarks/engine.py compares Beam with, and how it learns when items ran. A module of its own, since workers import it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from contracts.manifest import Manifest
from pipelines.engine import Engine
from pipelines.graph import BlockWork, Exchange, Items, Step, Work
from pipelines.stage import Receipt, Stage
from pipelines.worker import do_item, missing_items

NOTES = "SPANMILL_BENCHMARK_NOTES"
"""Names the folder that notes go to."""


@dataclass
class Noted:
    """A step's work that notes when each item ran, and for how many CPU seconds."""

    work: Work
    step: str
    notes: str

    def sizes(self) -> Sequence[int]:
        """As the work's."""
        return self.work.sizes()

    def setup(self) -> None:
        """As the work's."""
        self._sizes = self.work.sizes()
        self.work.setup()

    def __call__(self, number: int) -> Receipt:
        """As the work's."""
        begin, cpu = time.time(), time.process_time()
        receipt = self.work(number)
        end = time.time()
        note = {"step": self.step, "size": self._sizes[number], "begin": begin, "end": end, "wall": end - begin}
        note["cpu"] = time.process_time() - cpu
        with Path(self.notes, f"{os.getpid()}.items").open("a") as file:
            file.write(json.dumps(note) + "\n")
        return receipt


def noted(stage: Stage, steps: Sequence[Step], notes: str) -> list[Step]:
    """The steps, with work that takes notes."""
    return [Items(s.name, Noted(s.work, f"{stage.name}/{s.name}", notes)) if isinstance(s, Items) else s for s in steps]


def noting(build: Callable[..., None], notes: str) -> Callable[..., None]:
    """pipelines.graph.build, with work that takes notes."""
    return lambda pipeline, stage, steps, session: build(pipeline, stage, noted(stage, steps, notes), session)


class PlainEngine(Engine):
    """The same steps in a plain loop, without Beam."""

    def run(self, stage: Stage, steps: Sequence[Step], seconds: float, memory: int = 0) -> Manifest:
        """Every item, one after another."""
        for step in noted(stage, steps, os.environ[NOTES]):
            if isinstance(step, Items):
                self._items(stage, step.name, step.sizes(), step.work)
            elif isinstance(step, Exchange):
                self._exchange(stage, step)
        return stage.close()

    def _items(self, stage: Stage, name: str, sizes: Sequence[int], work: Work) -> None:
        work.setup()
        for number in missing_items(stage, name, sizes):
            do_item(stage, name, number, partial(work, number))

    def _exchange(self, stage: Stage, step: Exchange) -> None:
        wanted = missing_items(stage, step.name, step.sizes())
        blocks: dict[int, list[bytes]] = {number: [b""] for number in wanted}
        for place in range(len(step.emit.sizes())):
            for number, block in step.emit(place, wanted):
                blocks[number].append(block)
        for number in wanted:
            do_item(stage, step.name, number, partial(_with_blocks, step.work, number, blocks.pop(number)))


def _with_blocks(work: BlockWork, number: int, blocks: Iterable[bytes]) -> dict[str, Any]:
    return work(number, blocks)

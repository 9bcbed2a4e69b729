"""Verified edges to batches of whole components, in which the greedy rule can be applied.

`group` is one item. Where the edges fit the budget it finds the components itself, with scipy; else it only says so, and the rounds of
pipelines/dedup_steps/stars.py do. Both deal whole components to batches, so which of them it was changes no byte of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dedup.keepers import components
from pipelines.dedup_settings import ExchangeSettings
from pipelines.dedup_steps.pairs import EDGE, edge_file
from pipelines.graph import Once
from pipelines.rows import Array, load_many, save
from pipelines.stage import Receipt, Stage

EDGE_MEMORY = 90
"""Bytes of memory that an edge takes while components are found in one process; 87 were seen with 11.7 million."""

LOCAL_FACTOR = 4
"""Memory that the local engine takes for an exchange, in bytes a byte. One worker may as well take as much for the edges."""

ONE_WORKER = 2 * 2**30
"""Bytes that one worker may take for it, however much an exchange may hold: that is the memory of a whole cluster."""

BATCH_EDGES = 1_000_000
"""Edges of a batch, about; a larger component is a batch of its own."""

STARS_FROM = 5_000_000
"""Documents from which on the rounds are part of the job's graph, should they be needed. Below, edges never took more than 1 GB."""


def with_stars(settings: ExchangeSettings, documents: int) -> bool:
    """Whether the graph has rounds of large-star and small-star."""
    return settings.components == "stars" or (settings.components == "auto" and documents >= STARS_FROM)


@dataclass
class GroupEdges(Once):
    """Components by scipy, if they fit; the single item of its step."""

    stage: Stage
    settings: ExchangeSettings
    documents: int
    pair_ranges: int
    star_batches: int

    def __call__(self, number: int) -> Receipt:
        """Writes batches/BATCH.npy EDGE[p], unless the rounds have to."""
        measured = self.stage.all_receipts("measure", self.pair_ranges)
        edges = sum(receipt["edges"] for receipt in measured)
        fits = edges * EDGE_MEMORY <= min(LOCAL_FACTOR * self.settings.bytes, ONE_WORKER)
        if with_stars(self.settings, self.documents) and not (self.settings.components == "auto" and fits):
            return {"edges": edges, "batches": self.star_batches, "method": "stars"}
        every = load_many([edge_file(self.stage, each) for each in range(self.pair_ranges)])
        batches = _batches(np.concatenate([np.empty(0, EDGE), *every]))
        for batch, rows in enumerate(batches):
            save(batch_file(self.stage, batch), rows)
        return {"edges": edges, "batches": len(batches), "method": "scipy"}


def uses_stars(stage: Stage) -> bool:
    """Whether the rounds have work; known when `group` is done."""
    return bool(stage.all_receipts("group", 1)[0]["method"] == "stars")


def _batches(edges: Array) -> Sequence[Array]:
    """Whole components together, about BATCH_EDGES a batch."""
    nodes, place = np.unique(np.concatenate([edges["better"], edges["worse"]]), return_inverse=True)
    label = components(place.reshape(2, len(edges)).T, len(nodes))[place[: len(edges)]]
    order = np.argsort(label, kind="stable")
    first_of_label = np.searchsorted(label[order], label[order])
    batch = first_of_label // BATCH_EDGES
    return [edges[mine] for mine in np.split(order, np.flatnonzero(np.diff(batch)) + 1)] if len(edges) else []


def batch_file(stage: Stage, number: int) -> str:
    """Where the edges of a batch lie."""
    return stage.work_path("batches", f"{number:05d}.npy")

"""The greedy rule on a batch of whole components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dedup.keepers import greedy
from pipelines.dedup_steps.group import batch_file
from pipelines.dedup_steps.rank import Order
from pipelines.rows import load, save
from pipelines.stage import Receipt, Stage

RESOLVED = np.dtype([("node", "<i8"), ("address", "<i8"), ("keeper", "<i8"), ("jaccard", "<f8"), ("band", "<i2")])
"""A near-duplicate: its node and address, the node that keeps it, their similarity, and the first band that they share."""


@dataclass
class ResolveBatch:
    """Who keeps whom."""

    stage: Stage
    order: Order
    threshold: float

    def sizes(self) -> list[int]:
        """One of each batch."""
        return [1] * batches(self.stage)

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """Writes resolved/BATCH.npy RESOLVED[k]."""
        edges = load(batch_file(self.stage, number))
        nodes, place = np.unique(np.concatenate([edges["better"], edges["worse"]]), return_inverse=True)
        better, worse = place.reshape(2, len(edges))
        keeper = greedy(np.stack([better, worse], axis=1), edges["jaccard"], len(nodes), self.threshold).keeper
        chosen = edges[keeper[worse] == better]
        out = np.empty(len(chosen), RESOLVED)
        out["node"], out["keeper"], out["jaccard"], out["band"] = (chosen[name] for name in ("worse", "better", "jaccard", "band"))
        out["address"] = self.order.addresses(out["node"])
        save(resolved_file(self.stage, number), out)
        return {"removed": len(out)}


def batches(stage: Stage) -> int:
    """How many there are; known when `group` is done."""
    return int(stage.all_receipts("group", 1)[0]["batches"])


def resolved_file(stage: Stage, number: int) -> str:
    """Where a batch leaves its verdicts."""
    return stage.work_path("resolved", f"{number:05d}.npy")

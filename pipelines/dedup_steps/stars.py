"""Connected components of more edges than one worker holds: rounds of large-star and small-star (dedup/stars.py).

Nodes are dealt to shares by their hash. A round is two exchanges; it has no items once the round before changed nothing. Then

    label  exchange: the edges to the share of their worse document, whose star says the label of its component
    batch  exchange: edges and labels to the batch of their label

A batch checks what the rounds promise: that both documents of each edge have the same label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from contracts.errors import StageError
from dedup.hashing import fmix64_array
from dedup.stars import fingerprint, large_star, small_star, towards_all, towards_smaller
from pipelines.dedup_steps.group import batch_file, uses_stars
from pipelines.dedup_steps.layout import deal, deal_rows, gathered, records, share_of
from pipelines.dedup_steps.pairs import EDGE, edge_file
from pipelines.graph import Exchange, Step
from pipelines.rows import Array, load, save
from pipelines.stage import Receipt, Stage

Int64 = npt.NDArray[np.int64]

LABEL = np.dtype([("node", "<i8"), ("label", "<i8")])
"""A node and the smallest node of its component."""

EDGE_KIND, LABEL_KIND = b"e", b"l"


def star_steps(stage: Stage, pair_ranges: int, shares: int, rounds: int) -> list[Step]:
    """Rounds, then batches."""
    steps: list[Step] = []
    for number in range(rounds):
        for kind in ("large", "small"):
            one = Round(stage, pair_ranges, shares, number, kind)
            steps.append(Exchange(one.name, EmitEnds(one), TieEnds(one)))
    last = Round(stage, pair_ranges, shares, rounds - 1, "small")
    steps.append(Exchange("label", EmitToLabel(last), LabelEdges(last)))
    steps.append(Exchange("batch", EmitBatches(last), WriteBatch(last)))
    return steps


@dataclass(frozen=True)
class Round:
    """One half of a round."""

    stage: Stage
    pair_ranges: int
    shares: int
    number: int
    kind: Literal["large", "small"]

    @property
    def name(self) -> str:
        """Of its step."""
        return f"{self.kind}-star-{self.number:02d}"

    def shares_now(self) -> int:
        """Items: none where scipy did it, or where an earlier round changed nothing."""
        return self.shares if uses_stars(self.stage) and not self.converged_before(self.number) else 0

    def converged_before(self, number: int) -> bool:
        """Whether one of the rounds before changed nothing."""
        return any(self._unchanged(each) for each in range(number))

    def ended_with(self) -> int | None:
        """The first round that changed nothing."""
        return next((each for each in range(self.number + 1) if self._unchanged(each)), None)

    def edges_file(self, share: int) -> str:
        """Where a share leaves its edges."""
        return self.stage.work_path("stars", f"{self.name}-{share:05d}.npy")

    def before(self) -> list[str]:
        """Files of the edges that it begins with; the first round begins with the verified edges."""
        if self.kind == "small":
            return [self._sibling(self.number, "large").edges_file(share) for share in range(self.shares)]
        if self.number:
            return [self._sibling(self.number - 1, "small").edges_file(share) for share in range(self.shares)]
        return [edge_file(self.stage, each) for each in range(self.pair_ranges)]

    def star_files(self) -> list[str]:
        """Files of the stars, when the rounds have ended."""
        ended = self.ended_with()
        if ended is None:
            raise StageError(
                f"dedup: components were not found in {self.number + 1} rounds of large-star and small-star: a chain of very many similar "
                f"documents. Raise it with --set dedup.exchange.star_rounds={2 * (self.number + 1)}, or, if one worker has the memory, use "
                "--set dedup.exchange.components=scipy."
            )
        return [self._sibling(ended, "small").edges_file(share) for share in range(self.shares)]

    def _unchanged(self, number: int) -> bool:
        """Whether a round left the edges that it began with. Those that are not done, or were not needed, did not."""
        if not number or not self.stage.receipt(f"small-star-{number:02d}", 0):
            return False
        return self._print(number) == self._print(number - 1)

    def _print(self, number: int) -> tuple[int, int]:
        key = (self.stage.progress, number, self.shares)
        if key not in _prints:
            receipts = self.stage.all_receipts(f"small-star-{number:02d}", self.shares)
            _prints[key] = sum(each["edges"] for each in receipts), sum(each["sum"] for each in receipts) % 2**64
        return _prints[key]

    def _sibling(self, number: int, kind: Literal["large", "small"]) -> Round:
        return Round(self.stage, self.pair_ranges, self.shares, number, kind)


_prints: dict[tuple[str, int, int], tuple[int, int]] = {}
"""Of rounds that are done."""


@dataclass
class EmitEnds:
    """Edges to the shares of the nodes that look at them."""

    round: Round

    def sizes(self) -> list[int]:
        """One of each file that the round begins with."""
        return [1] * len(self.round.before()) if self.round.shares_now() else []

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of 2 columns: node and neighbour."""
        seen = (towards_all if self.round.kind == "large" else towards_smaller)(_pairs(load(self.round.before()[place])))
        yield from deal(_share(seen[:, 0], self.round.shares), [seen[:, 0], seen[:, 1]], wanted)


@dataclass
class TieEnds:
    """The operation on all nodes of a share."""

    round: Round

    def sizes(self) -> list[int]:
        """One of each share."""
        return [1] * self.round.shares_now()

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes its edges after the operation."""
        seen = gathered(blocks, 2).view(np.int64).T
        edges = (large_star if self.round.kind == "large" else small_star)(seen)
        save(self.round.edges_file(number), edges)
        count, total = fingerprint(edges)
        return {"edges": count, "sum": total}


@dataclass
class EmitToLabel:
    """Stars and verified edges to the share of their worse node."""

    last: Round

    def _files(self) -> list[str]:
        verified = [edge_file(self.last.stage, each) for each in range(self.last.pair_ranges)]
        return [*verified, *self.last.star_files()]

    def sizes(self) -> list[int]:
        """One of each file of edges and stars."""
        return [1] * len(self._files()) if uses_stars(self.last.stage) else []

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of EDGE or LABEL rows, marked."""
        rows = load(self._files()[place])
        if place < self.last.pair_ranges:
            yield from deal_rows(_share(rows["worse"], self.last.shares), EDGE_KIND, rows, wanted)
        else:
            label = np.empty(len(rows), LABEL)
            label["label"], label["node"] = rows.T
            yield from deal_rows(_share(label["node"], self.last.shares), LABEL_KIND, label, wanted)


@dataclass
class LabelEdges:
    """The label of each edge's worse document."""

    last: Round

    def sizes(self) -> list[int]:
        """One of each share."""
        return [1] * self.last.shares if uses_stars(self.last.stage) else []

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes labelled/SHARE.edges.npy, SHARE.of_edges.npy and SHARE.labels.npy."""
        edges, labels = _kinds(blocks)
        labels = _with_own(labels)
        place = np.searchsorted(labels["node"], edges["worse"])
        save(_labelled(self.last.stage, number, "edges"), edges)
        save(_labelled(self.last.stage, number, "of_edges"), labels["label"][place] if len(edges) else np.zeros(0, np.int64))
        save(_labelled(self.last.stage, number, "labels"), labels)
        return {"edges": len(edges), "labels": len(labels)}


@dataclass
class EmitBatches:
    """Edges and labels to the batch of their label."""

    last: Round

    def sizes(self) -> list[int]:
        """One of each share."""
        return [1] * self.last.shares if uses_stars(self.last.stage) else []

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Blocks of EDGE or LABEL rows, marked."""
        edges, of_edges, labels = (load(_labelled(self.last.stage, place, kind)) for kind in ("edges", "of_edges", "labels"))
        yield from deal_rows(_share(of_edges, self.last.shares), EDGE_KIND, edges, wanted)
        yield from deal_rows(_share(labels["label"], self.last.shares), LABEL_KIND, labels, wanted)


@dataclass
class WriteBatch:
    """A batch of whole components, checked."""

    last: Round

    def sizes(self) -> list[int]:
        """One of each share."""
        return [1] * self.last.shares if uses_stars(self.last.stage) else []

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        """Writes batches/BATCH.npy EDGE[p]. Raises StageError if a component was torn."""
        edges, labels = _kinds(blocks)
        labels = _with_own(labels)
        labels = labels[np.argsort(labels["node"])]
        ends = [np.searchsorted(labels["node"], edges[side]) for side in ("better", "worse")]
        known = [place < len(labels) for place in ends]
        whole = known[0] & known[1]
        if whole.all():
            whole = labels["node"][ends[0]] == edges["better"]
            whole &= labels["label"][ends[0]] == labels["label"][ends[1]]
        if not whole.all():
            torn = edges[~whole][0]
            raise StageError(
                f"dedup: the documents of an edge, nodes {torn['better']} and {torn['worse']}, were given to different components. This "
                "is a bug: nothing was committed. --set dedup.exchange.components=scipy finds components in another way."
            )
        save(batch_file(self.last.stage, number), edges)
        return {"edges": len(edges), "documents": len(labels)}


def _pairs(rows: Array) -> Int64:
    """int64[p, 2] of EDGE rows, or of what a round wrote."""
    return np.stack([rows["better"], rows["worse"]], axis=1) if rows.dtype == EDGE else rows


def _with_own(labels: Array) -> Array:
    """With the centres of the stars, whose label is themselves; ordered by node."""
    centres = np.unique(labels["label"])
    own = np.empty(len(centres), LABEL)
    own["node"] = own["label"] = centres
    return np.unique(np.concatenate([labels, own]))


def _share(nodes: Int64, shares: int) -> Array:
    return share_of(fmix64_array(nodes.astype(np.uint64)), shares)


def _kinds(blocks: Iterable[bytes]) -> tuple[Array, Array]:
    """EDGE and LABEL rows of marked blocks, in an order of their own."""
    every = list(blocks)
    edges = records((block[1:] for block in every if block[:1] == EDGE_KIND), EDGE)
    labels = records((block[1:] for block in every if block[:1] == LABEL_KIND), LABEL)
    return edges[np.lexsort((edges["better"], edges["worse"]))], np.unique(labels)


def _labelled(stage: Stage, share: int, kind: str) -> str:
    return stage.work_path("labelled", f"{share:05d}.{kind}.npy")

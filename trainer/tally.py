"""Losses by source and objective, in nats per token and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from contracts.schemas import OBJECTIVES
from contracts.special_tokens import WHITESPACE_RUNS
from sharding.batch import Batch

Float64 = npt.NDArray[np.float64]

TITLES = {"span_corruption": "span corruption", "prefix_lm": "prefix LM", "bits_per_byte": "bits per byte"}
"""What losses are called where people read of them, if not by their names in the log. An objective's name there is that in OBJECTIVES."""


@dataclass
class Tally:
    """Sums over targets, by source and kind."""

    sources: list[str]
    token_bytes: Float64 | None = None
    """float64[V], bytes of text each id stands for; without it there are no bits per byte."""
    sums: Float64 = field(init=False)
    """float64[3, sources, kinds]: nats, targets, bytes."""

    def __post_init__(self) -> None:
        self.sums = np.zeros((3, len(self.sources), len(OBJECTIVES)))

    def add(self, nll: npt.NDArray[np.float32], batch: Batch) -> None:
        """Losses of a batch's targets, float32[targets], in the order of its loss mask. Summed in float64, in order."""
        source = np.broadcast_to(batch.source[:, None], batch.loss_mask.shape)[batch.loss_mask]
        target = batch.input_ids[:, 1:][batch.loss_mask]
        cell = source.astype(np.int64) * len(OBJECTIVES) + batch.kind[:, 1:][batch.loss_mask]
        sizes = np.zeros(len(target)) if self.token_bytes is None else self.token_bytes[target]
        for row, values in enumerate((nll.astype(np.float64), np.ones(len(target)), sizes)):
            self.sums[row] += np.bincount(cell, values, minlength=self.sums[row].size).reshape(self.sums[row].shape)

    @property
    def targets(self) -> int:
        """Tokens that were predicted."""
        return int(self.sums[1].sum())

    def losses(self) -> dict[str, float]:
        """Nats per token: "all", each objective, each source; "bits_per_byte" where the tokenizer is known. Only what occurred."""
        cells = {"all": self.sums.sum(axis=(1, 2))}
        cells |= {name: self.sums[:, :, kind].sum(axis=1) for kind, name in enumerate(OBJECTIVES) if kind}
        cells |= {f"source/{name}": self.sums[:, number].sum(axis=1) for number, name in enumerate(self.sources)}
        losses = {name: float(nats / targets) for name, (nats, targets, _) in cells.items() if targets}
        nats, _, size = cells["all"].tolist()
        return losses | ({"bits_per_byte": nats / math.log(2) / size} if size else {})


def by_objective(losses: Mapping[str, float]) -> dict[str, float]:
    """The losses of single objectives, in the order of their codes, by their titles."""
    return {TITLES.get(name, name): losses[name] for name in OBJECTIVES if name in losses}


def unigram_entropy(batches: Iterable[Batch], vocab_size: int) -> float | None:
    """Entropy in nats of the targets' distribution: the least loss on these rows of a model that looks at no context. None without targets.

    Such a model would have to know how frequent each token is in these very rows, so one that was fitted elsewhere does a little worse.
    """
    counts = np.zeros(vocab_size, np.int64)
    for batch in batches:
        counts += np.bincount(batch.input_ids[:, 1:][batch.loss_mask], minlength=vocab_size)
    if not counts.any():
        return None
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def token_bytes(tokenizer_json: Path, vocab_size: int) -> Float64 | None:
    """Bytes of text behind each id, float64[vocab_size]; None where the run has no tokenizer.

    A byte-level token's name has one character a byte. Control tokens stand for no text.
    """
    if not tokenizer_json.exists():
        return None
    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    sizes = np.zeros(vocab_size)
    for name, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if name not in added or name in WHITESPACE_RUNS:
            sizes[number] = len(name)
    return sizes

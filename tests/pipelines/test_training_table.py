"""What `stats` says of a training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.manifest import Manifest
from pipelines.stats import _forgotten_since
from pipelines.tables import _training
from sharding.forgotten import Mask

LOSSES = {"all": 5.0, "span_corruption": 5.1, "prefix_lm": 5.2, "fim": 5.3, "source/my_code": 5.4, "bits_per_byte": 2.0}


def found(**more: Any) -> dict[str, Any]:
    totals = {"parameters": 1000, "steps": 10, "tokens": 640}
    return {"train": {"totals": totals, "statistics": {"train_losses": LOSSES, "eval_losses": {}, "unigram_entropy": None}, **more}}


def test_losses_have_their_own_names() -> None:
    table = _training(found())
    assert table is not None
    assert list(table.columns[0].cells) == [
        "all", "bits per byte", "fim", "prefix LM", "source/my_code", "span corruption",
    ]  # fmt: skip
    assert table.title == "Training: 1,000 parameters, 10 steps, 640 tokens"


def test_the_title_says_what_was_forgotten_since() -> None:
    table = _training(found(forgotten_since=3))
    assert table is not None
    assert str(table.title).endswith("640 tokens; 3 documents forgotten since")


@pytest.mark.parametrize(
    ("masks", "count"),
    [
        ([], 0),
        ([("", 0)], 5),
        ([("old", 2)], 3),
        ([("", 0), ("now", 5)], 5),
        ([("now", 5)], 0),
    ],
)
def test_documents_forgotten_since_are_those_that_some_step_saw(masks: list[tuple[str, int]], count: int) -> None:
    stretches = [{"first_step": 1, "forgotten": digest, "documents": documents} for digest, documents in masks]
    made = Manifest("train", {}, 0, {}, {}, {}, {"masks": stretches})
    mask = cast(Mask, SimpleNamespace(digest="now", totals={"documents": 5}))
    assert _forgotten_since(made, mask) == count

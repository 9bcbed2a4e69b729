from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg

from contracts.schemas import OBJECTIVES
from trainer.plot import COLOURS, loss_figure, plot_losses
from trainer.report import Summary
from trainer.tally import by_objective

LOSSES = {name: 5.0 + number / 10 for number, name in enumerate(OBJECTIVES) if number} | {"all": 5.2, "source/chat": 1.0}
LOG: list[dict[str, Any]] = [
    {"step": step, "train": LOSSES, **({"eval": LOSSES} if step % 5 == 0 else {})} for step in range(1, 11)
]
TITLES = ["causal", "span corruption", "fim", "prefix LM", "chat"]


def test_every_objective_that_occurs_is_drawn_by_its_own_name() -> None:
    labels = [str(line.get_label()) for line in loss_figure(LOG, 6.0).axes[0].get_lines()]
    assert labels == [f"{title}, {series}" for series in ("training", "held out") for title in TITLES] + [
        "unigram entropy, held out"
    ]
    some = [{"step": 1, "train": {"fim": 3.0, "all": 3.0}}]
    assert [line.get_label() for line in loss_figure(some, None).axes[0].get_lines()] == ["fim, training"]
    assert list(by_objective(LOSSES)) == TITLES == list(COLOURS)


def test_every_objective_is_in_the_result() -> None:
    summary = Summary(10, 640, 1000, 6.0, LOSSES, LOSSES, {})
    assert summary.words() == (
        "1,000 parameters, 10 steps, 640 tokens; held-out loss causal 5.100, span corruption 5.200, fim 5.300, prefix LM 5.400, chat 5.500 "
        "(unigram entropy 6.000)"
    )


def test_steps_are_whole_numbers() -> None:
    for steps in (1, 2, 3, 10, 200):
        figure = loss_figure([{"step": step, "train": LOSSES} for step in range(1, steps + 1)], None)
        FigureCanvasAgg(figure).draw()
        assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


def test_a_log_without_losses_can_be_drawn(tmp_path: Path) -> None:
    """So it is where everything was forgotten."""
    plot_losses(tmp_path / "loss.png", [{"step": 1, "train": {}, "eval": {}}], None)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

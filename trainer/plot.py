"""The loss curves of a run as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.tally import by_objective

COLOURS = {"causal": "#1f5fa8", "span corruption": "#c4541a", "fim": "#2e8b57", "prefix LM": "#8a4fa3", "chat": "#b8860b"}
"""By the objective's title."""


def plot_losses(path: Path, log: list[dict[str, Any]], unigram_entropy: float | None) -> None:
    """Writes the picture of `loss_figure`."""
    figure = loss_figure(log, unigram_entropy)
    FigureCanvasAgg(figure)
    figure.savefig(path, metadata={"Software": None})


def loss_figure(log: list[dict[str, Any]], unigram_entropy: float | None) -> Figure:
    """Training (thin) and held-out (dotted) losses of each objective that occurs, and the unigram entropy of the held-out targets."""
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss, nats per token")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for series, words, style in (
        ("train", "training", {"linewidth": 0.9}),
        ("eval", "held out", {"marker": "o", "linestyle": ":"}),
    ):
        losses = [(entry["step"], by_objective(entry.get(series, {}))) for entry in log]
        for title, colour in COLOURS.items():
            points = [(step, values[title]) for step, values in losses if title in values]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=f"{title}, {words}", **style)
    if unigram_entropy is not None:
        axes.axhline(unigram_entropy, color="0.4", linestyle="--", label="unigram entropy, held out")
    if axes.get_lines():  # there is none if all that was to be learned from was forgotten
        axes.legend()
    axes.grid(alpha=0.3)
    return figure

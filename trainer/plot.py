"""The loss curves of a run as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"causal": "#1f5fa8", "infill": "#c4541a"}


def plot_losses(path: Path, log: list[dict[str, Any]], unigram_entropy: float) -> None:
    """Training (thin) and held-out (dotted) losses by objective, and the unigram entropy that a model must get below."""
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss, nats per token")
    for name, colour in COLOURS.items():
        for series, style in (("train", {"linewidth": 0.9}), ("eval", {"marker": "o", "linestyle": ":"})):
            points = [(entry["step"], entry[series][name]) for entry in log if name in entry.get(series, {})]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=f"{name}, {series}", **style)
    axes.axhline(unigram_entropy, color="0.4", linestyle="--", label="unigram entropy of the targets")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Software": None})

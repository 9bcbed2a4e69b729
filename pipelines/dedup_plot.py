"""The plot of duplicates: how similar, in how large clusters, in which languages, and how surely found."""

from __future__ import annotations

from typing import Any

import numpy as np

from dedup.banding import Banding
from pipelines.cells import shorten
from pipelines.dedup_tables import filled, near_histogram

BARS = 12
"""Languages shown."""

COLOURS = {"exact": "C0", "near": "C1", "reference": "C2"}

MANY = 12
"""Ticks that no longer fit under a panel side by side."""

LEAST = 5
"""Bars for which there is room, or one alone would fill its panel."""

NAME = 20
"""Letters of a language."""

ROOM = 1.35
"""Height of an axis that has a legend above its bars, in heights of the highest bar."""


def duplicates(figure: Any, found: dict[str, Any]) -> None:
    """Four panels: similarity, cluster sizes, removals by language, bands in which pairs met."""
    dedup: dict[str, Any] = found["dedup"]
    totals = dedup["totals"]
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _similarity(first, dedup)
    _clusters(second, dedup["cluster_size_log2_histogram"])
    _languages(third, dedup["by_language"])
    _hits(fourth, dedup)
    share = totals["removed"] / max(1, totals["in"])
    figure.suptitle(f"Duplicates: {totals['removed']:,} of {totals['in']:,} documents removed ({share:.1%})")


def _similarity(axes: Any, dedup: dict[str, Any]) -> None:
    """Removed documents by similarity, under the S-curve: the chance that a pair so similar is found at all."""
    similar, threshold = near_histogram(dedup), dedup["threshold"]
    axes.set_title("Similarity to the keeper, exact copies left out")
    axes.bar([0.05 * i + 0.025 for i in range(20)], similar, width=0.046, color=COLOURS["near"], label="removed documents")
    axes.axvline(threshold, color="k", linestyle="--", linewidth=1, label="threshold")
    axes.set_xlabel("Jaccard similarity")
    axes.set_ylabel("removed documents")
    axes.set_ylim(0, ROOM * max(1, *similar))
    _whole_numbers(axes, "y")
    chance = axes.twinx()
    grid = np.linspace(0, 1, 201)
    curve = 100 * Banding(dedup["bands"], dedup["rows"]).recall_at(grid)
    chance.plot(grid, curve, color="0.35", linewidth=1.5, label="chance that a pair is found")
    chance.set_ylim(0, ROOM * 100)
    chance.set_yticks(range(0, 101, 20))
    chance.set_ylabel("chance, %")
    handles, names = (a + b for a, b in zip(axes.get_legend_handles_labels(), chance.get_legend_handles_labels(), strict=True))
    axes.set_xlim(0, 1)
    axes.legend(handles, names, loc="upper left", fontsize="small")


def _clusters(axes: Any, sizes: list[int]) -> None:
    """Clusters by size, on a logarithmic scale, as most are pairs and few are huge."""
    bins = filled(sizes)
    axes.set_title("Cluster sizes, the keeper included")
    if not bins:
        _nothing(axes, "no clusters")
        return
    axes.bar(list(bins), [sizes[i] for i in bins], width=0.9, color="0.55")
    ticks = bins[:: 1 + len(bins) // MANY]
    axes.set_xticks(list(ticks), [_short(2**i) for i in ticks])
    axes.set_yscale("symlog")
    axes.set_ylim(0, 2 * max(sizes))
    axes.set_xlim(bins[0] - 0.7, max(bins[-1], bins[0] + LEAST) + 0.7)
    axes.set_xlabel("documents in a cluster (from)")
    axes.set_ylabel("clusters")


def _languages(axes: Any, by_language: dict[str, dict[str, int]]) -> None:
    """Removed documents by language, one colour a cause, with the share of the language that they are."""
    rows: dict[str, dict[str, int]] = {}
    for name, counts in by_language.items():
        row = rows.setdefault(name.split("/", 1)[1], dict.fromkeys(("in", "removed", *COLOURS), 0))
        for key in row:
            row[key] += counts[key]
    most = sorted(((name, row) for name, row in rows.items() if row["removed"]), key=lambda item: (-item[1]["removed"], item[0]))
    shown = most[:BARS]
    axes.set_title("Removed documents by language" + (f", the {BARS} with most of {len(most)}" if len(most) > BARS else ""))
    if not shown:
        _nothing(axes, "no duplicates")
        return
    places, left = range(len(shown)), [0] * len(shown)
    for cause, colour in COLOURS.items():
        widths = [row[cause] for _, row in shown]
        axes.barh(places, widths, left=left, color=colour, label=cause)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, (_, row) in zip(places, shown, strict=True):
        axes.text(row["removed"], place, f" {row['removed'] / row['in']:.1%}", va="center", fontsize="small")
    axes.set_yticks(places, [shorten(name, NAME) for name, _ in shown], parse_math=False)
    axes.set_ylim(max(len(shown), LEAST) - 0.4, -0.6)  # downwards
    axes.set_xlim(0, 1.15 * max(left))  # the shares stand behind the bars
    _whole_numbers(axes, "x")
    axes.set_xlabel("documents, and their share of the language")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize="small")


def _hits(axes: Any, dedup: dict[str, Any]) -> None:
    """Pairs found by the bands they met in, and at 0 the pairs that were missed, as estimated from those at 1 and 2."""
    hits, found = dedup["hits_histogram"], dedup["totals"]["verified_pairs"]
    axes.set_title("Near-duplicate pairs by the bands they met in")
    if not found:
        _nothing(axes, "no pairs")
        return
    missed = found / dedup["measured_recall"] - found
    axes.bar(range(1, len(hits) + 1), hits, width=0.9, color=COLOURS["near"], label="found")
    axes.bar(
        [0],
        [missed],
        width=0.9,
        color="w",
        edgecolor=COLOURS["near"],
        hatch="////",
        label=f"missed, at least {missed:,.0f} (estimated)",
    )
    axes.set_yscale("symlog")
    axes.set_ylim(0, 30 * max(1, missed, *hits))  # the legend lies above the bars
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel(f"bands, of {dedup['bands']}")
    axes.set_ylabel("pairs")
    axes.legend(loc="upper left", fontsize="small")


def _whole_numbers(axes: Any, axis: str) -> None:
    """Few ticks, none between two whole numbers, thousands separated."""
    axes.locator_params(axis=axis, nbins=6, integer=True)
    getattr(axes, f"{axis}axis").set_major_formatter("{x:,.0f}")


def _short(number: int) -> str:
    """A power of two in few letters: 512, 1k, 2k, … 1M."""
    for unit, size in (("M", 2**20), ("k", 2**10)):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)


def _nothing(axes: Any, words: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color="0.5", transform=axes.transAxes)

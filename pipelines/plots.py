"""Plots of a run's statistics, as PNG files in RUN/report/."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any

from pipelines.cells import shorten
from pipelines.dedup_plot import duplicates
from pipelines.storage import join, write_bytes

BARS = 20
"""Languages shown."""

NAME = 30
"""Letters of a name."""

SIZE = (9, 5)
"""Inches of a plot; a plot of four panels takes more."""


def draw(found: dict[str, Any], run_dir: str) -> list[str]:
    """Writes report/statistics.json and the plots that the finished stages allow; their paths relative to the run."""
    told = {name: value for name, value in found.items() if name != "run"}  # where a run lies is no statistic of it
    text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_bytes(join(run_dir, "report", "statistics.json"), text.encode())
    written = ["report/statistics.json"]
    for name, wanted, size, plot in (
        ("mixture", "shard", SIZE, _mixture),
        ("dropped", "curate", SIZE, _dropped),
        ("corruption", "shard", SIZE, _corruption),
        ("duplicates", "dedup", (12, 8), duplicates),
    ):
        if wanted in found:
            written.append(_save(run_dir, name, size, plot, found))
    return written


def _save(run_dir: str, name: str, size: tuple[float, float], plot: Any, found: dict[str, Any]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    plot(figure, found)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a language whose script the font lacks is drawn as boxes
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    path = f"report/{name}.png"
    write_bytes(join(run_dir, *path.split("/")), buffer.getvalue())
    return path


def _mixture(figure: Any, found: dict[str, Any]) -> None:
    """Tokens by source and language, one colour a source."""
    axes = figure.subplots()
    every = [(name, row["tokens"]) for name, row in found["languages"].items() if row.get("tokens")]
    rows = sorted(every, key=lambda row: -row[1])[:BARS]
    unit, word = _unit(max((tokens for _, tokens in rows), default=0))
    sources = sorted({name.split("/")[0] for name, _ in rows})
    for index, source in enumerate(sources):
        mine = [(place, tokens) for place, (name, tokens) in enumerate(rows) if name.split("/")[0] == source]
        axes.barh([place for place, _ in mine], [tokens / unit for _, tokens in mine], color=f"C{index}", label=source)
    axes.set_yticks(range(len(rows)), [shorten(name, NAME) for name, _ in rows], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"text tokens of one pass over the documents{word}")
    more = f", the {BARS} largest of {len(every)}" if len(every) > BARS else ""
    axes.set_title(f"What the shards are made of: {sum(tokens for _, tokens in every):,} tokens, by source and language{more}")
    axes.legend(title="source")


def _unit(most: int) -> tuple[int, str]:
    """The unit of an axis that goes up to `most`, and how it is called."""
    for unit, word in ((10**9, "billions"), (10**6, "millions"), (10**3, "thousands")):
        if most >= unit:
            return unit, f", {word}"
    return 1, ""


def _dropped(figure: Any, found: dict[str, Any]) -> None:
    """Documents by fate, one bar a source."""
    axes = figure.subplots()
    drops, outcomes, rows = found["curate"]["drops"], found["curate"]["outcomes"], found["sources"]
    checks = sorted({check for checks in drops.values() for check in checks})
    names = list(rows)
    left = [0.0] * len(names)
    unique = [row.get("kept", 0) - row.get("duplicates", 0) for row in rows.values()]
    left_over = [row.get("documents", count) for row, count in zip(rows.values(), unique, strict=True)]
    parts = [("left", left_over), ("duplicate", [row.get("duplicates", 0) for row in rows.values()])]
    parts.append(("forgotten", [max(0, there - count) for there, count in zip(unique, left_over, strict=True)]))
    parts += [(f"{outcomes[check]}: {check}", [drops.get(name, {}).get(check, 0) for name in names]) for check in checks]
    parts = [part for part in parts if any(part[1])]
    for index, (label, counts) in enumerate(parts):
        shares = [100 * count / max(1, rows[name].get("in", 1)) for name, count in zip(names, counts, strict=True)]
        axes.barh(names, shares, left=left, label=label, color=f"C{index % 10}")
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("documents, %")
    axes.set_title(f"What became of {sum(row.get('in', 0) for row in rows.values()):,} documents, by source")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _corruption(figure: Any, found: dict[str, Any]) -> None:
    """Histograms of mask ratio and span length."""
    first, second = figure.subplots(1, 2)
    ratio, length = [0] * 20, [0] * 16
    for row in found["shard"]["by_source"].values():
        if counts := row["corruption"].get("span_corruption"):
            ratio = [a + b for a, b in zip(ratio, counts["mask_ratio_histogram"], strict=True)]
            length = [a + b for a, b in zip(length, counts["span_length_log2_histogram"], strict=True)]
    first.bar([5 * i + 2.5 for i in range(20)], ratio, width=4.6)
    first.set_xlabel("share of the chunk cut out, %")
    first.set_ylabel("examples")
    top = max((i for i, count in enumerate(length) if count), default=0) + 1
    second.bar(range(top), length[:top], width=0.9)
    second.set_xticks(range(top), [str(2**i) for i in range(top)])
    second.set_xlabel("span length, tokens (from)")
    second.set_ylabel("spans")
    figure.suptitle("Span corruption")

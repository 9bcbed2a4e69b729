"""What `stats` says of shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from contracts.schemas import HELD_OUT, OBJECTIVES
from pipelines.cells import counted, empty_table, escape, shorten

STRATA_SHOWN = 20


def source_of(stratum: str) -> str:
    """The source that a stratum is of."""
    return stratum.removeprefix(f"{HELD_OUT}/").split("/")[0]


def shard_summary(counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of a stratum, or of several, and what follows from them."""
    examples = sum(each["examples"] for each in counts["objectives"].values())
    corrupted = counts["objectives"]["span_corruption"]
    tokens = counts["text_tokens"] + counts["grown_tokens"] + counts["control_tokens"] + counts["padding_tokens"]
    return {
        **counts,
        "tokens": tokens,
        "padding_share": counts["padding_tokens"] / max(1, tokens),
        "objective_shares": {objective: each["examples"] / max(1, examples) for objective, each in counts["objectives"].items()},
        "mean_mask_ratio": counts["masked_tokens"] / max(1, corrupted["text_tokens"]),
        "mean_span_length": counts["masked_tokens"] / max(1, counts["spans"]),
        "spans_per_example": counts["spans"] / max(1, corrupted["examples"]),
        "cuts_at_line_ends_share": counts["cuts_at_line_ends"] / max(1, counts["cuts"]),
    }


def shard_tables(found: dict[str, Any]) -> Iterator[Table]:
    """Tables of strata and objectives; none if there are no shards yet."""
    if "shard" not in found:
        return
    yield _strata(found["shard"])
    yield _objectives(found["shard"])
    if any(row["spans"] for row in found["shard"]["by_stratum"].values()):
        yield _spans(found["shard"])


def _strata(shard: dict[str, Any]) -> Table:
    rows = sorted(shard["by_stratum"].items(), key=lambda item: (-item[1]["tokens"], item[0]))
    more = f", the {STRATA_SHOWN} largest of {len(rows)}" if len(rows) > STRATA_SHOWN else ""
    passes = f"; {shard['epochs']} epochs" if shard["epochs"] > 1 else ""
    columns = ("rows", "text tokens", "headers", "control", "padding", "cut documents", "cuts", "at line ends")
    table = empty_table(f"Shards by stratum{more}: {shard['pack']}, cut at {shard['cut_at']}{passes}", "stratum", *columns)
    for name, row in rows[:STRATA_SHOWN]:
        counts = (counted(row[key]) for key in ("rows", "text_tokens", "header_tokens", "control_tokens"))
        cuts = (counted(row["cut_documents"]), counted(row["cuts"]), f"{row['cuts_at_line_ends_share']:.0%}")
        table.add_row(escape(shorten(name, 40)), *counts, f"{row['padding_share']:.3%}", *cuts)
    return table


def _objectives(shard: dict[str, Any]) -> Table:
    used = [name for name in OBJECTIVES[1:] if any(row["objectives"][name]["examples"] for row in shard["by_stratum"].values())]
    table = empty_table("Objectives, shares of examples", "source", *(name.replace("_", " ") for name in used))
    for name, row in shard["by_source"].items():
        table.add_row(escape(name), *(f"{row['objective_shares'][objective]:.1%}" for objective in used))
    return table


def _spans(shard: dict[str, Any]) -> Table:
    table = empty_table("Span corruption", "source", "mask ratio", "span length", "spans/example")
    for name, row in shard["by_source"].items():
        means = (f"{row['mean_mask_ratio']:.1%}", f"{row['mean_span_length']:.1f}", f"{row['spans_per_example']:.2f}")
        table.add_row(escape(name), *means)
    return table

"""What `stats` says of shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from contracts.schemas import OBJECTIVES
from pipelines.cells import counted, empty_table, escape, shorten

STRATA_SHOWN = 20

NAME = 38
"""Cells of a stratum's name."""

WIDEST = 80
"""Cells of a folder's name, which people copy."""


def shard_summary(counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of a stratum, or of several, and what follows from them."""
    examples = sum(each["examples"] for each in counts["objectives"].values())
    tokens = counts["text_tokens"] + counts["grown_tokens"] + counts["control_tokens"] + counts["padding_tokens"]
    return {
        **counts,
        "tokens": tokens,
        "padding_share": counts["padding_tokens"] / max(1, tokens),
        "objective_shares": {objective: each["examples"] / max(1, examples) for objective, each in counts["objectives"].items()},
        "cuts_at_line_ends_share": counts["cuts_at_line_ends"] / max(1, counts["cuts"]),
    }


def shard_tables(found: dict[str, Any]) -> Iterator[Table]:
    """Tables of strata and objectives; none if there are no shards yet."""
    if "shard" not in found:
        return
    yield _strata(found["shard"])
    yield _folders(found["shard"])
    yield _objectives(found["shard"])
    for objective, table in (("span_corruption", _spans), ("fim", _infills), ("prefix_lm", _prefixes), ("chat", _chats)):
        if any(row["objectives"][objective]["examples"] for row in found["shard"]["by_source"].values()):
            yield table(found["shard"])


def _strata(shard: dict[str, Any]) -> Table:
    rows = sorted(shard["by_stratum"].items(), key=lambda item: (-item[1]["tokens"], item[0]))
    more = f", the {STRATA_SHOWN} largest of {len(rows)}" if len(rows) > STRATA_SHOWN else ""
    passes = f" of all {shard['epochs']} epochs" if shard["epochs"] > 1 else ""
    columns = ("rows", "text", "headers", "control", "padding", "documents cut", "cuts", "at line ends")
    table = empty_table(
        f"Shards by stratum{more}: {shard['pack']}, cut at {shard['cut_at']}; text, headers and control are tokens{passes}",
        "stratum",
        *columns,
    )
    languages = shard["languages_of_strata"]
    for name, row in rows[:STRATA_SHOWN]:
        counts = (counted(row[key]) for key in ("rows", "text_tokens", "header_tokens", "control_tokens"))
        cuts = (counted(row["cut_documents"]), counted(row["cuts"]), f"{row['cuts_at_line_ends_share']:.0%}")
        table.add_row(escape(shorten(_label(name, languages), NAME)), *counts, f"{row['padding_share']:.3%}", *cuts)
    return table


def _label(stratum: str, languages: dict[str, str]) -> str:
    """A stratum, with the name of its language where its folder only tells a digest of that."""
    return f"{stratum.rpartition('/')[0]}/{languages[stratum]}" if stratum in languages else stratum


def _folders(shard: dict[str, Any]) -> Table:
    """Where strata lie that are told by another name; empty where none is."""
    languages = shard["languages_of_strata"]
    more = f", the first {STRATA_SHOWN} of {len(languages)}" if len(languages) > STRATA_SHOWN else ""
    table = empty_table(f"Folders of strata whose language has no plain name{more}", "stratum", "folder", left=(0, 1))
    for name in list(languages)[:STRATA_SHOWN]:
        table.add_row(escape(shorten(_label(name, languages), NAME)), escape(shorten(name, WIDEST)))
    return table


def _objectives(shard: dict[str, Any]) -> Table:
    used = [name for name in OBJECTIVES[1:] if any(row["objectives"][name]["examples"] for row in shard["by_stratum"].values())]
    table = empty_table("Objectives, shares of examples", "source", *(name.replace("_", " ") for name in used))
    for name, row in shard["by_source"].items():
        table.add_row(escape(name), *(f"{row['objective_shares'][objective]:.1%}" for objective in used))
    return table


def _spans(shard: dict[str, Any]) -> Table:
    columns = ("examples", "mask ratio", "5 to 95 %", "span length", "spans/example", "position")
    table = empty_table("Span corruption: means, and the middles of spans as shares of the text", "source", *columns)
    for name, row in shard["by_source"].items():
        counts, examples = row["corruption"].get("span_corruption"), row["objectives"]["span_corruption"]
        if counts and counts["examples"]:
            low, high = (_quantile(counts["mask_ratio_histogram"], share) for share in (0.05, 0.95))
            table.add_row(
                escape(name),
                counted(counts["examples"]),
                f"{counts['masked_tokens'] / max(1, examples['text_tokens']):.1%}",
                f"{low:.0%} to {high:.0%}",
                f"{counts['masked_tokens'] / max(1, counts['spans']):.1f}",
                f"{counts['spans'] / counts['examples']:.2f}",
                f"{_mean(counts['span_position_histogram']):.1%}",
            )
    return table


def _infills(shard: dict[str, Any]) -> Table:
    columns = ("examples", "PSM", "SPM", "left causal", "middle, tokens", "position of cuts", "tokens split")
    table = empty_table("Filling in the middle: means, and shares of the chunks drawn", "source", *columns)
    for name, row in shard["by_source"].items():
        counts = row["corruption"].get("fim")
        if counts and (counts["psm"] or counts["spm"] or counts["untransformed"]):
            orders = {order: counts[order] for order in ("psm", "spm", "untransformed")}
            made, all_chunks = counts["psm"] + counts["spm"], max(1, sum(orders.values()))
            shares = (f"{count / all_chunks:.1%}" for count in orders.values())
            middle, place = counts["masked_tokens"] / max(1, made), _mean(counts["cut_position_histogram"])
            table.add_row(escape(name), counted(made), *shares, f"{middle:.1f}", f"{place:.1%}", counted(counts["grown_tokens"]))
    return table


def _prefixes(shard: dict[str, Any]) -> Table:
    table = empty_table("Prefix language modelling", "source", "examples", "prefix, mean share")
    for name, row in shard["by_source"].items():
        counts = row["corruption"].get("prefix_lm")
        if row["objectives"]["prefix_lm"]["examples"]:
            table.add_row(escape(name), counted(counts["examples"]), f"{_mean(counts['prefix_share_histogram']):.1%}")
    return table


def _chats(shard: dict[str, Any]) -> Table:
    table = empty_table("Chats", "source", "examples", "without an answer")
    for name, row in shard["by_source"].items():
        counts = row["corruption"].get("chat")
        if counts and counts["examples"]:
            table.add_row(escape(name), counted(counts["examples"]), counted(counts["examples_without_targets"]))
    return table


def _mean(histogram: list[int]) -> float:
    """Of shares in bins of equal width."""
    return sum((place + 0.5) * count for place, count in enumerate(histogram)) / len(histogram) / max(1, sum(histogram))


def _quantile(histogram: list[int], share: float) -> float:
    """The upper end of the bin in which a share of all lies."""
    wanted, seen = share * sum(histogram), 0
    for place, count in enumerate(histogram):
        seen += count
        if seen >= wanted:
            return (place + 1) / len(histogram)
    return 1.0

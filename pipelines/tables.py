"""What `stats` and the end of a run print."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.cells import counted, empty_table, escape, shorten, sized, some
from pipelines.dedup_tables import dedup_tables
from pipelines.shard_tables import shard_tables
from pipelines.stats_warnings import warnings
from pipelines.tokenizer_tables import tokenizer_tables

LANGUAGES_SHOWN = 12
LICENSES_SHOWN = 10

LOSSES = {"span_corruption": "span corruption", "prefix_lm": "prefix LM", "bits_per_byte": "bits per byte"}
"""What losses are called, if not by their names in the manifest."""


def show(found: dict[str, Any], plots: Sequence[str]) -> None:
    """Prints tables of a run's statistics to stdout, then where its files lie."""
    console = Console(highlight=False, emoji=False, width=None if os.isatty(1) else 120)
    tables = [_sources(found), _drops(found), *dedup_tables(found, console.width), _languages(found), _licenses(found)]
    for table in (*tables, *tokenizer_tables(found), *shard_tables(found), _training(found)):
        if table is not None and table.row_count:
            title, table.title = table.title, None  # rich would wrap a title at the width of its table
            console.print(f"\n[bold]{title}[/bold]")
            console.print(table)
    if forgotten := found.get("forgotten"):
        documents, rows, segments, tokens = (some(forgotten[f"{noun}s"], noun) for noun in ("document", "row", "segment", "token"))
        words = f"{documents} in {rows}: {segments}, {tokens}"
        console.print(f"\n[bold]Forgotten since the shards were made[/bold], read as padding: {words}")
    if left_out := found.get("left_out"):
        console.print(f"\n[bold]Forgotten before the shards were made[/bold], so in none of them: {some(left_out, 'document')}")
    for warning in warnings(found):
        console.print(f"\n[bold]Warning[/bold]  {escape(warning)}", soft_wrap=True)
    console.print()
    console.print(_places(found, plots))


def _sources(found: dict[str, Any]) -> Table:
    table = empty_table(
        f"Documents by source{_passes(found)}", "source", "in", "kept", "duplicates", "left", "size", "tokens", "bytes/token", "rows",
        "tokens in rows", "padding",
    )  # fmt: skip
    for name, row in found["sources"].items():
        cells = [
            counted(row.get("in")),
            counted(row.get("kept")),
            f"{row['duplicates']:,} ({row['duplicate_rate']:.1%})" if "duplicates" in row else "–",
            counted(row.get("documents")),
            sized(row.get("unique_bytes", row.get("kept_bytes", 0))),
            counted(row.get("tokens")),
            f"{row['bytes_per_token']:.2f}" if "bytes_per_token" in row else "–",
            counted(row.get("rows")),
            counted(row.get("tokens_in_rows")),
            f"{row['padding_share']:.3%}" if "padding_share" in row else "–",
        ]
        table.add_row(escape(name), *cells)
    return table


def _passes(found: dict[str, Any]) -> str:
    epochs = found.get("shard", {}).get("epochs", 1)
    return f"; tokens of one pass, rows of all {epochs} epochs" if epochs > 1 else ""


def _drops(found: dict[str, Any]) -> Table | None:
    if "curate" not in found:
        return None
    drops: dict[str, dict[str, int]] = found["curate"]["drops"]
    sources = sorted(drops)
    table = empty_table("Why documents were not kept", "check", "outcome", *map(escape, sources), "all", left=(0, 1))
    counts: dict[str, int] = {}
    for checks in drops.values():
        for check, count in checks.items():
            counts[check] = counts.get(check, 0) + count
    for check, total in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(
            escape(check),
            found["curate"]["outcomes"][check],
            *(counted(drops[source].get(check, 0)) for source in sources),
            counted(total),
        )
    return table


def _languages(found: dict[str, Any]) -> Table:
    rows = list(found["languages"].items())
    more = f", the {LANGUAGES_SHOWN} largest of {len(rows)}" if len(rows) > LANGUAGES_SHOWN else ""
    table = empty_table(f"Languages{more}", "source/language", "kept", "duplicates", "left", "size", "tokens", "bytes/token")
    for name, row in rows[:LANGUAGES_SHOWN]:
        size = row.get("bytes", row.get("kept_bytes", 0))
        ratio = f"{row['bytes_per_token']:.2f}" if row.get("tokens") else "–"
        removed = f"{row['duplicates']:,} ({row['duplicate_rate']:.1%})" if "duplicates" in row else "–"
        cells = (counted(row.get("kept")), removed, counted(row.get("documents")))
        table.add_row(escape(shorten(name, 40)), *cells, sized(size), counted(row.get("tokens")), ratio)
    return table


def _licenses(found: dict[str, Any]) -> Table | None:
    if "curate" not in found:
        return None
    licenses = list(found["curate"]["licenses"].items())
    more = f", the {LICENSES_SHOWN} most frequent of {len(licenses)}" if len(licenses) > LICENSES_SHOWN else ""
    table = empty_table(f"Licences of kept documents{more}", "licence", "documents")
    for name, count in licenses[:LICENSES_SHOWN]:
        table.add_row(escape(shorten(name, 80)), counted(count))
    return table


def _training(found: dict[str, Any]) -> Table | None:
    if "train" not in found:
        return None
    totals, figures = found["train"]["totals"], found["train"]["statistics"]
    title = f"Training: {totals['parameters']:,} parameters, {totals['steps']:,} steps, {totals['tokens']:,} tokens"
    if figures["unigram_entropy"] is not None:
        title += f"; unigram entropy of what is held out {figures['unigram_entropy']:.3f} nats/token"
    if since := found["train"].get("forgotten_since"):
        title += f"; {some(since, 'document')} forgotten since"
    table = empty_table(title, "loss, nats/token", "last step", "held out")
    for name in sorted(figures["train_losses"].keys() | figures["eval_losses"].keys()):
        cells = (figures[losses].get(name) for losses in ("train_losses", "eval_losses"))
        table.add_row(escape(LOSSES.get(name, name)), *("–" if cell is None else f"{cell:.3f}" for cell in cells))
    return table


def _places(found: dict[str, Any], plots: Sequence[str]) -> str:
    run = found["run"]
    lines = [f"[bold]Files[/bold]  {escape(run)}"]
    names = {
        "tokenizer": "tokenizer/tokenizer.json",
        "shard": "shard/STRATUM/*.arrow",
        "train": "train/checkpoints/, train/loss.png",
    }
    lines += [f"  {escape(path)}" for stage, path in names.items() if stage in found["stages"]]
    lines += [f"  {escape(plot)}" for plot in plots]
    if lacking := found.get("lacking"):
        lines.append(f"  [dim]{', '.join(lacking)}: not in this run; --input names the run that has them[/dim]")
    return "\n".join(lines)

"""The tokenizer's tables in `stats`: what its tokens are worth on text of each language."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from pipelines.cells import counted, empty_table, escape, shorten, sized

LANGUAGES_SHOWN = 12


def tokenizer_tables(found: dict[str, Any]) -> list[Table]:
    """The tables in the order in which they are printed; none for a vocabulary that was taken over."""
    report = found.get("tokenizer", {}).get("report")
    return [_languages(report), _tokens(report, found["tokenizer"])] if report else []


def _languages(report: dict[str, Any]) -> Table:
    rows = sorted(report["languages"].items(), key=lambda item: (-item[1]["bytes"] / max(1, item[1]["tokens"]), item[0]))
    more = f", the {LANGUAGES_SHOWN} best and worst of {len(rows)}" if len(rows) > 2 * LANGUAGES_SHOWN else ""
    table = empty_table(
        f"Tokenizer, measured on kept text{more}", "source/language", "documents", "size", "bytes/token", "whitespace runs"
    )
    shown = rows[:LANGUAGES_SHOWN] + rows[-LANGUAGES_SHOWN:] if more else rows
    for name, row in shown:
        tokens = max(1, row["tokens"])
        cells = (
            counted(row["documents"]),
            sized(row["bytes"]),
            f"{row['bytes'] / tokens:.2f}",
            f"{row['run_tokens'] / tokens:.1%}",
        )
        table.add_row(escape(shorten(name, 40)), *cells)
    return table


def _tokens(report: dict[str, Any], made: dict[str, Any]) -> Table:
    sample = report["sample"]
    table = empty_table("Tokenizer, on its sample", "what", "figure")
    rows = {
        "documents": counted(sample["documents"]),
        "size": sized(sample["bytes"]),
        "bytes in whitespace runs": f"{sample['blank_bytes'] / max(1, sample['bytes']):.1%}",
        "words left out as too long": counted(sample["long_words"]),
        "ids of the vocabulary": f"{counted(made['totals']['vocab_size'])} of {counted(made['asked'])} asked for",
        "tokens that nothing uses": counted(report["unseen_tokens"]),
        "for instance": shorten("  ".join(report["unseen_multibyte"][:8]), 80),
        "longest tokens": shorten("  ".join(report["longest_tokens"][:8]), 80),
        "tokens by bytes: 1, 2, …": shorten(" ".join(str(count) for count in made["tokens_by_length"]), 80),
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table

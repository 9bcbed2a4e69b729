"""What `audit` says: how often the kept corpus spells special tokens literally. They are encoded as text all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import Console

from contracts.errors import StageError
from pipelines.cells import counted, empty_table, escape
from pipelines.corpus import Corpus, column, find, find_corpus
from pipelines.input_run import STAGES, disagreements, folders_of
from tokenizer.literals import Literals

TOKENS_SHOWN = 30


def audit(run_dir: str, input_dir: str = "") -> dict[str, Any]:
    """Counts by token and by source/language, and the documents that hold any.

    One pass over the kept documents, a part at a time. Stages that the run lacks are those of the run `input_dir`. Raises StageError if
    neither has one, or if they were not made from one another.
    """
    if wrong := disagreements(folders_of(run_dir, input_dir, STAGES)):
        raise StageError(f"{'; '.join(wrong)}. Name the run that {run_dir} was made from with --input.")
    literals = Literals(find(run_dir, input_dir, "tokenizer").manifest.statistics["control_ids"])
    corpus = find_corpus(run_dir, input_dir)
    tokens = np.zeros(len(literals.names), np.int64)
    cells: dict[str, dict[str, int]] = {}
    total = {"documents": 0, "documents_with_literals": 0, "literals": 0}
    for names, documents, numbers, size in _parts(corpus, literals):
        np.add.at(tokens, numbers, 1)
        holding, times = np.unique(documents, return_counts=True)
        for document, count in zip(holding.tolist(), times.tolist(), strict=True):
            cell = cells.setdefault(names[document], {"documents": 0, "literals": 0})
            cell["documents"] += 1
            cell["literals"] += count
        for name, value in zip(total, (size, len(holding), len(numbers)), strict=True):
            total[name] += value
    by_token = {name: count for name, count in zip(literals.names, tokens.tolist(), strict=True) if count}
    return {
        "run": run_dir,
        "totals": total,
        "tokens": dict(sorted(by_token.items(), key=lambda item: (-item[1], item[0]))),
        "languages": dict(sorted(cells.items(), key=lambda item: (-item[1]["literals"], item[0]))),
    }


def _parts(corpus: Corpus, literals: Literals) -> Iterator[tuple[dict[int, str], Any, Any, int]]:
    """For each part: "source/language" of documents with hits, the document and token number of each hit, and how many documents."""
    for part in corpus.parts():
        table = corpus.read(part, ("source", "language", "text"))
        if table.num_rows == 0:
            continue
        documents, numbers = literals.find(column(table, "text"))
        hit = np.unique(documents)
        few = table.select(["source", "language"]).take(hit).to_pylist()
        names = {row: f"{each['source']}/{each['language'] or 'unknown'}" for row, each in zip(hit.tolist(), few, strict=True)}
        yield names, documents, numbers, table.num_rows


def show(found: dict[str, Any]) -> None:
    """Prints the tables."""
    console = Console(highlight=False, emoji=False)
    total = found["totals"]
    console.print(
        f"{total['literals']:,} literal special tokens in {total['documents_with_literals']:,} of {total['documents']:,} kept documents. "
        "They are encoded as the text they are; none becomes a control token."
    )
    if not total["literals"]:
        return
    tokens = empty_table(f"Literal special tokens{_more(found['tokens'])}", "token", "times")
    for name, count in list(found["tokens"].items())[:TOKENS_SHOWN]:
        tokens.add_row(escape(name), counted(count))
    languages = empty_table(f"Where they stand{_more(found['languages'])}", "source/language", "documents", "times")
    for name, row in list(found["languages"].items())[:TOKENS_SHOWN]:
        languages.add_row(escape(name), counted(row["documents"]), counted(row["literals"]))
    for table in (tokens, languages):
        title, table.title = table.title, None  # rich would wrap a title at the width of its table
        console.print(f"\n[bold]{title}[/bold]")
        console.print(table)


def _more(rows: dict[str, Any]) -> str:
    return f", the {TOKENS_SHOWN} most frequent of {len(rows)}" if len(rows) > TOKENS_SHOWN else ""

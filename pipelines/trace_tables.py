"""What `trace` and `forget` print. Text and names of a corpus are hostile: nothing of them reaches a terminal but printable characters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cells import counted, empty_table, escape, printable, shorten
from pipelines.token_text import Piece

ROWS_SHOWN = 20
BRACKETS = str.maketrans({"⟦": r"\u27e6", "⟧": r"\u27e7"})
"""How text that itself holds the brackets of control tokens is shown, so that it cannot pass for one."""
WIDTH = 120
"""Columns where there is no terminal."""

Answer = dict[str, Any]


def show_token(answer: Answer) -> None:
    """Prints what trace_token found."""
    console, table = _console(), empty_table("", "", "", left=(0, 1), header=False)
    segment = answer["segment"]
    target = {True: ", a target of the loss", False: ", no target of the loss", None: ""}[segment.get("is_target")]
    rows = [
        ("token", f"{answer['token']:,} of row {answer['row']:,}, id {answer['token_id']}{target}"),
        ("shard", f"{answer['shard']}, stratum {answer['stratum']}, epoch {answer['epoch']}"),
        (
            "segment",
            f"{segment['objective']}, tokens {segment['start']:,} to {segment['start'] + segment['length'] - 1:,} of the row",
        ),
        *_place_rows(segment),
        *_document_rows(answer),
    ]
    _print(console, table, rows, answer)
    if "asked" in answer:
        console.print()
        asked = Text.assemble("▶", _shown(answer["asked"]), "◀", style="reverse")
        console.print(Text.assemble(_shown(answer["before"]), asked, _shown(answer["after"])), soft_wrap=True)


def show_document(answer: Answer) -> None:
    """Prints what trace_document found."""
    console, table = _console(), empty_table("", "", "", left=(0, 1), header=False)
    _print(console, table, [*_document_rows(answer), *_fate_rows(answer["fate"])], answer)
    if rows := answer["rows"]:
        tokens = sum(row["length"] for row in rows)
        title = f"{len(rows):,} segments, {tokens:,} tokens of rows"
        console.print(f"\n{title}{'' if len(rows) <= ROWS_SHOWN else f'; the first {ROWS_SHOWN}, --json prints all'}")
        names = ("shard", "epoch", "row", "start", "length", "doc_start", "objective")
        table = empty_table("", *names, left=(0, 6))
        for row in rows[:ROWS_SHOWN]:
            table.add_row(*(counted(row[name]) if isinstance(row[name], int) else escape(row[name]) for name in names))
        console.print(table)


def show_receipt(receipt: Answer) -> None:
    """Prints what forget found and did."""
    console, found = _console(), receipt["found"]
    for name, count in list(found["repos"].items())[:ROWS_SHOWN]:
        console.print(f"{escape(shorten(name, 60))}: {count:,} document{'s' if count != 1 else ''}")
    _unknown(console, "ids", "neither in curate's documents nor in shards; kept on the list all the same", found["unknown_doc_ids"])
    _unknown(console, "repositories", "without a document here; kept on the list all the same", found["unknown_repos"])
    if shards := receipt["shards"]:
        rows = sum(map(len, shards["rows"].values()))
        console.print(
            f"{shards['documents']:,} documents lie in {rows:,} rows of {len(shards['rows']):,} shards: {shards['segments']:,} segments, "
            f"{shards['tokens']:,} tokens, which loaders now read as padding."
        )
    else:
        console.print(
            "There are no shards here; those that are made later will leave these documents out. Shards that another run has made of this "
            "one stay as they are until `spanmill forget` names that run, with --input for this one.",
            soft_wrap=True,
        )
    _keepers(console, receipt["keepers"])
    console.print(f"receipt: {escape(receipt['receipt'])}", soft_wrap=True)


def _unknown(console: Console, what: str, words: str, names: Sequence[str]) -> None:
    if names:
        some = ", ".join(shorten(name, 60) for name in names[:5])
        console.print(f"{len(names):,} {what} {words}: {escape(some)}{' …' if names[5:] else ''}", soft_wrap=True)


def _keepers(console: Console, keepers: Sequence[Answer]) -> None:
    left = [each for each in keepers if not each["forgotten"]]
    if keepers and not left:
        console.print(f"{len(keepers):,} of them were duplicates; their keepers are forgotten too.")
    for each in left[:ROWS_SHOWN]:
        same = "the same text" if each["kind"] == "exact" else f"nearly the same text (Jaccard {each['jaccard']:.3f})"
        console.print(f"{each['doc_id']} was removed as a duplicate; {each['keeper_id']} holds {same} and stays.")
    if left:
        console.print(f"{len(left):,} such keepers stay; --with-keepers forgets them too.")


def _place_rows(segment: Answer) -> Iterator[tuple[str, str]]:
    if "doc_start" in segment:
        place = segment["document_token"]
        inside = "a control token that the objective wrote" if place is None else f"token {place:,} of the document"
        yield (
            "place",
            f"{inside}; the segment begins at token {segment['doc_start']:,} of it, and this is its token {segment['offset']:,}",
        )


def _document_rows(answer: Answer) -> Iterator[tuple[str, str]]:
    if "doc_id" not in answer:
        return
    yield "document", answer["doc_id"]
    if document := answer["document"]:
        yield "from", f"source {document['source']}, {document['kind']}, {document['language'] or 'language unknown'}"
        stars = "" if document["stars"] is None else f", {document['stars']:,} stars"
        yield "repository", f"{document['repo'] or '–'}{stars}"
        yield "path", document["path"] or "–"
        yield "licences", f"{', '.join(document['licenses']) or '–'}  ({document['license_evidence'] or 'no evidence'})"
        yield "origin", ", ".join([document["origin"], *document["input_paths"]])
    if removed := answer["duplicates_removed"]:
        yield "duplicates", f"{removed['exact']:,} exact and {removed['near']:,} near ones were removed for it"
    yield "forgotten", _forgotten_words(answer["forgotten"])


def _forgotten_words(forgotten: Answer) -> str:
    if forgotten["hidden"]:
        return "yes: loaders read padding in its place"
    return "on the list, but not hidden: run `spanmill forget` again" if forgotten["listed"] else "no"


def _fate_rows(fate: Answer) -> Iterator[tuple[str, str]]:
    if fate["kept"]:
        return
    if fate["outcome"] == "duplicate":
        where = f" of the reference {fate['reference']}" if fate["reference"] else ""
        yield "removed", f"{fate['check']} duplicate of {fate['keeper_id']}{where} (Jaccard {fate['jaccard']:.3f})"
    else:
        yield fate["outcome"], f"{fate['check']}: {fate['reason']}"


def _print(console: Console, table: Table, rows: Sequence[tuple[str, str]], answer: Answer) -> None:
    for name, words in rows:
        table.add_row(escape(name), escape(shorten(words, 4 * WIDTH)))
    console.print(table)
    for note in answer["notes"]:
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _shown(pieces: Sequence[Piece]) -> Text:
    """Text with its line breaks and tabs, all else that is not printable replaced; control tokens in brackets that text never shows."""
    return Text.assemble(
        *(_harmless(piece["text"]) if "text" in piece else (f"⟦{printable(piece['control'])}⟧", "bold") for piece in pieces)
    )


def _harmless(text: str) -> str:
    spaced = text.replace("\t", "    ").translate(BRACKETS)
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in spaced)


def _console() -> Console:
    return Console(highlight=False, emoji=False, width=None if os.isatty(1) else WIDTH)

"""What `trace` prints. Text and names of a corpus are hostile: nothing of them reaches a terminal but printable characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cells import counted, empty_table, escape, printable, shorten, some
from pipelines.console import WIDTH, new_console, print_whole
from pipelines.storage import join
from pipelines.token_text import Piece

ROWS_SHOWN = 20
NAME = 48
"""Cells of a name in a list of documents."""
BRACKETS = str.maketrans({"⟦": r"\u27e6", "⟧": r"\u27e7"})
"""How text that itself holds the brackets of control tokens is shown, so that it cannot pass for one."""

Answer = dict[str, Any]


def show_token(answer: Answer) -> None:
    """Prints what trace_token found."""
    console, table = new_console(), empty_table("", "", "", left=(0, 1), header=False)
    segment = answer["segment"]
    target = {True: ", a target of the loss", False: ", no target of the loss", None: ""}[segment.get("is_target")]
    rows = [
        ("token", f"{answer['token']:,} of row {answer['row']:,}, id {answer['token_id']}{target}"),
        ("shard", f"{answer['shard']}, stratum {answer['stratum']}, epoch {answer['epoch']}"),
        ("segment", _segment_words(segment)),
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
    console, table = new_console(), empty_table("", "", "", left=(0, 1), header=False)
    _print(console, table, [*_document_rows(answer), *_fate_rows(answer["fate"])], answer)
    if rows := answer["rows"]:
        tokens = sum(row["length"] for row in rows)
        title = f"{some(len(rows), 'segment')}, {some(tokens, 'token')} of rows"
        console.print(f"\n{title}{'' if len(rows) <= ROWS_SHOWN else f'; the first {ROWS_SHOWN}, --json prints all'}")
        names = ("epoch", "row", "start", "length", "doc_start", "objective")
        table = empty_table("", "shard", *names, left=(0, 6))
        for row in rows[:ROWS_SHOWN]:
            cells = (counted(row[name]) if isinstance(row[name], int) else escape(row[name]) for name in names)
            table.add_row(escape(join(answer["shards"], row["shard"])), *cells)
        print_whole(console, table)


def show_names(answer: Answer) -> None:
    """Prints what trace_names found."""
    console, shown, count = new_console(), answer["shown"], answer["documents"]
    what = ": ".join(name for name in (answer["repo"], answer["path"]) if name)
    more = f"; the first {len(shown):,}, --limit shows more" if count > len(shown) else ""
    console.print(f"{escape(shorten(what, 4 * WIDTH))}: {some(count, 'document')}{more}", soft_wrap=True)
    table = empty_table("", "document", "repository", "path", "language", "where it went", left=range(5))
    for each in shown:
        names = (escape(shorten(each[name] or "–", NAME)) for name in ("repo", "path", "language"))
        table.add_row(each["doc_id"], *names, _whereabouts(each, bool(answer["shards"])))
    print_whole(console, table)


def _whereabouts(each: Answer, has_shards: bool) -> str:
    where = f"in {some(each['rows'], 'row')}" if each["rows"] else "in no shard" if has_shards else "there are no shards"
    if each["keeper_id"]:
        where = f"duplicate of {each['keeper_id']}"
    forgotten = _forgotten_words(each["forgotten"], has_shards)
    return f"{where}; forgotten: {forgotten}" if forgotten else where


def _segment_words(segment: Answer) -> str:
    first, length = segment["start"], segment["length"]
    return f"{segment['objective']}, {some(length, 'token')}: {first:,} to {first + length - 1:,} of the row, both included"


def _place_rows(segment: Answer) -> Iterator[tuple[str, str]]:
    if "doc_start" not in segment:
        return
    place, begin, offset = segment["document_token"], segment["doc_start"], segment["offset"]
    inside = f"token {offset:,} of its segment, whose text begins at token {begin:,} of the document"
    if place is None:
        yield "place", f"a control token that the objective wrote; {inside}"
    elif place == begin + offset:
        yield "place", f"token {place:,} of the document; {inside}"
    else:
        yield "place", f"token {place:,} of the document, which the objective has moved: here it is {inside}"


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
    yield "forgotten", _forgotten_words(answer["forgotten"], bool(answer.get("shards"))) or "no"


def _forgotten_words(forgotten: Answer, has_shards: bool) -> str:
    """What became of a document that is forgotten; nothing for one that is not."""
    if forgotten["hidden"]:
        return "loaders read padding in its place"
    if forgotten["left_out"]:
        return f"on the list; {'the shards were made without it' if has_shards else 'shards that are made later leave it out'}"
    return "on the list, but not hidden: run `spanmill forget` again" if forgotten["listed"] else ""


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

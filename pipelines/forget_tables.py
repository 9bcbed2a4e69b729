"""What `forget` prints. Names of a corpus are hostile: nothing of them reaches a terminal but printable characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from pipelines.cells import empty_table, escape, shorten, some
from pipelines.console import WIDTH, new_console, print_whole

SHOWN = 20
"""Names, or keepers, that are told one by one."""

NAME = 60
"""Cells of a name."""

Answer = dict[str, Any]


def show_receipt(receipt: Answer) -> None:
    """Prints what forget found and did."""
    console, found = new_console(), receipt["found"]
    for name, count in [*found["repos"].items(), *found["paths"].items()][:SHOWN]:
        console.print(f"{escape(shorten(name, NAME))}: {some(count, 'document')}", soft_wrap=True)
    here, kept = "without a document here", "kept on the list all the same"
    _unknown(console, ("id", ""), f"neither in curate's documents nor in shards; {kept}", found["unknown_doc_ids"], {})
    _unknown(console, ("repository", "repositories"), f"{here}; {kept}", found["unknown_repos"], found["did_you_mean"])
    _unknown(console, ("path", ""), f"{here}; {kept}", found["unknown_paths"], found["did_you_mean"])
    if receipt["shards"] is None:
        console.print(
            "There are no shards here; those that are made later will leave these documents out. Shards that another run has made of this "
            "one stay as they are until `spanmill forget` names that run, with --input for this one.",
            soft_wrap=True,
        )
    else:
        _places(console, found, receipt["shards"])
    _keepers(console, receipt["keepers"], receipt["asked"]["with_keepers"])
    console.print(f"receipt: {escape(receipt['receipt'])}", soft_wrap=True)


def _unknown(console: Console, noun: tuple[str, str], words: str, names: Sequence[str], meant: Mapping[str, str]) -> None:
    if names:
        shown = ", ".join(_with_guess(name, meant) for name in names[:5])
        console.print(f"{some(len(names), *noun)} {words}: {escape(shown)}{' …' if names[5:] else ''}", soft_wrap=True)


def _with_guess(name: str, meant: Mapping[str, str]) -> str:
    return shorten(name, NAME) + (f" (did you mean {shorten(meant[name], NAME)}?)" if name in meant else "")


def _places(console: Console, found: Answer, shards: Answer) -> None:
    """Where the documents lie. Nothing where none was found at all, as an error follows that says so."""
    if shards["segments"]:
        rows, lie = sum(map(len, shards["rows"].values())), "lies" if shards["documents"] == 1 else "lie"
        console.print(
            f"{some(shards['documents'], 'document')} {lie} in {some(rows, 'row')} of {some(len(shards['rows']), 'shard')}: "
            f"{some(shards['segments'], 'segment')}, {some(shards['tokens'], 'token')}, which loaders now read as padding.",
            soft_wrap=True,
        )
    elif found["doc_ids"] or found["repos"] or found["paths"]:
        console.print("No shard holds any of these documents, so there was nothing to hide.")


def _keepers(console: Console, keepers: Sequence[Answer], asked_for: bool) -> None:
    """What is known of documents that were removed as duplicates: a keeper on the list is forgotten, whoever put it there."""
    left, listed = [each for each in keepers if not each["forgotten"]], sum(each["forgotten"] for each in keepers)
    if listed:
        were = "was a duplicate" if listed == 1 else "were duplicates"
        what, whose, are = ("keeper", "its", "is") if listed == 1 else ("keepers", "their", "are")
        why = "forgotten too" if asked_for else "on the list as well"
        console.print(f"{listed:,} of them {were}; {whose} {what} {are} {why}.")
    for each in left[:SHOWN]:
        same = "the same text" if each["kind"] == "exact" else f"nearly the same text (Jaccard {each['jaccard']:.3f})"
        console.print(f"{each['doc_id']} was removed as a duplicate; {each['keeper_id']} holds {same} and stays.", soft_wrap=True)
    if left:
        stay, them = ("stays", "it") if len(left) == 1 else ("stay", "them")
        console.print(f"{some(len(left), 'such keeper')} {stay}; --with-keepers forgets {them} too.")


def show_list(answer: Answer) -> None:
    """Prints what list_forgotten found."""
    console = new_console()
    for base, words in answer["lists"].items():
        console.print(f"{escape(base)}: {words}", soft_wrap=True)
    for noun, names in (("repository", answer["repos"]), ("path", answer["paths"])):
        for each in names:
            console.print(
                f"{noun} {escape(shorten(each['name'], 4 * WIDTH))}  [dim]{', '.join(each['receipts'])}[/dim]", soft_wrap=True
            )
    if documents := answer["documents"]:
        table = empty_table("", "document", "repository", "path", "receipts", left=range(4))
        for each in documents:
            names = (escape(shorten(each[name] or "–", NAME)) for name in ("repo", "path"))
            table.add_row(each["doc_id"], *names, ", ".join(each["receipts"]) or "–")
        print_whole(console, table)
    if answer["more"]:
        console.print(f"and {answer['more']:,} more documents; all ids are in forget/documents.npy, --limit shows more")
    console.print("receipts lie in forget/receipts, each as ID.json")

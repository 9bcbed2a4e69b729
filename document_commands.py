"""Commands about single documents: `trace` finds them in shards, `forget` takes them out."""

from __future__ import annotations

import json
from typing import Any

import click

from contracts.errors import ConfigError
from run_options import looking

INPUT = click.option("--input", "input_dir", metavar="DIR", default="", help="Another run, for earlier stages that this one lacks.")


@click.command()
@click.argument("place", metavar="SHARD|RUN")
@click.argument("row", type=int, required=False)
@click.argument("token", type=int, required=False)
@click.option("--doc-id", metavar="HEX", default="", help="Show where a document is, instead of where a token is from.")
@click.option(
    "--around", type=click.IntRange(0), default=40, show_default=True, help="Tokens shown before and behind the one asked for."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@INPUT
@looking
def trace(place: str, row: int | None, token: int | None, doc_id: str, around: int, as_json: bool, input_dir: str) -> None:
    """Show where a token is from, or where a document went.

    \b
    spanmill trace RUN/shard/code/00000.arrow ROW TOKEN     counted from 0
    spanmill trace RUN --doc-id HEX
    """  # noqa: D301  click's mark for lines that are not to be wrapped
    from pipelines.trace import trace_document, trace_token
    from pipelines.trace_tables import show_document, show_token

    if doc_id:
        if row is not None:
            raise ConfigError(
                "--doc-id asks for a document: name a run and no row, or a shard, a row and a token without --doc-id."
            )
        answer, show = trace_document(place, _to_id(doc_id), input_dir), show_document
    elif row is None or token is None:
        raise ConfigError("trace needs SHARD ROW TOKEN, for instance RUN/shard/code/00000.arrow 3 120, or RUN --doc-id HEX.")
    else:
        answer, show = trace_token(place, row, token, input_dir, around), show_token
    _print_json(answer) if as_json else show(answer)


@click.command()
@click.argument("directory", metavar="RUN")
@click.option("--doc-ids", metavar="FILE", default="", help="File with one document id (32 hex digits) a line; # begins a comment.")
@click.option("--repos", metavar="FILE", default="", help="File with one repository name a line; letters' case does not matter.")
@click.option("--with-keepers", is_flag=True, help="Also forget documents of which a named one was removed as a duplicate.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@INPUT
@looking
def forget(directory: str, doc_ids: str, repos: str, with_keepers: bool, as_json: bool, input_dir: str) -> None:
    """Hide documents from every loader of a run's shards.

    The shards stay as they are; a mask beside them makes loaders read padding instead. Shards that are made later leave the documents out.
    Each call adds to those before. The text itself stays in curate's files. Where a run's shards were made with --input, so is this, once
    for each run that has such shards. Exits with 1 where nothing of what was asked for is found.
    """
    from pipelines.forget import check_found, read_request
    from pipelines.forget import forget as forget_documents
    from pipelines.storage import absolute, exists, locked
    from pipelines.trace_tables import show_receipt

    request, run_dir = read_request(doc_ids, repos, with_keepers), absolute(directory)
    if not exists(run_dir):
        raise ConfigError(f"There is no folder {directory}. Name the folder of a run.")
    with locked(run_dir):
        receipt = forget_documents(run_dir, request, absolute(input_dir) if input_dir else "")
    _print_json(receipt) if as_json else show_receipt(receipt)
    check_found(receipt)


def _to_id(text: str) -> bytes:
    try:
        doc_id = bytes.fromhex(text)
    except ValueError:
        doc_id = b""
    if len(doc_id) != 16:
        raise ConfigError(f"--doc-id {text[:80]!r} is no document id: 32 hex digits are allowed, as `spanmill trace` prints them.")
    return doc_id


def _print_json(answer: dict[str, Any]) -> None:
    click.echo(json.dumps(answer, indent=2, sort_keys=True))  # ASCII: names from a corpus may hold control characters

"""Commands about single documents: `trace` finds them in shards, `forget` takes them out."""

from __future__ import annotations

import json
from typing import Any

import click

from contracts.errors import ConfigError
from run_options import looking

INPUT = click.option("--input", "input_dir", metavar="DIR", default="", help="Another run, for earlier stages that this one lacks.")
LIMIT = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Documents that a list shows.")


@click.command()
@click.argument("place", metavar="SHARD|RUN")
@click.argument("row", type=int, required=False)
@click.argument("token", type=int, required=False)
@click.option("--doc-id", metavar="HEX", default="", help="Show where a document is, instead of where a token is from.")
@click.option("--repo", metavar="REPO", default="", help="List the documents of a repository; letters' case does not matter.")
@click.option("--path", "name", metavar="PATH", default="", help="List the documents of a path, of all repositories or of --repo.")
@LIMIT
@click.option(
    "--around", type=click.IntRange(0), default=40, show_default=True, help="Tokens shown before and behind the one asked for."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@INPUT
@looking
def trace(
    place: str,
    row: int | None,
    token: int | None,
    doc_id: str,
    repo: str,
    name: str,
    limit: int,
    around: int,
    as_json: bool,
    input_dir: str,
) -> None:
    """Show where a token is from, or where documents went.

    \b
    spanmill trace RUN/shard/code/00000.arrow ROW TOKEN     counted from 0
    spanmill trace RUN --doc-id HEX
    spanmill trace RUN --repo OWNER/NAME
    spanmill trace RUN --path src/main.py
    """  # noqa: D301  click's mark for lines that are not to be wrapped
    from pipelines.trace import trace_document, trace_token
    from pipelines.trace_names import trace_names
    from pipelines.trace_tables import show_document, show_names, show_token

    named = [option for option, value in (("--doc-id", doc_id), ("--repo", repo), ("--path", name)) if value]
    if named and row is not None:
        raise ConfigError(
            f"{named[0]} asks for documents: name a run and no row, or a shard, a row and a token without {named[0]}."
        )
    if doc_id and named[1:]:
        raise ConfigError(f"--doc-id asks for one document, {named[1]} for all that have a name: give one of the two.")
    if doc_id:
        answer, show = trace_document(place, _to_id(doc_id), input_dir), show_document
    elif named:
        answer, show = trace_names(place, repo, name, input_dir, limit), show_names
    elif row is None or token is None:
        raise ConfigError(
            "trace needs SHARD ROW TOKEN, for instance RUN/shard/code/00000.arrow 3 120, or RUN with --doc-id HEX, --repo REPO or --path "
            "PATH."
        )
    else:
        answer, show = trace_token(place, row, token, input_dir, around), show_token
    _print_json(answer) if as_json else show(answer)


@click.command()
@click.argument("directory", metavar="RUN")
@click.option("--doc-ids", metavar="FILE", default="", help="File with one document id (32 hex digits) a line; # begins a comment.")
@click.option("--repos", metavar="FILE", default="", help="File with one repository name a line; letters' case does not matter.")
@click.option("--paths", metavar="FILE", default="", help="File with one path a line, of any repository; or repository, tab, path.")
@click.option("--list", "as_list", is_flag=True, help="Show what is on the list, and forget nothing.")
@LIMIT
@click.option("--with-keepers", is_flag=True, help="Also forget documents of which a named one was removed as a duplicate.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt, or the list, as JSON.")
@INPUT
@looking
def forget(
    directory: str,
    doc_ids: str,
    repos: str,
    paths: str,
    as_list: bool,
    limit: int,
    with_keepers: bool,
    as_json: bool,
    input_dir: str,
) -> None:
    """Hide documents from every loader of a run's shards.

    The shards stay as they are; a mask beside them makes loaders read padding instead. Shards that are made later leave the documents out.
    Each call adds to those before. The text itself stays in curate's files. Where a run's shards were made with --input, so is this, once
    for each run that has such shards. Exits with 1 where nothing of what was asked for is found.
    """
    from pipelines.forget import check_found
    from pipelines.forget import forget as forget_documents
    from pipelines.forget_request import read_request
    from pipelines.forget_tables import show_list, show_receipt
    from pipelines.forgotten_list import list_forgotten
    from pipelines.storage import absolute, exists, locked

    run_dir, other = absolute(directory), absolute(input_dir)
    if as_list and (doc_ids or repos or paths or with_keepers):
        raise ConfigError("--list shows what is on the list, and forgets nothing: give it without names, or names without it.")
    request = None if as_list else read_request(doc_ids, repos, with_keepers, paths)
    if not exists(run_dir):
        raise ConfigError(f"There is no folder {directory}. Name the folder of a run.")
    if request is None:
        answer = list_forgotten(run_dir, other, limit)
        _print_json(answer) if as_json else show_list(answer)
        return
    with locked(run_dir):
        receipt = forget_documents(run_dir, request, other)
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

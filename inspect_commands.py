"""Commands that look at a finished run: what it holds, whether it is sound, and in which other formats it can be had."""

from __future__ import annotations

import json

import click

from contracts.errors import SpanmillError
from run_options import looking


@click.command()
@click.argument("directory")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@looking
def stats(directory: str, as_json: bool) -> None:
    """Show what a run holds, and draw plots.

    Documents, drop reasons, licences, duplicates, tokens, objectives, padding, losses.
    """
    if as_json:
        from pipelines.stats import collect

        click.echo(
            json.dumps(collect(directory), indent=2, sort_keys=True)
        )  # ASCII: names from a corpus may hold control characters
    else:
        report(directory, quiet=False)


def report(directory: str, *, quiet: bool) -> None:
    """Draws a run's plots, and prints its tables unless `quiet`."""
    from pipelines.plots import draw
    from pipelines.stats import collect
    from pipelines.tables import show

    found = collect(directory)
    plots = draw(found, directory)
    if not quiet:
        show(found, plots)


@click.command()
@click.argument("directory")
@click.option("--quiet", is_flag=True, help="Print problems only.")
@looking
def verify(directory: str, quiet: bool) -> None:
    """Prove a run from its files.

    Recomputes checksums, invariants and totals.
    """
    from pipelines.progress import Reporter
    from pipelines.verify import verify as verify_run

    problems = verify_run(directory, Reporter(quiet))
    for problem in problems:
        click.echo(problem)
    if problems:
        raise SpanmillError(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found in {directory}.")
    if not quiet:
        click.echo(f"{directory}: everything is as its manifests say.")


@click.command()
@click.argument("directory")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@looking
def audit(directory: str, as_json: bool) -> None:
    """Count special tokens that the kept text spells literally.

    They are encoded as text and never become control tokens; this says how many there are, and where.
    """
    from pipelines.audit import audit as audit_run
    from pipelines.audit import show

    found = audit_run(directory)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found)


@click.command()
@click.argument("directory")
@click.option("--to", metavar="FORMAT", required=True, help="megatron, nanoset, mds or hf.")
@click.option("--unit", default="row", show_default=True, help="What becomes a sequence: row, or for megatron also segment.")
@click.option("--output", metavar="DIR", required=True, help="An empty or new folder or URL.")
@looking
def export(directory: str, to: str, unit: str, output: str) -> None:
    """Write a run's shards for another trainer.

    It says what the format has no place for.
    """
    from pipelines.export import export as export_run

    click.echo("\n".join(export_run(directory, output, to, unit).lines()))

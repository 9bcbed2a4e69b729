"""Commands that look at a finished run: what it holds, whether it is sound, in which other formats it can be had, what it learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contracts.errors import SpanmillError
from document_commands import INPUT
from run_options import looking

if TYPE_CHECKING:
    from trainer.sentinels import Sentinels


@click.command()
@click.argument("directory")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@INPUT
@looking
def stats(directory: str, as_json: bool, input_dir: str) -> None:
    """Show what a run holds, and draw plots.

    Documents, drop reasons, licences, duplicates, tokens, objectives, padding, losses.
    """
    if as_json:
        from pipelines.stats import collect

        click.echo(
            json.dumps(collect(directory, input_dir), indent=2, sort_keys=True)
        )  # ASCII: names from a corpus may hold control characters
    else:
        report(directory, quiet=False, input_dir=input_dir)


def report(directory: str, *, quiet: bool, input_dir: str = "") -> None:
    """Draws a run's plots, and prints its tables unless `quiet`."""
    from pipelines.plots import draw
    from pipelines.stats import collect
    from pipelines.tables import show

    found = collect(directory, input_dir)
    plots = draw(found, directory)
    if not quiet:
        show(found, plots)


@click.command()
@click.argument("directory")
@click.option("--quiet", is_flag=True, help="Print problems only.")
@INPUT
@looking
def verify(directory: str, quiet: bool, input_dir: str) -> None:
    """Prove a run from its files.

    Recomputes checksums, invariants and totals. What cannot be proved from these files alone is told as a note, and is no problem.
    """
    from pipelines.cells import printable, some
    from pipelines.progress import Reporter
    from pipelines.verify import prove

    proof = prove(directory, Reporter(quiet), input_dir)
    for problem in proof.problems:
        click.echo(f"problem: {printable(problem)}")
    for note in () if quiet else proof.notes:
        click.echo(f"note: {printable(note)}")
    if proof.problems:
        raise SpanmillError(f"{some(len(proof.problems), 'problem')} found in {directory}.")
    if not quiet:
        click.echo(f"{directory}: everything is as its manifests say{', as far as its own files tell' if proof.notes else ''}.")


@click.command()
@click.argument("directory")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@INPUT
@looking
def audit(directory: str, as_json: bool, input_dir: str) -> None:
    """Count special tokens that the kept text spells literally.

    They are encoded as text and never become control tokens; this says how many there are, and where.
    """
    from pipelines.audit import audit as audit_run
    from pipelines.audit import show

    found = audit_run(directory, input_dir)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found)


@click.command()
@click.argument("directory")
@click.option("--to", metavar="FORMAT", required=True, help="megatron, nanoset, mds or hf.")
@click.option("--unit", default="row", show_default=True, help="What becomes a sequence: row, or for megatron also segment.")
@click.option("--output", metavar="DIR", required=True, help="An empty or new folder or URL.")
@INPUT
@looking
def export(directory: str, to: str, unit: str, output: str, input_dir: str) -> None:
    """Write a run's shards for another trainer.

    It says what the format has no place for.
    """
    from pipelines.export import export as export_run

    click.echo("\n".join(export_run(directory, output, to, unit, input_dir).lines()))


@click.command()
@click.argument("directory")
@click.option("--prefix", type=click.Path(exists=True, dir_okay=False), required=True, help="File with the text before the hole.")
@click.option(
    "--suffix",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the text after it; without one, the text is continued.",
)
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True)
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True, help="0 takes the likeliest token.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--sentinels",
    type=click.Choice(["codegen2", "starcoder"]),
    help="What marks the hole: <mask_1> (CodeGen2's) or <fim_prefix> (StarCoder's). By default what the model was trained with.",
)
@click.option(
    "--bare/--in-place",
    default=None,
    help="Print the model's text alone, or as «text» between the lines around it.  [default: in place on a terminal, else bare]",
)
def sample(
    directory: str,
    prefix: str,
    suffix: str | None,
    max_tokens: int,
    temperature: float,
    seed: int,
    sentinels: Sentinels | None,
    bare: bool | None,
) -> None:
    """Let the model fill in or go on.

    It fills in what lies between two files, or continues one. The text goes to stdout; to stderr go the sentinels that were taken, and
    whether the text ends where the model ended it.
    """
    from trainer.sample import Sampler, in_place

    sampler, before, after = Sampler.load(Path(directory)), _text(prefix), _text(suffix) if suffix else ""
    if suffix:
        answer = sampler.infill(before, after, max_tokens, temperature, seed, sentinels)
    else:
        answer = sampler.complete(before, max_tokens, temperature, seed)
    for note in answer.notes:
        click.echo(note, err=True)
    alone = not sys.stdout.isatty() if bare is None else bare
    click.echo(answer.text if alone else in_place(before, answer.text, after))


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SpanmillError(f"{path} is not UTF-8 (byte {error.start}): convert it first.") from None

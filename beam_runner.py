"""The command line of Spanmill: `spanmill COMMAND`, or `python beam_runner.py COMMAND` from a checkout.

It reads options, calls one function of `pipelines` or `trainer`, and prints what came of it. Both are imported only when a command
runs, so that `--help` costs nothing.

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contracts.errors import ConfigError, NotAwaited, SpanmillError
from document_commands import forget, trace
from inspect_commands import audit, export, report, sample, stats, verify
from run_options import ENGINE, INPUT, BeamCommand, Decorator, Options, check_beam_options, making

if TYPE_CHECKING:
    from contracts.manifest import Manifest
    from pipelines.engine import Engine
    from pipelines.recipe import Recipe

STAGES = ("survey", "curate", "signatures", "dedup", "tokenizer", "shard", "train")
"""In the order they run."""

MADE_BY_THE_NEXT = ("survey", "signatures")
"""Stages that the one after them makes too."""


class Commands(click.Group):
    """Lists commands in the order of the line, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In order of definition."""
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="spanmill")
def cli() -> None:
    """Source code and prose in; packed, span-corrupted, traceable token shards and a trained model out.

    A run is a folder (--output). `run` makes all stages in it and goes on where an interrupted run stopped; each stage can also be
    made alone. Options that Spanmill does not know are Beam's: --runner=SparkRunner, --direct_num_workers=2, …
    """


def _stage_command(name: str, summary: str, *groups: Sequence[Decorator]) -> None:
    @cli.command(name, cls=BeamCommand, help=summary)
    @making(*groups, ENGINE)
    @click.pass_context
    def command(ctx: click.Context, **values: Any) -> None:
        options = _options(ctx, values)
        recipe = options.recipe()
        with options.locked():
            _make(name, recipe, options)


def _make(name: str, recipe: Recipe, options: Options) -> None:
    """One stage, and a line on what it made."""
    from pipelines.summary import one_line

    engine = options.engine(recipe)
    if name == "survey":
        from pipelines.survey import survey

        survey(recipe, options.output, engine)
        return
    manifest = _stage(name)(recipe, options, engine)
    engine.reporter.say(f"  {one_line(manifest)}")
    if name == "curate":
        from pipelines.dropped import warn

        warn(manifest, options.output, engine.reporter)


def _stage(name: str) -> Callable[[Recipe, Options, Engine], Manifest]:
    """What makes a stage. Each import takes its part of a second, so only what is asked for is imported."""
    if name == "curate":
        from pipelines.curate import curate

        return lambda recipe, options, engine: curate(recipe, options.output, engine)
    if name == "signatures":
        from pipelines.signatures import signatures as make
    elif name == "dedup":
        from pipelines.dedup import dedup as make
    elif name == "tokenizer":
        from pipelines.tokenizer import tokenizer as make
    else:
        from pipelines.shard import shard as make
    return lambda recipe, options, engine: make(recipe, options.output, options.input, engine)


@cli.command(cls=BeamCommand)
@making(INPUT, ENGINE)
@click.option("--until", type=click.Choice(STAGES), default="train", show_default=True, help="Last stage to make.")
@click.pass_context
def run(ctx: click.Context, until: str, **values: Any) -> None:
    """Make all stages, from sources to a model.

    They are survey, curate, signatures, dedup, tokenizer, shard and train. An interrupted run goes on where it stopped.
    """
    options = _options(ctx, values)
    recipe = options.recipe()
    if options.no_wait:
        raise ConfigError(
            f"run needs each stage before it can make the next: use --no-wait with {', '.join(STAGES[:-1])} one by one."
        )
    if until == "train":
        options.need_disk()
    with options.locked():
        for name in STAGES[: STAGES.index(until) + 1]:
            if name == "train":
                _train(recipe, options)
            elif name == until or name not in MADE_BY_THE_NEXT:
                _make(name, recipe, options)
            if name == "curate":
                from pipelines.dropped import check_something_is_left

                check_something_is_left(options.output)
        if until != "survey":  # which leaves nothing to report on
            report(options.output, quiet=options.quiet)


_stage_command("survey", "List and digest the sources' files.\n\ncurate does it too; alone it is for jobs that are not waited for.")
_stage_command(
    "curate", "Read sources and filter documents.\n\nEvery document that is not kept has a row in decisions/ with its reason."
)
_stage_command(
    "signatures",
    "Make the MinHash signatures.\n\ndedup does it too; alone it is for jobs that are not waited for, and for references.",
    INPUT,
)
_stage_command("dedup", "Find exact and near-duplicates.\n\nEach removal names its keeper and their measured similarity.", INPUT)
_stage_command("tokenizer", "Train a byte-level BPE.\n\nOr take over an existing one: --set tokenizer.path=tokenizer.json", INPUT)
_stage_command("shard", "Encode, corrupt and pack into shards.", INPUT)


@cli.command()
@making(INPUT)
@click.pass_context
def train(ctx: click.Context, **values: Any) -> None:
    """Train a small model on the shards.

    Goes on from its newest checkpoint. With --input, shards made elsewhere are fetched first.
    """
    options = _options(ctx, values)
    recipe = options.recipe()
    options.need_disk()
    with options.locked():
        _train(recipe, options)


def _train(recipe: Recipe, options: Options) -> None:
    from trainer.progress import TrainProgress
    from trainer.train import train as train_model

    settings = options.train_settings(recipe)
    reporter = options.engine(recipe).reporter
    if options.input:
        from pipelines.fetch import fetch

        fetch(("tokenizer", "shard"), options.input, options.output, reporter)
    with TrainProgress(settings.steps, reporter.say) as progress:
        summary = train_model(Path(options.output), settings, progress, reporter.say)
    reporter.say(f"  {summary.words()}")


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=50000, show_default=True, help="Where executors ask for workers.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; executors of this node only, by default."
)
def workers(port: int, host: str) -> None:
    """Serve Python workers to a Spark or Flink cluster.

    One such pool on every node; jobs name it with --environment_type=EXTERNAL --environment_config=localhost:PORT.
    """
    from pipelines.worker_pool import serve

    serve(host, port, click.echo)


@cli.command()
@click.argument("section", default="")
@click.option("--markdown", is_flag=True, help="Write docs/settings.md's text.")
def settings(section: str, markdown: bool) -> None:
    """Explain the settings of recipes.

    \b
    spanmill settings                 all of them
    spanmill settings shard.fim       one section, as a recipe names it
    spanmill settings source:tree     a [[source]] of type "tree"
    """  # noqa: D301  click's mark for lines that are not to be wrapped
    from pipelines.settings_reference import as_markdown, as_text, find, sections
    from trainer.config import TrainSettings

    found = sections(TrainSettings)
    chosen = find(found, section) if section else found
    if markdown:
        click.echo(as_markdown(chosen), nl=False)
    else:
        click.echo_via_pager(as_text(chosen))


for each in (stats, verify, audit, trace, forget, export, sample):
    cli.add_command(each)


def _options(ctx: click.Context, values: dict[str, Any]) -> Options:
    beam = tuple(ctx.args)
    if beam:
        check_beam_options(ctx, beam)
    return Options(beam=beam, **values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in arguments
    # Before Beam is imported: it logs while it is, and would otherwise install a handler that writes to the screen.
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, handlers=None if verbose else [logging.NullHandler()])
    try:
        sys.exit(cli.main(arguments, prog_name="spanmill", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except NotAwaited as error:
        click.echo(str(error))
        sys.exit(error.exit_code)
    except SpanmillError as error:
        if verbose:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped. What is done is kept: the same command goes on from there.", err=True)
        sys.exit(130)
    except Exception as error:
        if verbose:
            raise
        click.echo(f"Error: {type(error).__name__}: {error}. This is a bug in Spanmill; --verbose shows where.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

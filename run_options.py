"""Options that all commands that make something share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.engine import Engine
    from pipelines.recipe import Recipe
    from trainer.config import TrainSettings


@dataclass(frozen=True, kw_only=True)
class Options:
    """One command's options. Those that a command does not have keep their defaults."""

    config: str
    output: str
    settings: tuple[str, ...]
    verbose: bool
    quiet: bool
    input: str = ""
    worker_timeout: float | None = None
    no_wait: bool = False
    beam: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Makes places absolute: workers may run in another folder."""
        from pipelines.storage import absolute

        for name in ("output", "input"):
            object.__setattr__(self, name, absolute(getattr(self, name)))

    def recipe(self) -> Recipe:
        """The recipe, the trainer's section included in the check. Readies this process for the storage that it names."""
        from pipelines.recipe import load
        from pipelines.storage import options as storage_options

        recipe = load(self.config, list(self.settings))
        self.train_settings(recipe)
        storage_options.apply(recipe.storage.options())
        return recipe

    def train_settings(self, recipe: Recipe) -> TrainSettings:
        """The recipe's section `train`, checked by the room that owns it."""
        from contracts.settings import build
        from trainer.config import TrainSettings

        return build(TrainSettings, recipe.train, f"{self.config or 'settings'}, section [train]")

    def locked(self) -> AbstractContextManager[None]:
        """Keeps a second run out of the output folder."""
        from pipelines.storage import locked

        return locked(self.output)

    def need_disk(self) -> None:
        """Raises ConfigError unless the output is on this machine, as training needs it."""
        from pipelines.fetch import need_disk

        need_disk(self.output, "Training")

    def engine(self, recipe: Recipe) -> Engine:
        """Where the job runs."""
        from pipelines.engine import Engine
        from pipelines.progress import Reporter

        return Engine(
            self.beam, Reporter(self.quiet), self.verbose, recipe.storage.options(), self.worker_timeout, not self.no_wait
        )


class BeamCommand(click.Command):
    """A command whose unknown options are Beam's. One that Beam does not know either is told before one that is missing."""

    def __init__(self, *args: Any, **values: Any) -> None:
        more = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(*args, **{**values, "context_settings": {**(values.get("context_settings") or {}), **more}})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            _, unknown, _ = self.make_parser(ctx).parse_args(given)
            if unknown:
                check_beam_options(ctx, unknown)
            raise


def check_beam_options(ctx: click.Context, given: Sequence[str]) -> None:
    """Raises ConfigError for options that neither the command nor Beam knows."""
    from pipelines.beam_options import check

    check(given, [option for each in ctx.command.params for option in each.opts])


Decorator = Callable[[Callable[..., None]], Callable[..., None]]

INPUT = (
    click.option("--input", metavar="DIR", default="", help="Another run to take earlier stages from, if --output lacks them."),
)
"""Options of commands that need an earlier stage."""

ENGINE = (
    click.option("--no-wait", is_flag=True, help="On another engine: submit the job and return. The job itself commits its stage."),
    click.option(
        "--worker-timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=1),
        help="On another engine: give up if no worker begins within this time.  [default: 120; Dataflow 1200]",
    ),
)
"""Options of commands that run Beam jobs."""

ALWAYS = (
    click.option(
        "--config",
        metavar="FILE.toml",
        default="",
        help="The recipe. Without one: a small one on this machine's Python packages.",
    ),
    click.option("--output", metavar="DIR", required=True, help="The run's folder or URL."),
    click.option(
        "--set", "settings", metavar="SECTION.KEY=VALUE", multiple=True, help="Change one setting of the recipe. Repeatable."
    ),
    click.option("--verbose", is_flag=True, help="Show Beam's own messages, and tracebacks of errors."),
    click.option("--quiet", is_flag=True, help="Print warnings and errors only."),
)
"""Options of all commands that make something."""


def making(*groups: Sequence[Decorator]) -> Decorator:
    """Adds ALWAYS and the groups to a command."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed([*ALWAYS, *(each for group in groups for each in group)]):
            command = option(command)
        return command

    return decorated


def looking(command: Callable[..., None]) -> Callable[..., None]:
    """Adds to a command that only reads a run: where the run's store is."""

    @click.option(
        "--config", metavar="FILE.toml", default="", help="A recipe whose section [storage] says where the run's store is."
    )
    @wraps(command)
    def with_storage(config: str, **values: Any) -> None:
        if config:
            from pipelines.recipe import load
            from pipelines.storage import options as storage_options

            storage_options.apply(load(config, []).storage.options())
        command(**values)

    return with_storage

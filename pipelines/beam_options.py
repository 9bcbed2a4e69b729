"""Beam's own options on our command line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from contracts.errors import ConfigError


def check(given: Sequence[str], ours: Sequence[str]) -> None:
    """Raises ConfigError for options that Beam does not know either, naming the one meant: Beam itself would only log a warning."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        add = getattr(options, "_add_argparse_args", None)
        if add is not None:
            add(parser)
    try:
        _, unknown = parser.parse_known_args(list(given))
    except (argparse.ArgumentError, SystemExit) as error:
        raise ConfigError(f"{' '.join(given)}: {error} (an option of Apache Beam)") from None
    for option in unknown:
        name = option.split("=")[0]
        known = [*ours, *(each for action in parser._actions for each in action.option_strings)]
        close = difflib.get_close_matches(name, ours, n=1, cutoff=0.6) or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        guess = f" Did you mean {close[0]}?" if close else ""
        what = "option" if name.startswith("-") else "argument"
        raise ConfigError(
            f"unknown {what} {name!r}.{guess} Ours: {', '.join(o for o in ours if o.startswith('--'))}; the rest are Beam's."
        )

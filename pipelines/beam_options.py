"""Beam's own options on our command line: which are known, what is added to them, and what cannot work."""

from __future__ import annotations

import argparse
import difflib
import os
import socket
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from contracts.errors import ConfigError, EngineError
from pipelines import storage

SPAWN_SECONDS = 5.0
"""Work below which starting worker processes costs more than it saves (1.5 to 2 s of start-up each, 140 MB of memory)."""

CONNECT_SECONDS = 5.0
"""Within which a server of the engine must take a connection."""


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


def is_local(given: Sequence[str]) -> bool:
    """Whether Beam's local engine is asked for, by name or by saying nothing.

    DirectRunner is taken for FnApiRunner: Beam's own one tries to fetch another engine first, and runs a job again if that fails.
    """
    return _value(given, "--runner").rpartition(".")[2].lower() in ("", "fnapirunner", "directrunner", "direct")


def is_dataflow(given: Sequence[str]) -> bool:
    """Whether Dataflow is asked for."""
    return "dataflow" in _value(given, "--runner").lower()


def is_dry_run(given: Sequence[str]) -> bool:
    """Whether Dataflow's job is only to be built."""
    return is_dataflow(given) and _value(given, "--dry_run").lower() == "true"


def workers(arguments: Sequence[str]) -> int:
    """How many workers Beam's local engine starts for these options."""
    if _value(arguments, "--direct_running_mode") in ("", "in_memory"):
        return 1
    return int(_value(arguments, "--direct_num_workers") or 1) or os.cpu_count() or 1


def arguments(given: Sequence[str], seconds: float, memory: int) -> list[str]:
    """The options with what the engine needs besides.

    `seconds`: one core's time for the job; `memory`: bytes that a worker needs.
    """
    if is_local(given):
        return [*_without(given, "--runner"), "--runner=FnApiRunner", *_local_defaults(given, seconds)]
    wanted = list(given)
    if is_dataflow(given) and not _value(given, "--resource_hint"):
        wanted.append(f"--resource_hint=min_ram={memory}B")
    return wanted


def preflight(given: Sequence[str], run_dir: str) -> None:
    """Raises EngineError or ConfigError for a set-up of which can be told from here that it cannot work."""
    endpoint = _value(given, "--job_endpoint")
    if endpoint and endpoint != "embed" and not _answers(endpoint):
        raise EngineError(
            f"No job server answers at --job_endpoint={endpoint} (tried for {CONNECT_SECONDS:.0f} s): start one there, or leave the "
            "option out and let Beam fetch and start its own."
        )
    if is_dataflow(given):
        _need(given, ("--sdk_container_image", "--extra_package", "--setup_file"), "Dataflow's machines")
        if storage.is_local(run_dir):
            raise ConfigError(f"--output {run_dir} lies on this machine, which Dataflow's do not see: it must be a gs:// URL.")
        return
    environment = _value(given, "--environment_type").upper()
    pool = _value(given, "--environment_config")
    if environment == "EXTERNAL" and _is_this_machine(pool) and _is_this_machine(endpoint or "localhost") and not _answers(pool):
        raise EngineError(
            f"No worker pool answers at --environment_config={pool} (tried for {CONNECT_SECONDS:.0f} s): start one on every node with "
            f"`spanmill workers --port={pool.rpartition(':')[2]}`, from a Python that has the same version of Spanmill."
        )
    masters = [_value(given, option) for option in ("--job_endpoint", "--spark_master_url", "--flink_master")]
    on_a_cluster = any(master and not master.startswith(("embed", "local", "[")) for master in masters)
    if environment in ("", "DOCKER") and not pool and on_a_cluster:
        _need(given, ("--sdk_container_image", "--extra_package", "--setup_file"), "Beam's own containers")


def _need(given: Sequence[str], options: Sequence[str], who: str) -> None:
    if not any(_value(given, option) for option in options):
        raise ConfigError(
            f"{who} do not have Spanmill: name a container image that does with --sdk_container_image=…, or pass the wheel with "
            "--extra_package=dist/spanmill-….whl (docs/running.md shows both). Worker pools are chosen with --environment_type=EXTERNAL."
        )


def _local_defaults(given: Sequence[str], seconds: float) -> list[str]:
    added: list[str] = []
    mode = _value(given, "--direct_running_mode")
    if not mode:
        mode = "multi_processing" if seconds > SPAWN_SECONDS and (os.cpu_count() or 1) > 1 else "in_memory"
        added.append(f"--direct_running_mode={mode}")
    if mode == "in_memory":
        return [*added, "--direct_num_workers=1"]
    if not _value(given, "--direct_num_workers"):
        added.append("--direct_num_workers=0")  # all cores
    return added


def _value(given: Sequence[str], option: str) -> str:
    """An option's value, written --option=value or --option value; the last one counts. Empty if it is not given."""
    found = ""
    for index, each in enumerate(given):
        if each.startswith(f"{option}="):
            found = each.partition("=")[2]
        elif each == option:
            found = given[index + 1] if index + 1 < len(given) and not given[index + 1].startswith("--") else "true"
    return found


def _without(given: Sequence[str], option: str) -> list[str]:
    kept: list[str] = []
    skip = False
    for each in given:
        if skip and not each.startswith("--"):
            skip = False
            continue
        skip = each == option
        if not skip and not each.startswith(f"{option}="):
            kept.append(each)
    return kept


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "localhost", int(port) if port.isdigit() else 0


def _is_this_machine(address: str) -> bool:
    return _host_and_port(address)[0] in ("localhost", "127.0.0.1", "::1")


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_host_and_port(address), CONNECT_SECONDS):
            return True
    except OSError:
        return False

"""What the Flex Template's launcher runs: one stage of the line, submitted and not waited for.

The launcher hands over the template's parameters and Dataflow's own options as --name=value. The job commits its stage by itself.
"""

from __future__ import annotations

import sys

from beam_runner import main

STAGES = ("survey", "curate", "signatures", "dedup", "tokenizer", "shard")


def command(arguments: list[str]) -> list[str]:
    """The command line of Spanmill for a launcher's arguments."""
    given = [each.removeprefix("--stage=") for each in arguments if each.startswith("--stage=")]
    if len(given) != 1 or given[0] not in STAGES:
        sys.exit(f"The parameter 'stage' must be one of {', '.join(STAGES)}; it is {', '.join(given) or 'missing'}.")
    return [given[0], *(each for each in arguments if not each.startswith("--stage=")), "--no-wait"]


if __name__ == "__main__":
    main(command(sys.argv[1:]))

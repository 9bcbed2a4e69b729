"""What `stats` warns of at its end: runs that are sound, and surely not what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.cells import sized, some


def warnings(found: dict[str, Any]) -> Iterator[str]:
    """One sentence each; none for most runs."""
    yield from _small_vocabulary(found.get("tokenizer", {}))
    yield from _no_targets(found.get("shard", {}))


def _small_vocabulary(made: dict[str, Any]) -> Iterator[str]:
    """Training ends early where no two tokens of the sample follow one another any more."""
    report, asked = made.get("report"), made.get("asked")
    size = made.get("totals", {}).get("vocab_size", 0)
    if report and asked and size < asked:
        sample, unused = report["sample"], some(report["unseen_tokens"], "token")
        yield (
            f"The vocabulary has {size:,} ids, though {asked:,} were asked for: in its sample of {some(sample['documents'], 'document')} "
            f"({sized(sample['bytes'])}) there was nothing left to merge, and {unused} of the vocabulary occur nowhere in it. Give it more "
            "text (tokenizer.sample_bytes, or a larger corpus), or ask for fewer ids (tokenizer.vocab_size)."
        )


def _no_targets(shard: dict[str, Any]) -> Iterator[str]:
    for source, row in shard.get("by_source", {}).items():
        counts = row["corruption"].get("chat")
        if counts and counts["examples"] and counts["examples"] == counts["examples_without_targets"]:
            yield (
                f"Source {source!r}: none of its {some(counts['examples'], 'chat example')} has a target, so nothing is learned from them. "
                "Only conversations, whose roles are marked, have answers: use another objective for this source (shard.objectives_of)."
            )

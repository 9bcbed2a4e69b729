"""What a model was trained on: which shards, and which of their documents were forgotten at the time.

    steps  1 … 100 │ 101 … 200          `spanmill forget` between two runs of `spanmill train`
    mask   none    │ 3 documents        two stretches: the model may have learned from those 3

A mask changes what is read from then on, not what was learned. So each stretch of steps remembers the mask it was run under.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from contracts.errors import ShardError
from contracts.manifest import Manifest
from contracts.schemas import OBJECTIVES
from sharding.forgotten import Mask
from sharding.loader import Loader
from trainer.checkpoint import Checkpoint

SHOWN = 3
"""Differences that an error names."""


class Stretch(TypedDict):
    """Steps that were run under one mask, up to the next stretch."""

    first_step: int
    """Counted from 1."""
    forgotten: str
    """Digest of the mask; "" for none."""
    documents: int
    """How many it hid."""


def stretch(first_step: int, mask: Mask | None) -> Stretch:
    """A stretch that begins under a mask."""
    return Stretch(first_step=first_step, forgotten=mask.digest if mask else "", documents=mask.totals["documents"] if mask else 0)


def extended(stretches: Sequence[Stretch], first_step: int, mask: Mask | None) -> list[Stretch]:
    """The stretches of a training that goes on from `first_step` under a mask."""
    kept, now = [each for each in stretches if each["first_step"] < first_step], stretch(first_step, mask)
    return kept if kept and kept[-1]["forgotten"] == now["forgotten"] else [*kept, now]


def forgotten_since(stretches: Sequence[Stretch], steps: int, mask: Mask | None, folder: Path) -> str:
    """Words on documents that are hidden now and were not in some of `steps` steps, and what to do; "" if there are none."""
    others = [each for each in stretches if mask and each["forgotten"] != mask.digest]
    if not mask or not others:
        return ""
    ends = [*(each["first_step"] - 1 for each in stretches[1:]), steps]
    last = max(end for each, end in zip(stretches, ends, strict=True) if each in others)
    count = mask.totals["documents"] - min(each["documents"] for each in others)
    which = f"{count:,} document{'s' if count > 1 else ''}" if count > 0 else "documents"
    when = "all its steps were" if last == steps else f"its steps up to {last:,} were"
    return (
        f"  {which} forgotten since: {when} taken before, so this model may have learned from what is hidden now. For one that has "
        f"not, remove {folder} and train again, or train in a new output folder (--input {folder.parent})."
    )


def trained_objectives(loader: Loader) -> list[str]:
    """Objectives of which the shards of the loader's sources hold examples, by their manifest; empty where it does not count them."""
    strata = loader.shard_set.manifest.statistics.get("strata", {})
    counts = [strata[source]["objectives"] for source in loader.sources if source in strata]
    return [name for name in OBJECTIVES[1:] if any(each[name]["examples"] for each in counts)]


def made_of(made: Manifest) -> dict[str, Any]:
    """What shards are made of, as a checkpoint keeps it: enough to say later in what others differ."""
    languages = [each for source in made.statistics.get("languages", {}).values() for each in source.values()]
    return {
        "settings": {"shard": made.config, "seed": made.seed, "versions": made.versions},
        "upstream": made.upstream,
        "documents": sum(each["documents"] for each in languages),
    }


def check_shards(saved: Checkpoint, loader: Loader, folder: Path) -> None:
    """Raises ShardError, saying what differs, if the loader's sequence of rows is another than the one that was trained on in `folder`."""
    here = loader.fingerprint
    changed = [name for name in here if saved.fingerprint.get(name) != here[name]]
    if changed:
        reasons = list(_reasons(saved.shards, made_of(loader.shard_set.manifest))) if "shards" in changed else []
        shown = [*reasons[:SHOWN], *([f"and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else [])]
        raise ShardError(
            f"{folder} was trained on other shards than those in {loader.shard_set.stage_dir}: "
            f"{'; '.join(shown or [f'{name} differ' for name in changed])}. So step {saved.step:,} is another place in "
            f"them, and training cannot go on from there. Remove {folder} to train anew on these, choose another --output, or bring back "
            "those that it was trained on."
        )


def _reasons(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """In what the shards of two trainings differ, as far as it is known."""
    if not then:
        return
    before, after = _flat(then["settings"]), _flat(now["settings"])
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name.removeprefix('versions.')} was {before.get(name)!r}, now {after.get(name)!r}"
    stages = [name for name in sorted(now["upstream"]) if then["upstream"].get(name) != now["upstream"][name]]
    if stages:
        yield f"{' and '.join(stages)} {'was' if len(stages) == 1 else 'were'} made again"
    elif then["documents"] > now["documents"]:  # of the same corpus
        fewer = then["documents"] - now["documents"]
        which = f"{fewer:,} documents that were" if fewer > 1 else "1 document that was"
        yield f"they were made again without {which} forgotten since"
    elif then["documents"] < now["documents"]:
        yield f"they were made again with {now['documents'] - then['documents']:,} documents that were forgotten then"


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{where}{name}.") if isinstance(value, Mapping) else {f"{where}{name}": value}
    return found

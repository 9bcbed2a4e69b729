"""Readying earlier corpora to be compared with: each becomes curated documents with signatures."""

from __future__ import annotations

from pipelines.corpus import Committed, find
from pipelines.curate import curate
from pipelines.dedup_steps.collection import Signed
from pipelines.engine import Engine
from pipelines.filters import FILTERS
from pipelines.recipe import Recipe
from pipelines.references import ReferenceSettings
from pipelines.signatures import check_comparable, signatures
from pipelines.storage import exists, join


def signed_references(recipe: Recipe, run_dir: str, engine: Engine) -> tuple[Signed, ...]:
    """The references, read and signed where that is not done yet.

    Raises StageError if a run has no `curate` stage, or signatures that cannot be compared with this recipe's.
    """
    return tuple(_signed(each, recipe, join(run_dir, "references", each.name), engine) for each in recipe.dedup.reference)


def _signed(reference: ReferenceSettings, recipe: Recipe, here: str, engine: Engine) -> Signed:
    engine.reporter.say(f"reference {reference.name}")
    if reference.source:
        off = {name: {"enabled": False} for name in FILTERS}
        filters = type(recipe.filters).model_validate(off)
        curate(recipe.model_copy(update={"source": [reference.source], "filters": filters}), here, engine)
    curated = find(here, reference.run, "curate")
    there = join(reference.run, "signatures")
    if reference.run and exists(join(there, "manifest.json")):
        check_comparable(there, curated, recipe.dedup, f"reference {reference.name!r}")
        made = Committed.at(there)
    else:
        signatures(recipe, here, reference.run, engine)
        made = Committed.at(join(here, "signatures"))
    earlier = join(reference.run, "dedup")
    removed = Committed.at(earlier) if reference.run and exists(join(earlier, "manifest.json")) else None
    return Signed(curated, made, reference.name, removed)

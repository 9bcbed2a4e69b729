"""Readying earlier corpora to be compared with: each becomes curated documents with signatures."""

from __future__ import annotations

from contracts.errors import StageError
from pipelines.corpus import Committed
from pipelines.curate import curate
from pipelines.dedup_steps.collection import Signed
from pipelines.engine import Engine
from pipelines.filters import FILTERS
from pipelines.recipe import Recipe
from pipelines.references import ReferenceSettings
from pipelines.signatures import check_comparable, signatures_of
from pipelines.storage import absolute, exists, join


def signed_references(recipe: Recipe, run_dir: str, engine: Engine) -> tuple[Signed, ...]:
    """The references, read and signed where that is not done yet.

    Raises StageError if a run has no `curate` stage, signatures that cannot be compared with this recipe's, or a dedup stage that is not
    of its documents; or if it is this very run.
    """
    return tuple(_signed(each, recipe, run_dir, engine) for each in recipe.dedup.reference)


def _signed(reference: ReferenceSettings, recipe: Recipe, run_dir: str, engine: Engine) -> Signed:
    engine.reporter.say(f"reference {reference.name}")
    here = join(run_dir, "references", reference.name)
    if reference.source:
        off = {name: {"enabled": False} for name in FILTERS}
        filters = type(recipe.filters).model_validate(off)
        curate(recipe.model_copy(update={"source": [reference.source], "filters": filters}), here, engine)
        curated = Committed.at(join(here, "curate"))
    else:
        curated = _curated(reference, run_dir)
    there = join(reference.run, "signatures")
    if reference.run and exists(join(there, "manifest.json")):
        check_comparable(there, curated, recipe.dedup, f"reference {reference.name!r}")
        made = Committed.at(there)
    else:
        signatures_of(curated, recipe, here, engine)
        made = Committed.at(join(here, "signatures"))
    return Signed(curated, made, reference.name, _removed(reference, curated) if reference.run else None)


def _curated(reference: ReferenceSettings, run_dir: str) -> Committed:
    folder = join(reference.run, "curate")
    if absolute(reference.run).rstrip("/") == absolute(run_dir).rstrip("/"):
        raise StageError(f"reference {reference.name!r} is this very run, {run_dir}, whose documents would all remove themselves.")
    if not exists(join(folder, "manifest.json")):
        raise StageError(
            f"reference {reference.name!r}: the 'curate' stage of the run {reference.run} is not finished, there is no "
            f"{join(folder, 'manifest.json')}. Finish it with `spanmill curate --output {reference.run}`, name another folder, or give "
            "the raw corpus as the reference's source."
        )
    return Committed.at(folder)


def _removed(reference: ReferenceSettings, curated: Committed) -> Committed | None:
    """The run's own dedup stage, where it has one."""
    folder = join(reference.run, "dedup")
    if not exists(join(folder, "manifest.json")):
        return None
    dedup = Committed.at(folder)
    found = dedup.manifest.upstream.get("curate")
    if found != curated.digest:
        raise StageError(
            f"reference {reference.name!r}: {folder} was made from another curate stage (digest {found}) than {curated.folder} (digest "
            f"{curated.digest}): its row numbers would leave out the wrong documents. Run `spanmill dedup --output {reference.run}` first."
        )
    return dedup

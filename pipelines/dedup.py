"""The dedup stage: which kept documents are duplicates, of which document, and how similar.

    describe, splitters, rank, number   one priority order over all documents; a node is a document's place in it
    same, copies                        exact duplicates by content hash; band keys of all other documents
    match                               documents that share a band key ─▶ candidate pairs, a few bands at a time
    pairs, sets, measure                each pair once: estimated, then measured on shingle sets ─▶ edges at the threshold
    group, (stars, label, batch)        connected components of the edges, dealt to batches
    resolve                             a batch ─▶ the greedy choice of keepers
    settle, removals, mark, commit      removals/*.parquet, removed_rows/PART.npy, counts

Blocks are numpy arrays as bytes, keyed by the number of an item in four bytes: neither documents nor tokens are ever exchanged, and no
element is a single document.
"""

from __future__ import annotations

from contracts.manifest import Manifest
from dedup.banding import Banding, banding
from pipelines.corpus import find
from pipelines.dedup_steps.collection import Collection, Signed
from pipelines.dedup_steps.commit import CommitDedup
from pipelines.dedup_steps.copies import EmitCopies, EmitHashes, FindCopies, MakeKeys
from pipelines.dedup_steps.group import GroupEdges, with_stars
from pipelines.dedup_steps.layout import HASH_ROW, NODE_ROW, PRIORITY_ROW, VERDICT_ROW, Layout, layout_of
from pipelines.dedup_steps.match import EmitKeys, MatchRange
from pipelines.dedup_steps.pairs import EmitMembers, JoinPairs, MakeSets, MeasurePairs
from pipelines.dedup_steps.rank import ChooseSplitters, DescribePart, EmitNumbers, EmitPriorities, NumberPart, Order, RankRange
from pipelines.dedup_steps.removals import EmitFates, EmitRemovals, MarkPart, WriteBucket
from pipelines.dedup_steps.resolve import ResolveBatch
from pipelines.dedup_steps.settle import EmitVerdicts, SettlePart
from pipelines.dedup_steps.stars import star_steps
from pipelines.engine import Engine
from pipelines.graph import Items, Step
from pipelines.recipe import Recipe
from pipelines.signatures import find_signatures
from pipelines.signed_references import signed_references
from pipelines.stage import Stage

RATE = 60e6
"""Stored bytes of documents that a core deduplicates in a second, roughly; decides only whether workers are started."""


def dedup(recipe: Recipe, run_dir: str, input_dir: str, engine: Engine) -> Manifest:
    """Runs the stage, and the signatures before it; does nothing where they are up to date."""
    curated = find(run_dir, input_dir, "curate")
    references = signed_references(recipe, run_dir, engine)
    collection = Collection(Signed(curated, find_signatures(recipe, run_dir, input_dir, engine)), references)
    bands = banding(recipe.dedup)
    layout = layout_of(collection.documents(), bands, recipe.dedup.exchange)
    stage = _stage(recipe, run_dir, collection)
    if made := engine.finished(stage):
        return made
    engine.reporter.say(f"  {bands.words(recipe.dedup.threshold)}")
    seconds = sum(collection.sizes()) / RATE
    memory = max(6 * recipe.part_bytes, 4 * layout.item_bytes, 160 * 2**20)
    return engine.run(stage, steps(recipe, stage, collection, bands, layout), seconds, memory)


def _stage(recipe: Recipe, run_dir: str, collection: Collection) -> Stage:
    """How the work is cut, and where references lie, decide no byte of what is made."""
    config = recipe.dedup.model_dump(mode="json", exclude={"exchange", "reference"})
    config["sources"] = [source.name for source in recipe.source] if "source" in recipe.dedup.priority else []
    config["references"] = [each.reference for each in collection.references]
    upstream = {"curate": collection.own.curate.digest, "signatures": collection.own.signatures.digest}
    for each in collection.references:
        upstream[f"reference {each.reference}"] = each.digest
    exchange = recipe.dedup.exchange.model_dump(mode="json")
    return Stage("dedup", run_dir, config, recipe.dedup.seed, upstream, layout=exchange)


def steps(recipe: Recipe, stage: Stage, collection: Collection, bands: Banding, layout: Layout) -> list[Step]:
    """The stage's steps, in order."""
    settings, documents = recipe.dedup, layout.documents
    rank, same = layout.passes("rank", PRIORITY_ROW), layout.passes("same", HASH_ROW)
    parts = len(collection.places)
    number, copies, sets = (layout.spread(name, parts, NODE_ROW) for name in ("number", "copies", "sets"))
    settle, mark = layout.spread("settle", parts, VERDICT_ROW), layout.spread("mark", collection.own_parts, NODE_ROW)
    removals = layout.removals
    order = Order(stage, rank)
    matching = layout.band_passes()
    sources = [source.name for source in recipe.source]
    found: list[Step] = [
        Items("describe", DescribePart(stage, collection, settings, sources)),
        Items("splitters", ChooseSplitters(stage, collection, rank.items)),
        *rank.steps(EmitPriorities(stage, collection), RankRange(stage, rank.items, documents)),
        *number.steps(EmitNumbers(order), NumberPart(stage, collection)),
        *same.steps(EmitHashes(stage, collection, same.items), FindCopies(stage, same.items, documents)),
        *copies.steps(EmitCopies(stage, same), MakeKeys(stage, collection, bands)),
    ]
    for chosen, passes in matching.items():
        work = MatchRange(stage, passes, documents * len(chosen), settings.bucket_cap, layout.pair_ranges)
        found += passes.steps(EmitKeys(stage, collection, chosen, passes.items), work)
    pairs = JoinPairs(stage, collection, settings, order, bands, tuple(matching.values()), layout.pair_ranges, documents)
    found.append(Items("pairs", pairs))
    if settings.verify == "exact":
        found += sets.steps(EmitMembers(stage, layout.pair_ranges), MakeSets(stage, collection, settings))
    found += [
        Items("measure", MeasurePairs(stage, settings, layout.pair_ranges, bands.bands)),
        Items("group", GroupEdges(stage, settings.exchange, documents, layout.pair_ranges, layout.star_shares)),
    ]
    if with_stars(settings.exchange, documents):
        found += star_steps(stage, layout.pair_ranges, layout.star_shares, settings.exchange.star_rounds)
    return [
        *found,
        Items("resolve", ResolveBatch(stage, order, settings.threshold)),
        *settle.steps(EmitVerdicts(order, same), SettlePart(order, collection)),
        *removals.steps(EmitRemovals(stage, collection, settle, removals.items), WriteBucket(stage, collection, removals.items)),
        *mark.steps(EmitFates(stage, removals), MarkPart(stage, collection)),
        Items("commit", CommitDedup(stage, collection, bands, layout, settle, mark, settings.threshold)),
    ]

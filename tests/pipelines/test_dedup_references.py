"""Deduplication against earlier corpora: what they remove, what is left of them, and what of them is made again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dedup_runs import (
    ENGINE,
    Document,
    Kept,
    Removal,
    by_default,
    by_the_rule,
    committed,
    kept_by_curate,
    recipe_values,
    removals,
    run_dedup,
    similar_texts,
    write_documents,
)

from contracts.errors import StageError
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.signatures import signatures

WORDS = [f"w{i:03d}" for i in range(1_000)]


def window(start: int, stop: int = 0) -> str:
    """100 words, or those up to `stop`. Windows 10 words apart share 86 of 106 shingles, 20 apart 76 of 116, less than 0.7."""
    return " ".join(WORDS[start : stop or start + 100])


OLD = [
    Document("kept", window(0), 9),
    Document("removed", window(10), 5),  # by "kept", where the run deduplicates
    Document("lonely", window(500)),
    Document("short", "two words"),
]

NEW = [
    Document("exact", window(500), 100),
    Document("exact too", window(500)),
    Document("near", window(503)),
    Document("copy of near", window(503), 7),
    Document("copy of removed", window(10), 3),
    Document("like removed", window(20), 3),
    Document("short", "two words"),
    Document("own", window(700), 1),
    Document("like own", window(704)),
    Document("fresh", window(800)),
]

SIMILAR = {each: float(f"{(96 - each) / (96 + each):.7f}") for each in (3, 4, 10)}


def near(keeper: str, words: int, reference: str = "") -> Removal:
    return Removal(keeper, pytest.approx(SIMILAR[words], abs=1e-6), "near", reference)


WITHIN = {"like own": near("own", 4)}
BY_OLD = {
    "exact": Removal("lonely", 1.0, "exact", "old"),
    "exact too": Removal("lonely", 1.0, "exact", "old"),
    "near": near("lonely", 3, "old"),
    "copy of near": near("lonely", 3, "old"),
    "short": Removal("short", 1.0, "exact", "old"),
}
IF_DEDUPLICATED = WITHIN | BY_OLD | {"copy of removed": near("kept", 10, "old")}
IF_NOT = WITHIN | BY_OLD | {"copy of removed": Removal("removed", 1.0, "exact", "old"), "like removed": near("removed", 10, "old")}


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("old") / "old_code.parquet", OLD, rows_a_group=1)


@pytest.fixture(scope="module")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("new") / "new_code.parquet", NEW, rows_a_group=2)


@pytest.fixture(scope="module")
def deduplicated(old_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the old corpus with all stages up to dedup; nobody changes it."""
    run_dir = tmp_path_factory.mktemp("old") / "run"
    run_dedup(recipe_values(old_file, part_bytes=3_000), run_dir)
    return run_dir


@pytest.fixture(scope="module")
def only_curated(deduplicated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("curated") / "run"
    shutil.copytree(deduplicated / "curate", run_dir / "curate")
    return run_dir


def against(new_file: Path, *references: tuple[str, Path], **settings: Any) -> dict[str, Any]:
    named = [{"name": name, "run": str(run_dir)} for name, run_dir in references]
    return recipe_values(new_file, part_bytes=3_000, reference=named, **settings)


def everything(run_dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stages", [("curate",), ("curate", "signatures"), ("curate", "signatures", "dedup")])
def test_an_earlier_run_removes_documents_and_loses_none(
    deduplicated: Path, new_file: Path, tmp_path: Path, stages: tuple[str, ...]
) -> None:
    """With and without signatures and a dedup stage of its own. What that removed is no part of it."""
    old = tmp_path / "old"
    for stage in stages:
        shutil.copytree(deduplicated / stage, old / stage)
    before = everything(old)
    made = run_dedup(against(new_file, ("old", old)), tmp_path / "run")
    found = removals(tmp_path / "run", old)
    assert found == (IF_DEDUPLICATED if "dedup" in stages else IF_NOT)
    assert everything(old) == before
    assert made.totals["reference"] == sum(each.reference == "old" for each in found.values())
    assert made.totals["removed"] == len(found) == made.totals["in"] - made.totals["kept"]
    assert (tmp_path / "run/references/old/signatures/manifest.json").exists() == ("signatures" not in stages)


def test_a_raw_corpus_is_read_without_filters(old_file: Path, new_file: Path, tmp_path: Path) -> None:
    values = recipe_values(new_file, part_bytes=3_000)
    source = recipe_values(old_file)["source"][0] | {"name": "benchmark"}
    values["dedup"] = {"reference": [{"name": "old", "source": source}]}
    values["filters"] = {"size": {"min_bytes": 1}, "license": {"enabled": False}, "basic": {"enabled": False}}
    run_dedup(values, tmp_path / "run")
    reference = tmp_path / "run/references/old"
    assert removals(tmp_path / "run", reference) == IF_NOT
    assert {path.name for path in reference.iterdir()} == {"survey", "curate", "signatures"}
    again = committed(tmp_path / "run")
    run_dedup(values, tmp_path / "run", Engine(("--runner=NoSuchRunner",), ENGINE.reporter))  # nothing is left to do
    assert committed(tmp_path / "run") == again


def other_run(folder: Path, documents: Sequence[Document], name: str = "other", **settings: Any) -> Path:
    corpus = write_documents(folder / f"{name}.parquet", documents)
    run_dedup(recipe_values(corpus, **settings), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_of_two_references_with_the_same_document_the_first_is_named(
    new_file: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    """Whatever stars and lengths say, and whether it is the same text or only as similar."""
    one = other_run(tmp_path / "one", [Document("one", window(500), 1), Document("one shorter", window(700, 790), 1)])
    two = other_run(tmp_path / "two", [Document("two", window(500), 2), Document("two shorter", window(710), 2)])
    runs = {"one": one, "two": two}
    run_dedup(against(new_file, *((name, runs[name]) for name in order)), tmp_path / "run")
    found = removals(tmp_path / "run", one, two)
    first, _ = order
    assert found["exact"] == found["exact too"] == Removal(first, 1.0, "exact", first)
    assert found["near"] == found["copy of near"] == near(first, 3, first)
    # "own" shares 86 shingles of 96 with the one and 86 of 106 with the other: the more similar one is named, whichever comes first
    assert found["own"][0::3] == ("one shorter", "one")


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_the_same_corpus_twice_is_named_by_its_first_name(
    deduplicated: Path, new_file: Path, tmp_path: Path, order: tuple[str, str]
) -> None:
    """All keys but the place of the reference are equal: doc_ids too."""
    shutil.copytree(deduplicated, tmp_path / "again")
    run_dedup(against(new_file, (order[0], deduplicated), (order[1], tmp_path / "again")), tmp_path / "run")
    found = removals(tmp_path / "run", deduplicated)
    assert {each.reference for each in found.values()} == {"", order[0]}
    assert {path: each._replace(reference="old" if each.reference else "") for path, each in found.items()} == IF_DEDUPLICATED


def test_references_in_another_order_make_the_stage_again(
    deduplicated: Path, new_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(deduplicated, tmp_path / "again")
    runs = [("one", deduplicated), ("two", tmp_path / "again")]
    run_dedup(against(new_file, *runs), tmp_path / "run")
    run_dedup(against(new_file, *reversed(runs)), tmp_path / "run", Engine(ENGINE.beam_args))
    assert "dedup is made again: references" in capsys.readouterr().err
    assert {each.reference for each in removals(tmp_path / "run", deduplicated).values()} == {"", "two"}


def test_a_reference_without_a_curate_stage_is_refused(new_file: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(
        StageError, match=r"reference 'old': the 'curate' stage of .*/old is not finished.*`spanmill curate --output .*/old`"
    ):
        run_dedup(against(new_file, ("old", tmp_path / "old")), tmp_path / "run")


def test_a_run_is_no_reference_of_its_own(deduplicated: Path, old_file: Path, tmp_path: Path) -> None:
    shutil.copytree(deduplicated, tmp_path / "run")
    values = recipe_values(old_file, part_bytes=3_000, reference=[{"name": "old", "run": f"{tmp_path}/x/../run/"}])
    with pytest.raises(StageError, match="reference 'old' is this very run"):
        run_dedup(values, tmp_path / "run")
    assert committed(tmp_path / "run") == committed(deduplicated)


@pytest.mark.parametrize(
    ("setting", "words"), [({"ngram": 4}, "ngram was 5, is 4"), ({"num_perm": 128}, "num_perm was 256, is 128")]
)
def test_signatures_of_other_settings_are_refused(
    deduplicated: Path, new_file: Path, tmp_path: Path, setting: dict[str, Any], words: str
) -> None:
    before = everything(deduplicated)
    with pytest.raises(StageError) as error:
        run_dedup(against(new_file, ("old", deduplicated), **setting), tmp_path / "run")
    assert words in str(error.value)
    assert f"`spanmill signatures --output {deduplicated}`" in str(error.value)
    assert "reference 'old'" in str(error.value)
    assert not (tmp_path / "run/dedup/manifest.json").exists()
    assert everything(deduplicated) == before


def test_a_reference_whose_dedup_is_of_another_curate_stage_is_refused(deduplicated: Path, new_file: Path, tmp_path: Path) -> None:
    """Its row numbers would leave out the wrong documents."""
    shutil.copytree(deduplicated, tmp_path / "old")
    other = write_documents(tmp_path / "old_code.parquet", OLD[1:])
    curate(Recipe(**recipe_values(other, part_bytes=3_000)), str(tmp_path / "old"), ENGINE)
    signatures(Recipe(**recipe_values(other, part_bytes=3_000)), str(tmp_path / "old"), "", ENGINE)
    with pytest.raises(
        StageError, match=r"reference 'old': .*/old/dedup was made from another curate stage.*Run `spanmill dedup --output"
    ):
        run_dedup(against(new_file, ("old", tmp_path / "old")), tmp_path / "run")


def test_a_name_that_stood_for_a_raw_corpus_can_stand_for_a_run(old_file: Path, new_file: Path, tmp_path: Path) -> None:
    """What was made of the raw corpus lies in references/NAME, where signatures of a run without them go too."""
    values = against(new_file)
    values["dedup"]["reference"] = [{"name": "old", "source": recipe_values(old_file)["source"][0]}]
    run_dedup(values, tmp_path / "run")
    other = write_documents(tmp_path / "other.parquet", [Document("other", window(700))])
    curate(Recipe(**recipe_values(other)), str(tmp_path / "other"), ENGINE)
    run_dedup(against(new_file, ("old", tmp_path / "other")), tmp_path / "run")
    found = removals(tmp_path / "run", tmp_path / "other")
    assert {path for path, each in found.items() if each.reference} == {"own", "like own"}
    run_dedup(values, tmp_path / "run")
    assert removals(tmp_path / "run", tmp_path / "run/references/old") == IF_NOT


def test_another_threshold_signs_nothing_again(
    only_curated: Path, new_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dedup(against(new_file, ("old", only_curated)), tmp_path / "run")
    made = [path for path in (tmp_path / "run").rglob("*") if "signatures" in path.parts]
    before = {path: path.stat().st_mtime_ns for path in made}
    assert len(before) >= 10
    capsys.readouterr()
    settings = {"threshold": 0.9, "priority": ["length"], "bands": 20, "rows": 10}
    run_dedup(against(new_file, ("old", only_curated), **settings), tmp_path / "run", Engine(ENGINE.beam_args))
    said = capsys.readouterr().err
    assert said.count("signatures is up to date") == 2
    assert "dedup is made again" in said
    assert {path: path.stat().st_mtime_ns for path in made} == before
    assert "copy of removed" in removals(tmp_path / "run", only_curated)
    assert "like removed" not in removals(tmp_path / "run", only_curated)


def test_references_without_documents_remove_nothing(new_file: Path, tmp_path: Path) -> None:
    corpus = write_documents(tmp_path / "empty.parquet", [Document("a", "word " * 20)])
    values = recipe_values(corpus)
    values["filters"] = {"size": {"min_bytes": 10**6}, "license": {"enabled": False}, "basic": {"enabled": False}}
    run_dedup(values, tmp_path / "empty")
    made = run_dedup(against(new_file, ("old", tmp_path / "empty")), tmp_path / "run")
    assert made.totals["reference"] == 0
    documents = kept_by_curate(tmp_path / "run")
    assert removals(tmp_path / "run") == by_the_rule(documents, {each.path: each.text for each in NEW}, 0.7)


@pytest.mark.parametrize("workers", [0, 2])
def test_how_the_work_is_cut_changes_no_byte_with_references(
    deduplicated: Path, only_curated: Path, new_file: Path, tmp_path: Path, workers: int
) -> None:
    runs = [("old", deduplicated), ("other", only_curated)]
    run_dedup(against(new_file, *runs), tmp_path / "one")
    shutil.copytree(
        tmp_path / "one", tmp_path / "two", ignore=lambda folder, _: ["dedup"] if Path(folder) == tmp_path / "one" else []
    )
    engine = Engine(("--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"), ENGINE.reporter)
    exchange = {"components": "stars", "bands": 7, "bytes": 2**20, "star_rounds": 4}
    dedup(Recipe(**against(new_file, *runs, exchange=exchange)), str(tmp_path / "two"), "", engine if workers else ENGINE)
    assert committed(tmp_path / "one") == committed(tmp_path / "two")


class Growing(NamedTuple):
    """Two corpora, the new one deduplicated against the old one and, from scratch, together with it."""

    old: list[Kept]
    new: list[Kept]
    texts: dict[str, str]
    incremental: set[str]
    """Paths of the new corpus that stay."""
    together: set[str]
    """The same from scratch, by the default priority."""
    old_first: set[str]
    """The same from scratch, where all of the old corpus outranks the new."""


def clusters(rng: random.Random) -> tuple[list[Document], list[Document]]:
    """Windows over the words of 60 files, at places at random: some alike, some chained, some equal; each in one of two corpora."""
    corpora: tuple[list[Document], list[Document]] = ([], [])
    for cluster in range(60):
        for member in range(rng.randrange(1, 10)):
            start = rng.choice(range(0, 100, 7))
            text = " ".join(f"c{cluster:02d}w{i:03d}" for i in range(start, start + rng.choice([97, 100, 103])))
            rng.choice(corpora).append(Document(f"{cluster}-{member}", text, rng.choice([None, 0, 5, 5, 9])))
    return corpora


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Growing:
    folder = tmp_path_factory.mktemp("growing")
    old, new = clusters(random.Random(4))
    files = [write_documents(folder / f"{name}.parquet", each) for name, each in (("a_new", new), ("b_old", old))]
    run_dedup(recipe_values(files[1]), folder / "old")
    run_dedup(recipe_values(files[0], reference=[{"name": "old", "run": str(folder / "old")}]), folder / "new")
    incremental = removals(folder / "new", folder / "old")
    run_dedup(recipe_values(*files), folder / "all")
    together = removals(folder / "all")
    run_dedup(recipe_values(*files, priority=["source", "stars", "length"], source_order=["b_old", "a_new"]), folder / "all")
    old_first = removals(folder / "all")
    paths = {each.path for each in new}
    texts = {each.path: each.text for each in old + new}
    kept_old, kept_new = kept_by_curate(folder / "old"), kept_by_curate(folder / "new")
    check_rules(kept_old, kept_new, texts, removals(folder / "old"), incremental, together, old_first)
    return Growing(kept_old, kept_new, texts, *(paths - each.keys() for each in (incremental, together, old_first)))


def check_rules(old: list[Kept], new: list[Kept], texts: dict[str, str], *found: dict[str, Removal]) -> None:
    """Each of the four runs: the old corpus, the new against it, both by the default priority, both with the old one first."""
    of_old, incremental, together, old_first = found
    assert of_old == by_the_rule(old, texts, 0.7)
    left = [("old", each) for each in sorted(old, key=by_default) if each.path not in of_old]
    assert incremental == by_the_rule(new, texts, 0.7, references=left)
    assert together == by_the_rule(old + new, texts, 0.7)
    assert old_first == by_the_rule(old + new, texts, 0.7, order=lambda each: (each.source == "a_new", by_default(each)))


def test_a_corpus_that_grows_keeps_what_it_would_keep_from_scratch_if_the_old_one_ranks_first(growing: Growing) -> None:
    assert growing.incremental == growing.old_first
    assert 0.2 < len(growing.incremental) / len(growing.new) < 0.8


def test_by_the_default_priority_only_documents_that_outrank_an_old_match_make_a_difference(growing: Growing) -> None:
    """Nowhere else: in a cluster without a new document that outranks a similar old one, the same documents stay."""
    place = {each.path: at for at, each in enumerate(sorted(growing.old + growing.new, key=by_default))}
    old = {each.path for each in growing.old}
    matches = similar_documents(growing.texts)
    outranked = {each.path for each in growing.new if any(place[other] > place[each.path] for other in matches[each.path] & old)}
    may_differ = reachable(outranked, matches)
    others = {each.path for each in growing.new} - may_differ
    assert growing.incremental & others == growing.together & others
    assert len(others) >= 20
    differ = growing.incremental ^ growing.together
    assert differ
    assert differ <= may_differ
    # More closely: only what comes after such a document, from match to worse match, can differ.
    after = reachable(outranked, {path: {o for o in matches[path] if place[o] > place[path]} for path in matches})
    assert differ <= after < may_differ | old


def similar_documents(texts: dict[str, str]) -> dict[str, set[str]]:
    """Of each document all others that are equal or similar to it."""
    holders: dict[str, set[str]] = {}
    for path, text in texts.items():
        holders.setdefault(text, set()).add(path)
    named = {min(paths): text for text, paths in holders.items()}
    similar = similar_texts(named, 0.7)
    return {
        path: paths.union(*(holders[named[other]] for other in similar[min(paths)])) - {path}
        for paths in holders.values()
        for path in paths
    }


def reachable(begin: set[str], matches: dict[str, set[str]]) -> set[str]:
    found, waiting = set(begin), list(begin)
    while waiting:
        fresh = matches[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found

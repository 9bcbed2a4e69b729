"""The four stages on a small corpus: what comes out, and that nothing but the corpus and the recipe decides its bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_up_corpus import recipe_values, write_corpus
from run_the_line import QUIET, digests, kept_texts, run, texts_of

from contracts.errors import InputError, StageError
from contracts.manifest import Manifest
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.plots import draw
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.stats import collect
from pipelines.tables import show
from pipelines.tokenizer import tokenizer
from pipelines.verify import verify
from sharding.check import documents
from sharding.headers import FIELDS
from sharding.shards import Shard


def test_every_document_is_accounted_for(made: Path) -> None:
    curated = Manifest.from_json((made / "curate/manifest.json").read_text(), "")
    assert curated.totals["in"] == 300
    decisions = [row for path in sorted((made / "curate/decisions").iterdir()) for row in pq.read_table(path).to_pylist()]
    kept = [row for path in sorted((made / "curate/documents").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert len(kept) + len(decisions) == 300
    assert len({row["doc_id"] for row in kept + decisions}) == 300
    copyleft = [row for row in decisions if row["check"] == "license"]
    assert len(copyleft) == sum(i % 11 == 10 for i in range(240))
    assert all("GPL-3.0-only" in row["reason"] and "max_stars_repo_licenses" in row["reason"] for row in copyleft)


def test_duplicates_name_their_keeper(made: Path) -> None:
    removals = pq.read_table(made / "dedup/removals/00000.parquet").to_pylist()
    ids = {row["path"]: row["doc_id"] for path in (made / "curate/documents").iterdir() for row in pq.read_table(path).to_pylist()}
    pairs = {frozenset((row["doc_id"], row["keeper_id"])): row for row in removals}
    exact = pairs[frozenset((ids["src/file0.python"], ids["src/file1.python"]))]
    near = pairs[frozenset((ids["src/file2.python"], ids["src/file3.python"]))]
    assert exact["kind"] == "exact"
    assert exact["jaccard"] == 1.0
    assert near["kind"] == "near"
    assert 0.7 <= near["jaccard"] < 1.0


def test_rows_give_back_every_kept_document_byte_for_byte(made: Path) -> None:
    assert texts_of(made / "shard", made) == kept_texts(made)


def test_literal_special_tokens_stay_text(made: Path) -> None:
    controls = Manifest.from_json((made / "tokenizer/manifest.json").read_text(), "").statistics["control_ids"]
    literal = set(controls.values()) - {controls[name] for name in FIELDS}  # those of headers are real
    restored = documents(Shard.open(str(path)) for path in sorted((made / "shard").rglob("*.arrow")))
    assert not any(literal & set(ids.tolist()) for ids in restored.values())


def test_a_sound_run_verifies_and_a_damaged_one_does_not(made: Path, tmp_path: Path) -> None:
    assert verify(str(made), QUIET) == []
    damaged = tmp_path / "damaged"
    shutil.copytree(made, damaged)
    target = next((damaged / "shard").rglob("*.arrow"))
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    next((damaged / "curate/decisions").iterdir()).unlink()
    wrong = verify(str(damaged), QUIET)
    assert any("shard" in line and "was changed or damaged" in line for line in wrong)
    assert any("curate" in line and "is missing" in line for line in wrong)


def test_statistics_agree_with_the_manifests(made: Path) -> None:
    found = collect(str(made))
    assert sum(row["in"] for row in found["sources"].values()) == 300
    assert sum(row["tokens"] for row in found["sources"].values()) == found["shard"]["totals"]["text_tokens"]
    assert sum(sum(checks.values()) for checks in found["curate"]["drops"].values()) == 300 - found["curate"]["totals"]["kept"]
    json.dumps(found, allow_nan=False)


def test_a_second_run_gives_the_same_bytes(made: Path, recipe: Recipe, engine: Engine, tmp_path: Path) -> None:
    run(recipe, tmp_path, engine)
    assert digests(tmp_path) == digests(made)
    for stage in ("curate", "signatures", "dedup", "tokenizer", "shard"):
        assert (tmp_path / stage / "manifest.json").read_bytes() == (made / stage / "manifest.json").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_give_the_same_bytes(made: Path, recipe: Recipe, tmp_path: Path, workers: int) -> None:
    run(recipe, tmp_path, Engine(("--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"), QUIET))
    assert digests(tmp_path) == digests(made)


def test_renamed_inputs_give_the_same_bytes(made: Path, engine: Engine, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    for path in sorted(corpus.rglob("train-*.parquet")):
        path.rename(path.with_name(f"train-{99999 - int(path.name[6:11]):05d}-of-99999.parquet"))
    run(Recipe(**recipe_values(corpus)), tmp_path / "run", engine)
    assert digests(tmp_path / "run") == digests(made)


def test_nothing_is_done_twice(made: Path, recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    run(recipe, tmp_path / "run", Engine(("--runner=NoSuchRunner",), QUIET))  # no stage may get so far as to start a runner
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_a_changed_setting_remakes_what_depends_on_it(
    made: Path, corpus: Path, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path / "run")
    values = recipe_values(corpus)
    values["dedup"] = {"threshold": 1.0}
    run(Recipe(**values), tmp_path / "run", Engine(engine.beam_args))
    said = capsys.readouterr().err
    assert "curate is up to date" in said
    assert "dedup is made again: threshold was 0.7, is 1.0" in said
    assert "tokenizer is made again because dedup was made again" in said
    assert "shard is made again because dedup was made again" in said
    assert verify(str(tmp_path / "run"), QUIET) == []


def test_a_stage_takes_earlier_ones_from_another_run(made: Path, recipe: Recipe, engine: Engine, tmp_path: Path) -> None:
    shard(recipe, str(tmp_path), str(made), engine)
    for path in (tmp_path / "shard").rglob("*.arrow"):
        assert path.read_bytes() == (made / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(made: Path, corpus: Path, tmp_path: Path) -> None:
    """`kill -9` of the whole process ten times, at moments spread over a run, then the same command to its end."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(recipe_values(corpus)))
    run_dir = tmp_path / "run"
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from pipelines.recipe import Recipe\n"
        "from pipelines.engine import Engine\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from run_the_line import run, QUIET\n"
        "run(Recipe(**json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]), Engine(('--direct_running_mode=in_memory',), QUIET))\n"
    )
    command = [sys.executable, "-c", script, str(recipe), str(run_dir), str(Path(__file__).parent)]
    kills = 0
    for _ in range(60):
        process = subprocess.Popen(command, start_new_session=True)
        before = _receipts(run_dir)
        while process.poll() is None and _receipts(run_dir) < before + 6:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        if process.wait() == 0:
            break
    assert process.returncode == 0
    assert kills >= 10
    assert digests(run_dir) == digests(made)


def _receipts(run_dir: Path) -> int:
    """Grows with the work done: receipts, and far more for each committed stage. os.walk, since folders vanish while it looks."""
    names = [name for folder, _, found in os.walk(run_dir) if ".progress" in folder for name in found]
    receipts = sum(name[:8].isdigit() and name.endswith(".json") for name in names)
    return receipts + 1000 * sum(
        (run_dir / stage / "manifest.json").exists() for stage in ("curate", "signatures", "dedup", "tokenizer", "shard")
    )


def test_dedup_of_another_corpus_is_refused(made: Path, engine: Engine, tmp_path: Path) -> None:
    """Its row numbers would remove the wrong documents."""
    other = Recipe(**recipe_values(write_corpus(tmp_path / "corpus", documents=60, seed=9)))
    curate(other, str(tmp_path / "run"), engine)
    for stage in (tokenizer, shard):
        with pytest.raises(StageError, match=r"made from another curate stage.*Run `spanmill dedup`"):
            stage(other, str(tmp_path / "run"), str(made), engine)


@pytest.mark.parametrize(
    ("victim", "stage"),
    [("dedup/removed_rows/00000.npy", shard), ("tokenizer/tokenizer.json", shard), ("curate/documents/00000.parquet", dedup)],
)
def test_altered_files_of_earlier_stages_are_refused(
    made: Path, recipe: Recipe, engine: Engine, tmp_path: Path, victim: str, stage
) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(made, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / ("shard" if stage is shard else "dedup"))
    path = tmp_path / "run" / victim
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StageError, match=r"was changed or damaged.*make the stage again"):
        stage(recipe, str(tmp_path / "run"), "", engine)


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("curate", lambda m: m["totals"].update(kept=m["totals"]["kept"] + 1, dropped=m["totals"]["dropped"] - 1)),
        ("dedup", lambda m: m["totals"].update(removed=0, kept=m["totals"]["in"])),
        ("tokenizer", lambda m: m["statistics"]["control_ids"].update({"<sep>": 3})),
        ("shard", lambda m: m["totals"].update(documents=1)),
        (
            "shard",
            lambda m: m["totals"].update(
                text_tokens=m["totals"]["text_tokens"] - 1, control_tokens=m["totals"]["control_tokens"] + 1
            ),
        ),
    ],
)
def test_verify_recomputes_what_manifests_say(made: Path, tmp_path: Path, stage: str, change) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(made, tmp_path / "run")
    path = tmp_path / "run" / stage / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    assert [line for line in verify(str(tmp_path / "run"), QUIET) if line.startswith(f"{stage}: ")]


def test_a_corpus_that_is_mostly_unreadable_is_not_committed(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + "{broken\n" * 9)
    values = {"source": [{"name": "a", "type": "jsonl", "path": str(tmp_path / "a.jsonl"), "license_policy": "keep_unknown"}]}
    with pytest.raises(InputError, match=r"9 of 10 documents \(90\.0%\) could not be read; max_quarantined allows 5\.0%"):
        curate(Recipe(**values), str(tmp_path / "run"), engine)
    assert not (tmp_path / "run/curate/manifest.json").exists()
    totals = curate(Recipe(**values, max_quarantined=0.9), str(tmp_path / "run"), engine).totals
    assert totals["quarantined"] == 9


def test_names_from_the_corpus_cannot_harm_tables_or_plots(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    languages = ["[bold]x[/bold]", "\x1b[31mred\x1b]0;title\x07", "$\\frac{x$", "漢字", "a\nb", "x" * 200]
    rows = [{"text": f"word{i} " * 50, "language": language} for i, language in enumerate(languages)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"name": "a", "type": "jsonl", "path": str(tmp_path / "a.jsonl"), "license_policy": "keep_unknown", "kind": "prose"}
    values = {"source": [source | {"fields": {"language": "language"}}], "tokenizer": {"vocab_size": 700, "masks": 32}}
    run(Recipe(**values), tmp_path / "run", engine)
    found = collect(str(tmp_path / "run"))
    show(found, draw(found, str(tmp_path / "run")))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "[bold]x[/bold]" in printed

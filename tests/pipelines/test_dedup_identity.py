"""How the work is cut, who does it and how often it is interrupted decide no byte of the dedup stage."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import retrying_runner
from dedup_runs import (
    ENGINE,
    Document,
    by_the_rule,
    committed,
    kept_by_curate,
    recipe_values,
    removals,
    run_dedup,
    write_documents,
)
from made_up_corpus import source_file
from run_the_line import QUIET

from dedup.banding import banding
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.dedup_steps.layout import HASH_ROW, NODE_ROW, PRIORITY_ROW, VERDICT_ROW, layout_of
from pipelines.engine import Engine
from pipelines.recipe import Recipe, load
from pipelines.signatures import signatures

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "small_corpus.toml"

BANDS = 10

TINY = 8_000
"""Bytes of an exchange, far below what settings allow: nearly every exchange of 700 documents is then done in several passes."""


def family(rng: random.Random, name: str) -> list[Document]:
    """A file, exact copies of it, and more and more changed versions, of which some are only similar to the one before."""
    lines = source_file(rng).splitlines()
    members = [Document(name, "\n".join(lines), rng.choice([None, 1, 5]))]
    for version in range(rng.randrange(4)):
        for _ in range(max(1, len(lines) // 14)):
            lines[rng.randrange(len(lines))] = f"    changed_{rng.randrange(10**6)} = other({rng.randrange(10**6)})"
        members.append(Document(f"{name}.v{version}", "\n".join(lines), rng.choice([None, 1, 5, 9]), rng.choice(["c", "go"])))
    for copy in range(rng.choice([0, 0, 1, 3])):
        members.append(rng.choice(members)._replace(path=f"{name}.copy{copy}", stars=rng.choice([None, 2, 7])))
    return members


def documents() -> list[Document]:
    rng = random.Random(7)
    out = [member for number in range(150) for member in family(rng, f"file{number}")]
    words = [f"w{i:04d}" for i in range(500)]
    out += [Document(f"link{i}", " ".join(words[10 * i : 10 * i + 100]), rng.randrange(100)) for i in range(40)]
    out += [Document(f"short{i}", f"x = {i % 5}", i % 3) for i in range(30)]
    # The same name and text again and again, so the same doc_id: told apart by nothing that ranks them, but in languages that are counted.
    again = [Document("again", "the very same words each time they are said", 3, language) for language in ("c", "go", "java") * 4]
    out += again + [each._replace(path="also", text="too short") for each in again]
    rng.shuffle(out)
    return out


TWICE = [Document(f"twice{i}", f"written in two equal files, {i} words and more {i}") for i in range(9)]
"""Of two files of the same bytes."""

AGAIN = {"again", "also", *(each.path for each in TWICE)}
"""Paths that name several documents each."""


def write_corpus(root: Path, files: int = 5, order: int = 0) -> Path:
    """The documents in several files, of which two are equal, in an order and with names that `order` decides."""
    rows = documents()
    random.Random(order).shuffle(rows)
    for number in range(files):
        write_documents(root / f"code/{(number + order) % 7}-{number}.parquet", rows[number::files], rows_a_group=15)
    for name in (f"{order}x", f"{9 - order}y"):
        write_documents(root / f"code/{name}.parquet", TWICE)
    return root / "code"


def settings(corpus: Path, part_bytes: int = 30_000, **exchange: Any) -> dict[str, Any]:
    signature = {"num_perm": 32, "bands": BANDS, "rows": 3}
    return recipe_values(corpus, part_bytes=part_bytes, **signature, exchange=exchange)


def with_bytes(recipe: Recipe, size: int) -> Recipe:
    """Past the check of the setting, so that a small corpus makes many passes."""
    exchange = recipe.dedup.exchange.model_copy(update={"bytes": size})
    return recipe.model_copy(update={"dedup": recipe.dedup.model_copy(update={"exchange": exchange})})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with default settings, in one process; nobody changes it."""
    run_dir = tmp_path_factory.mktemp("made") / "run"
    run_dedup(settings(corpus), run_dir)
    return run_dir


@pytest.fixture
def signed(made: Path, tmp_path: Path) -> Path:
    """A run that lacks only its dedup stage."""
    shutil.copytree(made, tmp_path / "run", ignore=lambda folder, names: ["dedup"] if Path(folder) == made else [])
    return tmp_path / "run"


def test_the_corpus_has_all_that_dedup_meets(made: Path, signed: Path, corpus: Path) -> None:
    """Few bands lose some pairs. With the bands that are the default the outcome is that of the rule in plain Python."""
    assert len(list((made / "curate/documents").iterdir())) >= 10
    rule = by_the_rule(kept_by_curate(made), {each.path: each.text for each in documents() + TWICE}, 0.7)
    dedup(Recipe(**recipe_values(corpus)), str(signed), "", ENGINE)
    found, few = removals(signed), removals(made)
    assert {path: each for path, each in found.items() if path not in AGAIN} == rule
    assert len(few.keys() ^ rule.keys() - AGAIN) <= 0.05 * len(rule)
    kinds = [each.kind for each in rule.values()]
    assert min(kinds.count("exact"), kinds.count("near")) >= 50


EXCHANGES: list[tuple[int, dict[str, Any]]] = [
    (TINY, {"components": "stars", "star_rounds": 8}),
    (2**20, {"components": "scipy", "bands": 1}),
    (2**20, {"components": "stars", "bands": BANDS // 4}),
    (2**28, {"components": "stars", "bands": BANDS, "star_rounds": 11}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "exchange"), EXCHANGES)
def test_how_the_work_is_cut_changes_no_byte(made: Path, signed: Path, corpus: Path, size: int, exchange: dict[str, Any]) -> None:
    dedup(with_bytes(Recipe(**settings(corpus, **exchange)), size), str(signed), "", ENGINE)
    assert committed(signed) == committed(made)


def test_tiny_exchanges_are_done_in_passes(made: Path, corpus: Path) -> None:
    """Else the test above would show less than it says."""
    recipe = with_bytes(Recipe(**settings(corpus)), TINY)
    layout = layout_of(len(kept_by_curate(made)), banding(recipe.dedup), recipe.dedup.exchange)
    assert len(layout.passes("rank", PRIORITY_ROW).names) >= 4
    assert len(layout.passes("same", HASH_ROW).names) >= 2
    assert all(len(layout.spread("number", 10, size).names) >= 2 for size in (NODE_ROW, VERDICT_ROW))
    assert len(layout.band_passes()) == BANDS
    assert all(len(passes.names) >= 2 for passes in layout.band_passes().values())
    assert layout.pair_ranges >= 100


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_no_byte(made: Path, signed: Path, corpus: Path, workers: int) -> None:
    engine = Engine(("--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"), QUIET)
    dedup(Recipe(**settings(corpus, components="stars", bands=5)), str(signed), "", engine)
    assert committed(signed) == committed(made)


@pytest.mark.slow
def test_bundles_that_run_twice_and_half_way_change_no_byte(
    made: Path, signed: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retrying_runner.RECEIPTS, str(signed))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    recipe = with_bytes(Recipe(**settings(corpus, components="stars", bands=5, star_rounds=6)), 200_000)
    dedup(recipe, str(signed), "", Engine(("--runner=retrying_runner.RetryingRunner",), QUIET))
    assert committed(signed) == committed(made)


@pytest.mark.parametrize(("part_bytes", "files", "order"), [(3_000, 5, 0), (10**7, 5, 0), (30_000, 5, 3), (12_000, 2, 1)])
def test_neither_parts_nor_files_nor_their_names_change_a_removal(
    made: Path, tmp_path: Path, part_bytes: int, files: int, order: int
) -> None:
    run_dedup(settings(write_corpus(tmp_path, files, order), part_bytes), tmp_path / "run")
    ours, theirs = committed(tmp_path / "run"), committed(made)
    names = [name for name in ours if name.startswith("removals/")]
    assert names == ["removals/00000.parquet"]
    assert all(ours[name] == theirs[name] for name in names)


def test_renamed_files_change_no_byte_but_the_digest_of_the_table_that_names_them(made: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    for at, path in enumerate(sorted(corpus.iterdir())):
        shutil.copy(path, tmp_path / f"code/{99 - at}.parquet")
    run_dedup(settings(tmp_path / "code"), tmp_path / "run")
    ours, theirs = committed(tmp_path / "run"), committed(made)
    manifests = [json.loads(each.pop("manifest.json")) for each in (ours, theirs)]
    assert ours == theirs
    digests = [each.pop("upstream") for each in manifests]
    assert manifests[0] == manifests[1]
    assert digests[0]["signatures"] == digests[1]["signatures"]


SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_dedup_identity import ENGINE, with_bytes
from pipelines.dedup import dedup
from pipelines.recipe import Recipe
dedup(with_bytes(Recipe(**json.loads(sys.argv[3])), int(sys.argv[4])), sys.argv[2], "", ENGINE)
"""


def kill_after(run_dir: Path, values: dict[str, Any], size: int, receipts: int) -> None:
    """Runs dedup in a process of its own, which is killed when it has left so many more receipts."""
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(run_dir), json.dumps(values), str(size)]
    process = subprocess.Popen(command, start_new_session=True)
    before = count_receipts(run_dir)
    while process.poll() is None and count_receipts(run_dir) < before + receipts:
        time.sleep(0.005)
    assert process.poll() is None, "the stage ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def count_receipts(run_dir: Path) -> int:
    """os.walk, since folders vanish while it looks."""
    names = [name for folder, _, found in os.walk(run_dir / "dedup/.progress") if "work" not in folder for name in found]
    return sum(name[:8].isdigit() and name.endswith(".json") for name in names)


LAYOUTS: list[tuple[int, dict[str, Any]]] = [
    (100_000, {"components": "stars", "bands": 4, "star_rounds": 8}),
    (2**20, {"bands": 3}),
    (400_000, {"components": "scipy"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layouts", "kills", "receipts"), [(LAYOUTS[:1], 6, 50), (LAYOUTS, 5, 25)], ids=["the same", "other layouts"]
)
def test_a_killed_run_ends_with_the_same_bytes(
    made: Path, signed: Path, corpus: Path, layouts: Sequence[tuple[int, dict[str, Any]]], kills: int, receipts: int
) -> None:
    """`kill -9` at moments spread over the stage, then the same command, or one that cuts the work in another way."""
    for number in range(kills):
        size, exchange = layouts[number % len(layouts)]
        kill_after(signed, settings(corpus, **exchange), size, receipts)
        assert not (signed / "dedup/manifest.json").exists()
    size, exchange = layouts[kills % len(layouts)]
    dedup(with_bytes(Recipe(**settings(corpus, **exchange)), size), str(signed), "", ENGINE)
    assert committed(signed) == committed(made)


@pytest.mark.slow
def test_real_files_give_the_same_bytes_however_the_work_is_cut(corpora: Path, tmp_path: Path) -> None:
    recipe = load(str(CONFIG), [f"source.0.path={corpora / 'small'}", f"source.1.path={corpora / 'small' / 'nl'}"])
    curate(recipe, str(tmp_path / "one"), ENGINE)
    signatures(recipe, str(tmp_path / "one"), "", ENGINE)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    dedup(recipe, str(tmp_path / "one"), "", ENGINE)
    exchange = recipe.dedup.exchange.model_copy(update={"bytes": 2**20, "components": "stars"})
    cut = recipe.model_copy(update={"dedup": recipe.dedup.model_copy(update={"exchange": exchange})})
    dedup(cut, str(tmp_path / "two"), "", Engine(("--direct_running_mode=multi_processing", "--direct_num_workers=2"), QUIET))
    assert committed(tmp_path / "one") == committed(tmp_path / "two")
    assert len(removals(tmp_path / "one")) >= 50

"""The whole line with its input and its output on a store: the same bytes as on a disk."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from faults import Fault, slow_down
from stores import Store

from contracts.errors import OutputError, StageError
from pipelines import storage
from pipelines.curate import curate
from pipelines.dedup import dedup
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.stats import collect
from pipelines.storage import join, read_bytes, write_bytes
from pipelines.tokenizer import tokenizer
from pipelines.verify import verify

sys.path.append(str(Path(__file__).parents[1] / "pipelines"))

from made_up_corpus import recipe_values, write_corpus

IN_MEMORY = ("--direct_running_mode=in_memory",)

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), documents=80)


@pytest.fixture(scope="module")
def on_disk(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of a run from disk to disk."""
    run_dir = str(tmp_path_factory.mktemp("run"))
    run(str(corpus), run_dir, {})
    return digests(run_dir)


def recipe(corpus: str) -> Recipe:
    values = recipe_values(Path("CORPUS"))
    for source in values["source"]:
        source["path"] = source["path"].replace("CORPUS", corpus)
    return Recipe(**values)


def run(corpus: str, run_dir: str, options: dict[str, dict[str, object]]) -> None:
    engine = Engine(IN_MEMORY, QUIET, storage=options)
    curate(recipe(corpus), run_dir, engine)
    for stage in (dedup, tokenizer, shard):
        stage(recipe(corpus), run_dir, "", engine)


def digests(run_dir: str) -> dict[str, str]:
    """sha256 of every file that other people use: all but manifests and the tables of where inputs lay."""
    wanted = [name for name in storage.files_below(run_dir) if not name.endswith(("manifest.json", "inputs.parquet"))]
    return {name: hashlib.sha256(read_bytes(join(run_dir, name))).hexdigest() for name in wanted}


def put(corpus: Path, base: str) -> str:
    """The corpus on a store."""
    for path in sorted(corpus.rglob("*.*")):
        write_bytes(join(base, path.relative_to(corpus).as_posix()), path.read_bytes())
    return base


@pytest.mark.parametrize("store", ["memory", "s3", "gs"], indirect=True)
def test_a_run_on_a_store_gives_the_same_bytes(store: Store, corpus: Path, on_disk: dict[str, str]) -> None:
    there, run_dir = put(corpus, join(store.base, "corpus")), join(store.base, "run")
    run(there, run_dir, store.options)
    assert digests(run_dir) == on_disk
    assert storage.abort_uploads(store.base) == 0
    before = {name: read_bytes(join(run_dir, name)) for name in storage.files_below(run_dir)}
    run(there, run_dir, store.options)
    assert {name: read_bytes(join(run_dir, name)) for name in storage.files_below(run_dir)} == before, "nothing is done twice"
    assert verify(run_dir, QUIET) == []
    assert sum(row["in"] for row in collect(run_dir)["sources"].values()) == 140


@pytest.mark.slow
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_worker_processes_are_told_where_the_store_is(store: Store, corpus: Path, on_disk: dict[str, str]) -> None:
    there, run_dir = put(corpus, join(store.base, "corpus")), join(store.base, "run")
    workers = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    curate(recipe(there), run_dir, Engine(workers, QUIET, storage=store.options))
    assert digests(run_dir) == {name: digest for name, digest in on_disk.items() if name.startswith("curate/")}


@pytest.mark.slow
@pytest.mark.parametrize("faulty", ["s3"], indirect=True)
def test_a_store_that_stumbles_and_then_falls_changes_no_byte(faulty: Store, corpus: Path, on_disk: dict[str, str]) -> None:
    """Every seventh request fails in some way, until nothing can be written any more; then the same command goes on."""
    store = faulty.with_patience()
    there, run_dir = put(corpus, join(store.base, "corpus")), join(store.base, "run")
    stumbling = [Fault("run/", "cut", every=15), Fault("run/", "lose answer", every=16), replace(slow_down("run/"), every=7)]
    falling = Fault("PUT .*run/dedup/.*/describe/", "cut", after=3)
    faulty.faulty.set(falling, *stumbling)
    with pytest.raises(OutputError, match=r"Cannot write s3://.*failed, again and again"):
        run(there, run_dir, store.options)
    assert all(fault.spoilt for fault in stumbling)
    faulty.faulty.set(*stumbling)
    with pytest.raises(StageError, match="no finished 'dedup' stage"):
        storage.read_manifest(join(run_dir, "dedup"))
    run(there, run_dir, store.options)
    faulty.faulty.set()
    assert digests(run_dir) == on_disk
    assert verify(run_dir, QUIET) == []
    assert storage.abort_uploads(run_dir) == 0

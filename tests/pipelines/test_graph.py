"""What is sent to an engine: small whatever the corpus, keyed by bytes, and never a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from made_up_corpus import recipe_values, write_corpus
from run_the_line import QUIET, run

from pipelines.engine import Engine
from pipelines.recipe import Recipe

STAGES = ["survey", "curate", "signatures", "dedup", "tokenizer", "shard"]


class SpyingEngine(Engine):
    """Keeps the graph of each stage that it runs."""

    graphs: dict[str, Any]

    def _submit(self, pipeline: beam.Pipeline, stage: Any, session: Any) -> None:
        self.graphs[stage.name] = pipeline.to_runner_api()
        super()._submit(pipeline, stage, session)


def graphs_of(corpus: Path, run_dir: Path, **settings: Any) -> dict[str, Any]:
    engine = SpyingEngine(("--direct_running_mode=in_memory",), QUIET)
    object.__setattr__(engine, "graphs", {})
    run(Recipe(**(recipe_values(corpus) | settings)), run_dir, engine)
    return engine.graphs


@pytest.fixture(scope="module")
def graphs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return graphs_of(corpus, tmp_path_factory.mktemp("graphs"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_graph_comes_back_from_its_wire_form(graphs: dict[str, Any], stage: str) -> None:
    again = beam.Pipeline.from_runner_api(graphs[stage], None, beam.options.pipeline_options.PipelineOptions()).to_runner_api()
    assert len(again.components.transforms) == len(graphs[stage].components.transforms)


@pytest.mark.parametrize("stage", STAGES)
def test_every_shuffle_is_keyed_by_bytes(graphs: dict[str, Any], stage: str) -> None:
    components = graphs[stage].components
    shuffles = [each for each in components.transforms.values() if each.spec.urn == "beam:transform:group_by_key:v1"]
    assert len(shuffles) >= 4
    for shuffle in shuffles:
        (pcollection,) = shuffle.inputs.values()
        coder = components.coders[components.pcollections[pcollection].coder_id]
        assert coder.spec.urn == "beam:coder:kv:v1", shuffle.unique_name
        assert components.coders[coder.component_coder_ids[0]].spec.urn == "beam:coder:bytes:v1", shuffle.unique_name
    assert not any(each.spec.urn == "beam:transform:reshuffle:v1" for each in components.transforms.values())


@pytest.mark.parametrize("stage", STAGES)
def test_no_element_is_more_than_a_number_or_a_block(graphs: dict[str, Any], stage: str) -> None:
    """Numbers, bytes, and pairs of these: nothing that could hold a document but the blocks of the dedup exchange."""
    components = graphs[stage].components
    simple = {"beam:coder:bytes:v1", "beam:coder:varint:v1", "beam:coder:kv:v1", "beam:coder:iterable:v1"}
    for pcollection in components.pcollections.values():
        found = [pcollection.coder_id]
        while found:
            coder = components.coders[found.pop()]
            assert coder.spec.urn in simple, (pcollection.unique_name, coder.spec.urn)
            found += coder.component_coder_ids


def test_a_graph_is_of_one_size_whatever_the_corpus(graphs: dict[str, Any], tmp_path: Path) -> None:
    """Three times the documents in six times the parts: only the digits of some numbers may differ."""
    more = graphs_of(write_corpus(tmp_path / "corpus", documents=600), tmp_path / "run", part_bytes=20_000)
    for stage in STAGES:
        here, there = graphs[stage].ByteSize(), more[stage].ByteSize()
        assert here < 200_000, stage
        assert abs(here - there) < 0.02 * here, (stage, here, there)

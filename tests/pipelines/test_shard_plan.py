"""What belongs to a shard: ranges and windows of the documents, whatever parts they lie in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpus import recipe_values
from run_the_line import QUIET, digests, kept_texts, run, texts_of

import pipelines.shard
import pipelines.shard_documents
from contracts.errors import ConfigError, InputError, ShardError, SpanmillError
from contracts.manifest import Manifest
from pipelines.engine import Engine
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.shard_plan import folder_name, plan_ranges
from pipelines.stats import collect
from pipelines.verify import verify
from sharding.check import documents
from sharding.loader import Loader
from sharding.shards import Shard, open_shards


def receipt(sizes: list[int]) -> dict:
    """What is counted of a part with one row group."""
    return {"groups": [[0, {"s": [len(sizes), sum(sizes)]}]] if sizes else []}


sizes = st.lists(st.lists(st.integers(0, 50), max_size=12), min_size=1, max_size=6)


@given(sizes, st.integers(1, 200))
def test_each_document_begins_in_one_range_which_knows_its_part(parts: list[list[int]], shard_bytes: int) -> None:
    ranges = plan_ranges([receipt(part) for part in parts], shard_bytes)
    at = 0
    for number, part in enumerate(parts):
        for size in part:
            mine = [each for each in ranges if each.start <= at < each.stop]
            assert len(mine) == 1
            assert number in [part for part, _, _ in mine[0].groups]
            at += size
    for each in ranges:
        assert all(at == sum(map(sum, parts[:part])) for part, _, at in each.groups)
    if ranges:
        assert len(ranges) == max(1, round(at / shard_bytes))
        assert sum(each.bytes for each in ranges) == at
        assert max(each.bytes for each in ranges) - min(each.bytes for each in ranges) <= 1


@given(sizes, st.integers(1, 200))
def test_ranges_do_not_depend_on_parts(parts: list[list[int]], shard_bytes: int) -> None:
    def bounds(parts: list[list[int]]) -> list[tuple[int, int]]:
        return [(each.start, each.stop) for each in plan_ranges([receipt(part) for part in parts], shard_bytes)]

    assert (
        bounds(parts) == bounds([[size for part in parts for size in part]]) == bounds([[size] for part in parts for size in part])
    )


@pytest.mark.parametrize("name", ["../../etc", "C++\n", "a" * 41, "", "Ünïcode", "a/b"])
def test_a_hostile_language_is_no_path(name: str) -> None:
    assert folder_name(name).startswith("other-")
    assert folder_name("c++") == "c++"
    assert folder_name(folder_name(name)) != folder_name(name), "no language can be named like another's folder"


def shards_of(made: Path, folder: Path, engine: Engine, corpus: Path, **settings: object) -> Path:
    """The shard stage of a finished run, with other settings."""
    values = recipe_values(corpus)
    values["shard"] = {**values["shard"], **settings}
    shard(Recipe(**values), str(folder), str(made), engine)
    return folder / "shard"


def problems(made: Path, folder: Path) -> list[str]:
    """What `verify` finds in shards beside the stages that they were made from."""
    for name in ("survey", "curate", "signatures", "dedup", "tokenizer"):
        (folder / name).symlink_to(made / name)
    return verify(str(folder), QUIET)


def test_part_sizes_change_no_shard(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    for part_bytes in (20_000, 10**6):
        run(Recipe(**{**recipe_values(corpus), "part_bytes": part_bytes}), tmp_path / str(part_bytes), engine)
    small, large = (digests(tmp_path / str(part_bytes) / "shard") for part_bytes in (20_000, 10**6))
    assert len(small) > 3
    assert small == large == digests(made / "shard")


def test_a_document_longer_than_a_piece_comes_back_whole(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines.shard_documents, "PIECE_BYTES", 700)
    cut = shards_of(made, tmp_path, engine, corpus, window_bytes=2_000)
    whole, pieces = (Manifest.from_json((each / "manifest.json").read_text(), "") for each in (made / "shard", cut))
    assert whole.totals["text_tokens"] == pieces.totals["text_tokens"]
    assert whole.totals["documents"] == pieces.totals["documents"]
    assert pieces.totals["rows"] > whole.totals["rows"], "windows as small as pieces are packed by themselves"
    assert problems(made, tmp_path) == []
    assert texts_of(cut, made) == texts_of(made / "shard", made) == kept_texts(made)


def test_strata_of_languages_and_held_out_documents(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    folder = shards_of(made, tmp_path, engine, corpus, strata="language", held_out=0.3, epochs=3)
    shards = open_shards(str(folder))
    assert {"code/java", "code/python"} <= set(shards.sources)
    assert shards.held_out("code/java") == "held_out/code/java"
    assert len(shards.passes("code/java")) == 3
    assert sum(shards.passes("code/java")) == shards.rows("code/java")
    loader = Loader(shards, held_out={"code/java": 2})
    assert len(loader.held_out_batch("code/java").input_ids) == 2
    by_stratum = collect(str(tmp_path))["shard"]["by_stratum"]
    assert by_stratum["held_out/code/java"]["documents"] > 0
    assert by_stratum["code/java"]["documents"] % 3 == 0
    left = sum(row["documents"] for row in collect(str(tmp_path))["sources"].values())
    assert left == Manifest.from_json((made / "dedup/manifest.json").read_text(), "").totals["kept"], (
        "counted once, whatever the epochs"
    )


def test_epochs_hold_the_same_documents_differently_corrupted_and_packed(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine
) -> None:
    folder = shards_of(made, tmp_path, engine, corpus, epochs=2)
    entries = open_shards(str(folder)).strata["code"].entries
    half = len(entries) // 2
    files = [(folder / entry.path).read_bytes() for entry in entries]
    assert half > 0
    opened = [Shard.open(str(path)) for path in sorted(folder.rglob("*.arrow"))]
    first, second = (documents(each for each in opened if each.metadata.epoch == epoch) for epoch in range(2))
    assert first.keys() == second.keys() == kept_texts(made).keys()
    assert len(set(files)) == len(files)
    totals = Manifest.from_json((folder / "manifest.json").read_text(), "").totals
    once = Manifest.from_json((made / "shard/manifest.json").read_text(), "").totals
    assert totals["documents"] == 2 * once["documents"]
    assert totals["header_tokens"] != 2 * once["header_tokens"], "headers are drawn anew"
    assert totals["text_tokens"] - totals["header_tokens"] == 2 * (once["text_tokens"] - once["header_tokens"])


WAYS: list[dict[str, object]] = [
    {"pack": "concat"},
    {"cut_at": "lines"},
    {"compression": "zstd"},
    {"shard_bytes": 10**6, "window_bytes": 20_000},
]


@pytest.mark.parametrize("settings", WAYS)
def test_other_ways_to_pack_are_sound(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine, settings: dict[str, object]
) -> None:
    folder = shards_of(made, tmp_path, engine, corpus, **settings)
    assert problems(made, tmp_path) == []
    assert texts_of(folder, made) == kept_texts(made)


def test_objectives_of_a_language_win_over_those_of_its_source(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    of = {"code": {"span_corruption": 1.0}, "code/java": {"causal": 1.0}}
    shards_of(made, tmp_path, engine, corpus, strata="language", objectives_of=of)
    strata = collect(str(tmp_path))["shard"]["by_stratum"]
    assert strata["code/java"]["objective_shares"]["causal"] == 1
    assert strata["code/python"]["objective_shares"]["span_corruption"] == 1


def test_objectives_of_nobody_are_refused(corpus: Path) -> None:
    values = recipe_values(corpus)
    with pytest.raises((ConfigError, ValueError), match=r"objectives_of.*nowhere"):
        Recipe(**{**values, "shard": {**values["shard"], "objectives_of": {"nowhere": {"causal": 1.0}}}})


@pytest.mark.parametrize("name", ["code/", "/python", ""])
def test_objectives_of_half_a_name_are_refused(corpus: Path, name: str) -> None:
    values = recipe_values(corpus)
    with pytest.raises(ValueError, match="names no source or language"):
        Recipe(**{**values, "shard": {**values["shard"], "objectives_of": {name: {"causal": 1.0}}}})


def test_objectives_of_a_source_that_the_corpus_has_not_got_are_refused(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine
) -> None:
    values = recipe_values(corpus)
    del values["source"]
    values["shard"] = {**values["shard"], "objectives_of": {"cod": {"causal": 1.0}}}
    with pytest.raises(ConfigError, match=r"unknown source in shard.objectives_of 'cod'\. Did you mean 'code'"):
        shard(Recipe(**values), str(tmp_path), str(made), engine)


def test_objectives_of_an_unknown_language_are_refused(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"unknown language in shard.objectives_of 'code/Python'. Did you mean 'code/python'"):
        shards_of(made, tmp_path, engine, corpus, objectives_of={"code/Python": {"causal": 1.0}})


def test_a_document_that_is_in_no_shard_stops_the_stage(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines.shard_documents, "strata_of", lambda table, source, *_: ([source], np.arange(table.num_rows) % 2))
    with pytest.raises(SpanmillError, match=r"documents lost: \d+ in 1 epochs"):
        shards_of(made, tmp_path, engine, corpus)


def test_weights_of_a_source_are_dealt_to_its_languages(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    shards = open_shards(str(shards_of(made, tmp_path, engine, corpus, strata="language")))
    assert shards.sources == ["code/java", "code/python", "prose/unknown"]
    mixture = Loader(shards, weights={"code": 3.0, "prose/unknown": 1.0}).mixture
    shares = {name: share / mixture.total for name, share in mixture.shares.items()}
    java, python = shards.rows("code/java"), shards.rows("code/python")
    wanted = {"code/java": 0.75 * java / (java + python), "code/python": 0.75 * python / (java + python), "prose/unknown": 0.25}
    assert shares == pytest.approx(wanted, abs=1e-6)


def test_when_all_is_held_out_the_loader_says_so(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    shards = open_shards(str(shards_of(made, tmp_path, engine, corpus, held_out=0.999999)))
    with pytest.raises(ShardError, match=r"no rows to train on: all \d+ are held out"):
        Loader(shards)


def test_a_corpus_of_which_nothing_is_left_is_refused(
    made: Path, tmp_path: Path, corpus: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = np.frombuffer(b"".join(sorted(kept_texts(made))), np.uint8).reshape(-1, 16)
    monkeypatch.setattr(pipelines.shard, "forgotten_ids", lambda *_: everything)
    with pytest.raises(
        InputError, match=rf"no document to make shards of: dedup left {len(everything)}, and {len(everything)} are on"
    ):
        shards_of(made, tmp_path, engine, corpus)
    assert not (tmp_path / "shard/manifest.json").exists()


def test_what_cannot_be_made_leaves_the_shards_that_are_there(made: Path, tmp_path: Path, corpus: Path, engine: Engine) -> None:
    folder = shards_of(made, tmp_path, engine, corpus)
    before = digests(folder)
    with pytest.raises(ConfigError, match="unknown language"):
        shards_of(made, tmp_path, engine, corpus, objectives_of={"code/Python": {"causal": 1.0}})
    values = recipe_values(corpus)
    values["shard"] |= {"context_length": 1024, "span_corruption": {"max_spans": 41}}
    values["tokenizer"]["masks"] = 41  # the one that was made has 40
    with pytest.raises(ShardError, match=r"span_corruption.max_spans = 41, but the tokenizer has only 40 <mask_i> tokens"):
        shard(Recipe(**values), str(tmp_path), str(made), engine)
    assert digests(folder) == before

"""What `stats` prints is what its headings say, in units that show it, and it warns of what was surely not meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cells import sized, some
from pipelines.plots import _dropped, _mixture
from pipelines.shard_plan import folder_name
from pipelines.stats import collect
from pipelines.stats_warnings import warnings
from pipelines.tables import show

Row = dict[str, Any]


@pytest.fixture
def altered(made: Path, tmp_path: Path) -> Callable[..., Row]:
    """What is collected of a run whose manifests were altered, by stage."""

    def collected(**alter: Callable[[Row], None]) -> Row:
        for stage in ("curate", "dedup", "tokenizer", "shard"):
            manifest = json.loads((made / stage / "manifest.json").read_text())
            if stage in alter:
                alter[stage](manifest)
            (tmp_path / stage).mkdir()
            (tmp_path / stage / "manifest.json").write_text(json.dumps(manifest))
        return collect(str(tmp_path))

    return collected


def printed(found: Row, capsys: pytest.CaptureFixture[str]) -> str:
    show(found, [])
    return capsys.readouterr().out


def rows_of(text: str, title: str) -> list[list[str]]:
    """The rows of a printed table, its header first; columns lie two blanks apart."""
    block = text.split(f"\n{title}", 1)[1].split("\n\n", 1)[0]
    return [re.split(r" {2,}", line.strip()) for line in block.split("\n")[1:] if line.strip()]


def two_epochs(manifest: Row) -> None:
    """As if all had been made twice."""
    manifest["config"]["epochs"] = 2
    for counts in manifest["statistics"]["strata"].values():
        for name, value in counts.items():
            counts[name] = 2 * value if isinstance(value, int) else value


def test_tokens_are_those_of_one_pass(made: Path, altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    once, twice = collect(str(made)), altered(shard=two_epochs)
    for source, row in once["sources"].items():
        again = twice["sources"][source]
        by_language = [each["tokens"] for name, each in twice["languages"].items() if name.split("/")[0] == source]
        assert again["tokens"] == row["tokens"] == sum(by_language)
        assert (again["rows"], again["tokens_in_rows"]) == (2 * row["rows"], 2 * row["tokens_in_rows"])
        assert row["tokens_in_rows"] == row["rows"] * (once["shard"]["context_length"] + 1)
        assert again["bytes_per_token"] == row["bytes_per_token"] == row["unique_bytes"] / row["tokens"]
    text = printed(twice, capsys)
    header, code, prose = rows_of(text, "Documents by source; tokens of one pass, rows of all 2 epochs")
    assert header[5:] == ["size", "tokens", "bytes/token", "rows", "tokens in rows", "padding"]
    assert code[6] == f"{once['sources']['code']['tokens']:,}"
    assert prose[5] == sized(once["sources"]["prose"]["unique_bytes"])
    assert prose[5].endswith(" kB")
    title = "Shards by stratum: best-fit, cut at tokens; text, headers and control are tokens of all 2 epochs"
    assert rows_of(text, title)[0][2:5] == ["text", "headers", "control"]


def test_objectives_that_a_source_does_not_use_have_no_row(altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    def other_objectives(manifest: Row) -> None:
        strata = manifest["statistics"]["strata"]
        for source, objective in (("code", "fim"), ("code", "prefix_lm"), ("prose", "chat")):
            strata[source]["objectives"][objective]["examples"] = 5
        fim = {
            "psm": 5,
            "spm": 0,
            "untransformed": 0,
            "masked_tokens": 50,
            "grown_tokens": 0,
            "cut_position_histogram": [5] + [0] * 19,
        }
        strata["code"]["corruption"]["fim"] = fim
        strata["prose"]["corruption"]["fim"] = {name: [0] * 20 if isinstance(value, list) else 0 for name, value in fim.items()}
        strata["code"]["corruption"]["prefix_lm"] = {"examples": 5, "prefix_share_histogram": [5] + [0] * 19}
        strata["prose"]["corruption"]["prefix_lm"] = {"examples": 0, "prefix_share_histogram": [0] * 20}
        strata["code"]["corruption"]["chat"] = {"examples": 0, "examples_without_targets": 0}
        strata["prose"]["corruption"]["chat"] = {"examples": 5, "examples_without_targets": 1}

    found = altered(shard=other_objectives)
    text = printed(found, capsys)
    assert [row[0] for row in rows_of(text, "Filling in the middle")[1:]] == ["code"]
    assert [row[0] for row in rows_of(text, "Prefix language modelling")[1:]] == ["code"]
    assert rows_of(text, "Chats")[1:] == [["prose", "5", "1"]]
    assert "Warning" not in text


def test_chats_without_any_answer_are_warned_of(altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    def all_without(manifest: Row) -> None:
        manifest["statistics"]["strata"]["prose"]["corruption"]["chat"] = {"examples": 5, "examples_without_targets": 5}

    text = printed(altered(shard=all_without), capsys)
    assert "Warning  Source 'prose': none of its 5 chat examples has a target, so nothing is learned from them." in text


def test_a_vocabulary_that_became_small_is_warned_of(
    made: Path, altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(warnings(collect(str(made)))) == []

    def asked(manifest: Row) -> None:
        manifest["config"]["vocab_size"] = 51_200

    found = altered(tokenizer=asked)
    text = printed(found, capsys)
    unused = found["tokenizer"]["report"]["unseen_tokens"]
    assert "Warning  The vocabulary has 900 ids, though 51,200 were asked for" in text
    assert f"{unused} tokens of the vocabulary occur nowhere in it" in text
    assert "900 of 51,200 asked for" in text


def test_a_language_that_cannot_be_a_folder_has_its_name(altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    name = "Emacs\x1b[31m Lisp"
    folder = folder_name(name)

    def odd(manifest: Row) -> None:
        statistics = manifest["statistics"]
        statistics["languages"]["prose"] = {name: statistics["languages"]["prose"]["unknown"]}
        counts = statistics["strata"].pop("prose")
        statistics["strata"] |= {f"prose/{folder}": counts, f"held_out/prose/{folder}": counts}

    found = altered(shard=odd)
    assert found["shard"]["languages_of_strata"] == {f"prose/{folder}": name, f"held_out/prose/{folder}": name}
    text = printed(found, capsys)
    assert [row[0] for row in rows_of(text, "Shards by stratum")[1:]] == [
        "code", "held_out/prose/Emacs�[31m Lisp", "prose/Emacs�[31m Lisp",
    ]  # fmt: skip
    assert rows_of(text, "Folders of strata whose language has no plain name")[1:] == [
        ["held_out/prose/Emacs�[31m Lisp", f"held_out/prose/{folder}"],
        ["prose/Emacs�[31m Lisp", f"prose/{folder}"],
    ]


def test_names_of_sources_keep_their_letters(altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    found = altered()
    losses = {"source/python_code": 1.5, "span_corruption": 2.5}
    totals = {"parameters": 1, "steps": 1, "tokens": 1}
    found["train"] = {"totals": totals, "statistics": {"unigram_entropy": 6.5, "train_losses": losses, "eval_losses": {}}}
    text = printed(found, capsys)
    assert "source/python_code " in text
    assert "span corruption " in text


def test_checks_say_whether_they_drop_or_quarantine(altered: Callable[..., Row], capsys: pytest.CaptureFixture[str]) -> None:
    def lost(manifest: Row) -> None:
        manifest["statistics"]["checks"]["prose"] = {"chat": 7}

    text = printed(altered(curate=lost), capsys)
    rows = rows_of(text, "Why documents were not kept")
    assert [row[:2] for row in rows] == [["check", "outcome"], ["license", "dropped"], ["chat", "quarantined"]]


def test_plots_say_what_they_show(altered: Callable[..., Row]) -> None:
    from matplotlib.figure import Figure

    def lost(manifest: Row) -> None:
        manifest["statistics"]["checks"]["prose"] = {"chat": 7}
        manifest["statistics"]["sources"]["prose"]["unknown"]["quarantined"] = 7

    found = altered(curate=lost)
    figure = Figure()
    _mixture(figure, found)
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["code/python", "code/java", "prose/unknown"]
    tokens = sum(row["tokens"] for row in found["sources"].values())
    assert axes.get_title() == f"What the shards are made of: {tokens:,} tokens, by source and language"
    assert axes.get_xlabel() == "text tokens of one pass over the documents, thousands"
    figure = Figure()
    _dropped(figure, found)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "left", "duplicate", "quarantined: chat", "dropped: license",
    ]  # fmt: skip
    ends = [patch.get_x() + patch.get_width() for patch in axes.containers[-1]]
    assert ends == pytest.approx([100, 100])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (47_200, "47.2 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB"),
        (1_500_000_000, "1.5 GB"), (2 * 10**15, "2,000.0 TB"),
    ],
)  # fmt: skip
def test_sizes_are_in_the_unit_that_shows_them(size: int, words: str) -> None:
    assert sized(size) == words


def test_one_of_a_thing_is_one() -> None:
    counts = [
        some(0, "row"),
        some(1, "row"),
        some(2_000, "row"),
        some(1, "repository", "repositories"),
        some(2, "repository", "repositories"),
    ]
    assert counts == ["0 rows", "1 row", "2,000 rows", "1 repository", "2 repositories"]

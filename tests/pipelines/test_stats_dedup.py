"""What `stats` says of duplicates, from a made-up manifest: the numbers of one are in its tables, its JSON and its plot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.markup import render

from contracts.manifest import Manifest
from pipelines.cells import bar, escape, printable, shorten
from pipelines.dedup_tables import dedup_tables
from pipelines.plots import draw
from pipelines.stats import collect
from pipelines.tables import show

CAUSES = ("exact", "near", "reference")

HOSTILE = "\x1b[31mred\x1b]0;title\x07[red]x[/red]\u202e\x9b1m:bug:"
"""Colours, a window's title, markup, a turned direction of writing, a one-letter escape sequence, an emoji's name."""


def cell(documents: int, exact: int, near: int, reference: int) -> dict[str, int]:
    """What the manifest holds of a language; a document has 2 MB."""
    removed = exact + near + reference
    counts = {"in": documents, "removed": removed, "exact": exact, "near": near, "reference": reference}
    return {**counts, "bytes_in": 2_000_000 * documents, "bytes_kept": 2_000_000 * (documents - removed)}


def cluster(documents: int, **known: str) -> dict[str, Any]:
    keeper = {"keeper_id": "00" * 15 + "7f", "source": "code", "language": "python", "repo": "", "path": "", "reference": ""}
    return {"documents": documents, **keeper, **known}


def languages(cells: dict[str, dict[str, dict[str, int]]]) -> Manifest:
    """A manifest with these languages of these sources, whose other numbers agree with them."""
    every = [each for of_source in cells.values() for each in of_source.values()]
    totals = {name: sum(each[name] for each in every) for name in cell(0, 0, 0, 0)}
    totals["kept"] = totals["in"] - totals["removed"]
    near, pairs = totals["near"] + totals["reference"], 2 * totals["near"]
    totals |= {"candidate_pairs": 10 * pairs, "measured_pairs": 3 * pairs, "verified_pairs": pairs}
    statistics = {
        "sources": cells,
        "part_bytes": {"documents/00000.parquet": totals["bytes_kept"]},
        "source_bytes": {},
        "jaccard_histogram": [0] * 14 + [near, 0, 0, 0, 0, totals["exact"]],
        "cluster_size_log2_histogram": [0] * 32,
        "largest_clusters": [],
        "bands": 4,
        "rows": 5,
        "expected_recall_at_threshold": 0.52069,
        "expected_recall": 0.754321,
        "measured_recall": 0.8,
        "hits_histogram": [0, 0, 0, pairs],
    }
    return Manifest("dedup", {"threshold": 0.7, "verify": "exact", "num_perm": 256}, 1, {}, {}, totals, statistics)


def made_up() -> Manifest:
    """Two sources, three languages, and clusters of 2, 5 and 1,234 documents."""
    python, java = cell(100_000, 1_234, 2_345, 0), cell(5_000, 11, 222, 33)
    manifest = languages({"code": {"python": python, "java": java}, "prose": {"en": cell(900, 0, 7, 0)}})
    manifest.statistics["cluster_size_log2_histogram"][1:11] = [567, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    manifest.statistics["largest_clusters"] = [
        cluster(1_234, repo="torvalds/linux", path="drivers/net/one.c", language="c"),
        cluster(5, path="solution.py", reference="humaneval"),
        cluster(2, source="prose", language=""),
    ]
    manifest.statistics["hits_histogram"] = [21, 43, 1_000, 4_084]
    return manifest


def written(manifest: Manifest, run_dir: Path) -> dict[str, Any]:
    (run_dir / "dedup").mkdir(parents=True)
    (run_dir / "dedup/manifest.json").write_text(manifest.to_json())
    return collect(str(run_dir))


def printed(found: dict[str, Any], capsys: pytest.CaptureFixture[str], plots: tuple[str, ...] = ()) -> str:
    show(found, plots)
    return capsys.readouterr().out


def rows_of(text: str, title: str) -> list[list[str]]:
    """The rows of a printed table, its header first; columns lie two blanks apart."""
    block = text.split(f"\n{title}", 1)[1].split("\n\n", 1)[0]
    return [re.split(r" {2,}", line.strip()) for line in block.split("\n")[1:] if line.strip()]


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    return written(made_up(), tmp_path / "run")


def test_all_that_was_counted_is_collected(found: dict[str, Any]) -> None:
    dedup, manifest = found["dedup"], made_up()
    wanted = manifest.statistics.keys() - {"sources", "part_bytes", "source_bytes"}
    assert {name: dedup[name] for name in wanted} == {name: manifest.statistics[name] for name in wanted}
    assert {name: dedup[name] for name in manifest.config} == manifest.config
    assert dedup["totals"] == manifest.totals
    assert dedup["by_source"]["code"] == cell(105_000, 1_245, 2_567, 33)
    assert dedup["by_language"] == {
        "code/java": cell(5_000, 11, 222, 33),
        "code/python": cell(100_000, 1_234, 2_345, 0),
        "prose/en": cell(900, 0, 7, 0),
    }
    json.dumps(found, allow_nan=False)


def test_rows_of_sources_and_languages_tell_causes(found: dict[str, Any]) -> None:
    row = {"duplicates": 3_845, "exact": 1_245, "near": 2_567, "reference": 33, "duplicate_rate": 3_845 / 105_000}
    assert row.items() <= found["sources"]["code"].items()
    row = {"duplicates": 266, "exact": 11, "near": 222, "reference": 33, "duplicate_rate": 266 / 5_000}
    assert row.items() <= found["languages"]["code/java"].items()
    for rows in (found["sources"], found["languages"]):
        assert all(row["duplicates"] == sum(row[cause] for cause in CAUSES) for row in rows.values())


def test_sources_are_printed_by_cause(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert rows_of(printed(found, capsys), "Duplicates by source and cause") == [
        ["source", "in", "exact", "near", "reference", "removed", "left", "size left"],
        ["code", "105,000", "1,245", "2,567", "33", "3.7%", "101,155", "202.3 GB"],
        ["prose", "900", "0", "7", "0", "0.8%", "893", "1.8 GB"],
        ["all", "105,900", "1,245", "2,574", "33", "3.6%", "102,048", "204.1 GB"],
    ]


def test_languages_are_printed_by_share(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Without prose/en, whose seven duplicates are less than 1% of all."""
    assert rows_of(printed(found, capsys), "Duplicates by language, the largest shares")[1:] == [
        ["code/java", "5,000", "11", "222", "33", "5.3%", "4,734", "9.5 GB"],
        ["code/python", "100,000", "1,234", "2,345", "0", "3.6%", "96,421", "192.8 GB"],
    ]


def test_of_many_languages_ten_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = {f"language{i}": cell(100, 0, 10 + i, 0) for i in range(25)}
    text = printed(written(languages({"code": cells}), tmp_path / "run"), capsys)
    rows = rows_of(text, "Duplicates by language, the largest shares of 25 with at least 1% of all duplicates")[1:]
    assert [row[0] for row in rows] == [f"code/language{i}" for i in range(24, 14, -1)]


def test_one_language_a_source_is_not_printed_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(written(languages({"prose": {"en": cell(10, 1, 1, 0)}}), tmp_path / "run"), capsys)
    assert "Duplicates by source" in text
    assert "Duplicates by language" not in text


def test_largest_clusters_are_printed_with_what_was_kept(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert rows_of(printed(found, capsys), "Largest clusters") == [
        ["documents", "source/language", "kept"],
        ["1,234", "code/c", "torvalds/linux: drivers/net/one.c"],
        ["5", "reference humaneval/python", "solution.py"],
        ["2", "prose/unknown", f"document {'00' * 15}7f"],
    ]


def test_histograms_are_printed_without_empty_ends(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(printed(found, capsys), "Similarity to the keeper")
    assert rows[1] == ["0.70–0.75", "2,607", "█" * 24, "2–3", "567", "█" * 24]
    assert rows[2] == ["4–7", "1", "▏"]
    assert rows[-1] == ["1,024–2,047", "1", "▏"]
    assert len(rows) == 11


def test_recall_and_pairs_are_printed(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(found, capsys)
    assert "Search for near-duplicates: 4 bands × 5 rows, of 256 permutations" in text
    assert "52.07% of pairs at the threshold, 0.7; 75.43% of pairs as similar as those found" in text
    assert "at most 80.00%: of the pairs found, 21 met in one band only, 43 in two" in text
    assert "51,480 met in a band, 15,444 measured, 5,148 at or above the threshold" in text


@pytest.mark.parametrize(
    ("recall", "words"), [(0.99, "99.00%"), (0.99985, "99.98%"), (0.999916, "99.9916%"), (0.999999, "99.9999%"), (1.0, "100%")]
)
def test_little_that_is_missed_is_not_rounded_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recall: float, words: str
) -> None:
    manifest = made_up()
    manifest.statistics["measured_recall"] = recall
    assert f"at most {words}:" in printed(written(manifest, tmp_path / "run"), capsys)


def test_estimates_are_not_called_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = made_up()
    manifest.config["verify"] = "estimate"
    assert "15,444 estimated, 5,148 at or above the threshold" in printed(written(manifest, tmp_path / "run"), capsys)


def test_names_from_the_corpus_are_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = languages({"code": {HOSTILE: cell(10, 1, 2, 3), "$\\frac{x$": cell(10, 1, 2, 3), "漢" * 99: cell(9, 1, 1, 1)}})
    manifest.statistics["largest_clusters"] = [
        cluster(9, repo=HOSTILE, path="a.py", language=HOSTILE, reference=HOSTILE),
        cluster(8, path=f"src/{HOSTILE}\\"),
        cluster(7, path="漢" * 500 + "/last.py"),
        cluster(6, path="a" + "\u0301" * 10_000),
    ]
    found = written(manifest, tmp_path / "run")
    text = printed(found, capsys, tuple(draw(found, str(tmp_path / "run"))))
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "src/�[31mred�]0;title�[red]x[/red]��1m:bug:\\" in text
    assert "漢/last.py" in text
    assert max(cell_len(line) for line in text.split("\n")) <= 120
    assert max(len(line) for line in text.split("\n")) <= 240  # of the 10,000 accents that take no room


def test_large_counts_and_long_names_fit_into_120_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    million = 10**6
    cells = {"n" * 64: {"l" * 80: cell(400 * million, 90 * million, 80 * million, 70 * million), "c": cell(9, 1, 1, 1)}}
    manifest = languages(cells)
    manifest.statistics["cluster_size_log2_histogram"][1:31] = [234_567_890] * 30
    manifest.statistics["largest_clusters"] = [cluster(123_456_789, source="n" * 64, repo="r" * 90, path="p" * 300)]
    found = written(manifest, tmp_path / "run")
    for table in dedup_tables(found, 120):
        assert all(len(list(column.cells)) == table.row_count for column in table.columns)
    text = printed(found, capsys).split("Duplicates by source", 1)[1]
    assert max(cell_len(line) for line in text.split("\n")) <= 120
    assert "400,000,000" in text  # nothing was folded
    assert "123,456,789" in text
    assert "536,870,912–1,073,741,823" in text


def test_nothing_was_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = languages({"code": {"python": cell(12, 0, 0, 0), "java": cell(3, 0, 0, 0)}})
    manifest.statistics.update(expected_recall=1.0, measured_recall=1.0)
    found = written(manifest, tmp_path / "run")
    text = printed(found, capsys, tuple(draw(found, str(tmp_path / "run"))))
    assert rows_of(text, "Duplicates by source")[1] == ["code", "15", "0", "0", "0", "0.0%", "15", "30.0 MB"]
    for absent in ("Duplicates by language", "Largest clusters", "Similarity"):
        assert absent not in text
    assert "nothing was found to measure it by" in text


def test_there_was_nothing_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = written(languages({}), tmp_path / "run")
    text = printed(found, capsys, tuple(draw(found, str(tmp_path / "run"))))
    assert "0 met in a band, 0 measured, 0 at or above the threshold" in text
    json.dumps(found, allow_nan=False)


def test_a_run_without_dedup_says_nothing_of_it() -> None:
    assert dedup_tables({"sources": {}, "languages": {}}, 120) == []


def test_the_plot_is_written_and_the_same_each_time(found: dict[str, Any], tmp_path: Path) -> None:
    assert draw(found, str(tmp_path / "one")) == ["report/statistics.json", "report/duplicates.png"]
    draw(found, str(tmp_path / "two"))
    image = (tmp_path / "one/report/duplicates.png").read_bytes()
    assert image.startswith(b"\x89PNG")
    assert image == (tmp_path / "two/report/duplicates.png").read_bytes()
    assert json.loads((tmp_path / "one/report/statistics.json").read_text())["dedup"] == found["dedup"]


def test_the_plot_shows_the_numbers(found: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    from pipelines.dedup_plot import duplicates

    figure = Figure()
    duplicates(figure, found)
    similar, clusters, by_language, hits, _ = figure.axes
    assert [patch.get_height() for patch in similar.patches] == [0] * 14 + [2_607, 0, 0, 0, 0, 0]
    assert [patch.get_height() for patch in clusters.patches] == [567, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert [tick.get_text() for tick in by_language.get_yticklabels()] == ["python", "java", "en"]
    assert [patch.get_width() for patch in by_language.patches] == [1_234, 11, 0, 2_345, 222, 7, 0, 33, 0]
    assert [patch.get_height() for patch in hits.patches] == pytest.approx([21, 43, 1_000, 4_084, 5_148 / 4])
    assert figure.get_suptitle() == "Duplicates: 3,852 of 105,900 documents removed (3.6%)"


@given(st.text() | st.text("a\n漢\u0301☂\ufe0f\u200d👩"), st.integers(8, 40))
def test_names_are_shortened_to_their_room(name: str, width: int) -> None:
    short, whole = shorten(name, width), printable(name)
    assert short.isprintable()
    assert max(len(short), cell_len(short)) <= width
    assert short == whole or (whole.startswith(short.split("…")[0]) and whole.endswith(short.rsplit("…", 1)[1]))


@given(st.text() | st.text("[]/\\:abc"))
def test_escaped_names_are_no_markup(name: str) -> None:
    """All is read as it is, but for backslashes, of which rich takes or gives one where a tag might begin."""
    shown = render(escape(name), emoji=False)
    assert not shown.spans
    assert shown.plain.replace("\\", "") == printable(name).replace("\\", "")


def test_bars_grow_with_their_values() -> None:
    assert [bar(value, 80, 10) for value in (0, 1, 2, 8, 12, 80)] == ["", "▏", "▎", "█", "█▌", "██████████"]
    assert bar(1, 10**12, 10) == "▏"
    assert bar(0, 0, 10) == ""

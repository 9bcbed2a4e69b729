"""What `stats` prints of duplicates: where they were, why they are gone, what they were copies of, and how many were missed."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from rich.table import Table

from pipelines.cells import bar, counted, empty_table, escape, shorten, sized

LANGUAGES_SHOWN = 10
WORTH_SHOWING = 0.01
"""Share of all removals below which a language is left out: two copies among three files are no finding."""

NAME = 34
"""Cells of a name. With nine digits a count, the tables then fit into 120 columns."""

LONGEST_BAR = 24


def dedup_tables(found: dict[str, Any], width: int) -> list[Table]:
    """The tables in the order in which they are printed, on a terminal of `width` columns; none if the run was not deduplicated."""
    if "dedup" not in found:
        return []
    dedup: dict[str, Any] = found["dedup"]
    return [_sources(dedup), _languages(dedup), _clusters(dedup, width), _histograms(dedup, width), _search(dedup)]


def near_histogram(dedup: dict[str, Any]) -> list[int]:
    """`jaccard_histogram` without exact copies of this corpus, which are 1.0 by definition and would dwarf all the rest."""
    similar: list[int] = dedup["jaccard_histogram"]
    return [*similar[:-1], max(0, similar[-1] - dedup["totals"]["exact"])]


def filled(histogram: list[int]) -> range:
    """The bins from the first to the last that is not empty."""
    full = [index for index, value in enumerate(histogram) if value]
    return range(full[0], full[-1] + 1) if full else range(0)


def _sources(dedup: dict[str, Any]) -> Table:
    rows = dedup["by_source"]
    whole = [("all", dedup["totals"])] if len(rows) > 1 else []
    return _causes("Duplicates by source and cause", "source", [*rows.items(), *whole])


def _languages(dedup: dict[str, Any]) -> Table:
    """Those that lost the greatest share. Empty where it would only repeat the sources."""
    least = WORTH_SHOWING * dedup["totals"]["removed"]
    rows = [(name, row) for name, row in dedup["by_language"].items() if row["removed"] and row["removed"] >= least]
    rows.sort(key=lambda item: (-item[1]["removed"] / item[1]["in"], item[0]))
    more = f" of {len(rows)} with at least {WORTH_SHOWING:.0%} of all duplicates" if len(rows) > LANGUAGES_SHOWN else ""
    several = len(dedup["by_language"]) > len(dedup["by_source"])
    title = f"Duplicates by language, the largest shares{more}"
    return _causes(title, "source/language", rows[:LANGUAGES_SHOWN] if several else [])


def _causes(title: str, what: str, rows: list[tuple[str, dict[str, Any]]]) -> Table:
    result = empty_table(title, what, "in", "exact", "near", "reference", "removed", "left", "size left")
    for name, row in rows:
        causes = (counted(row[key]) for key in ("in", "exact", "near", "reference"))
        share = f"{row['removed'] / max(1, row['in']):.1%}"
        result.add_row(escape(shorten(name, NAME)), *causes, share, counted(row["in"] - row["removed"]), sized(row["bytes_kept"]))
    return result


def _clusters(dedup: dict[str, Any], width: int) -> Table:
    largest = dedup["largest_clusters"]
    cells = [(counted(each["documents"]), shorten(_origin(each), NAME)) for each in largest]
    taken = [max(len(row[column]) for row in [("documents", "source/language"), *cells]) for column in (0, 1)]
    room = max(16, width - sum(taken) - 4)
    result = empty_table(
        "Largest clusters, and the document of each that was kept", "documents", "source/language", "kept", left=(1, 2)
    )
    for each, (documents, origin) in zip(largest, cells, strict=True):
        result.add_row(documents, escape(origin), escape(shorten(_place(each), room)))
    return result


def _origin(cluster: dict[str, Any]) -> str:
    """Where a keeper is from, and whether that is another corpus than the run's."""
    corpus = f"reference {cluster['reference']}" if cluster["reference"] else cluster["source"]
    return f"{corpus}/{cluster['language'] or 'unknown'}"


def _place(cluster: dict[str, Any]) -> str:
    """Repository and path of a keeper; of one that has neither, its number."""
    return ": ".join(name for name in (cluster["repo"], cluster["path"]) if name) or f"document {cluster['keeper_id']}"


def _histograms(dedup: dict[str, Any], width: int) -> Table:
    """Two histograms side by side, without empty bins at their ends."""
    length = min(LONGEST_BAR, max(4, (width - 58) // 2))
    similar, sizes = near_histogram(dedup), dedup["cluster_size_log2_histogram"]
    left = [(f"{i / 20:.2f}–{(i + 1) / 20:.2f}", similar[i], max(similar)) for i in filled(similar)]
    right = [(f"{2**i:,}–{2 ** (i + 1) - 1:,}", sizes[i], max(sizes)) for i in filled(sizes)]
    title = "Similarity to the keeper, exact copies left out; documents in a cluster, the keeper included"
    result = empty_table(title, "similarity", "removed", "", "documents", "clusters", "", left=(0, 2, 5))
    for rows in zip_longest(left, right):
        cells: list[str] = []
        for row in rows:
            cells += ["", "", ""] if row is None else [row[0], counted(row[1]), bar(row[1], row[2], length)]
        result.add_row(*cells)
    return result


def _search(dedup: dict[str, Any]) -> Table:
    """How near-duplicates were looked for, and how many of them that finds."""
    totals, hits = dedup["totals"], dedup["hits_histogram"]
    title = f"Search for near-duplicates: {dedup['bands']} bands × {dedup['rows']} rows, of {dedup['num_perm']} permutations"
    result = empty_table(title, "", "", left=(0, 1), header=False)
    expected = f"{_recall(dedup['expected_recall_at_threshold'])} of pairs at the threshold, {dedup['threshold']:g}"
    if totals["verified_pairs"]:
        expected += f"; {_recall(dedup['expected_recall'])} of pairs as similar as those found"
        once, twice = (counted(each) for each in [*hits, 0][:2])
        measured = f"at most {_recall(dedup['measured_recall'])}: of the pairs found, {once} met in one band only, {twice} in two"
    else:
        measured = "nothing was found to measure it by"
    judged = "measured" if dedup["verify"] == "exact" else "estimated"
    result.add_row("recall, expected", expected)
    result.add_row("recall, measured", measured)
    result.add_row(
        "pairs",
        f"{counted(totals['candidate_pairs'])} met in a band, {counted(totals['measured_pairs'])} {judged}, "
        f"{counted(totals['verified_pairs'])} at or above the threshold",
    )
    return result


def _recall(share: float) -> str:
    """In per cent, with as many digits as it takes to tell it from a hundred."""
    return f"{share:.{2 if share < 0.9999 else 4}%}".replace("100.0000%", "100%")

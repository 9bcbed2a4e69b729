"""The truth that benchmarks/dedup_truth.py measures against, and what a tool's removals are worth by it.

docs.parquet holds n files, pairs.parquet every pair of them (i, j) whose exact Jaccard similarity is 0.5 or more. No file has fewer
words than a shingle, and equal files are pairs of similarity 1, so exact duplicates need no rule of their own: `read` refuses other
files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

WORD = re.compile(r"[A-Za-z_0-9]+")

NGRAM = 5
"""Words in a shingle of the truth."""


class Score(NamedTuple):
    """Counts of documents."""

    removed: int
    wrong: tuple[int, ...]
    """Removed documents that resemble no document that the tool kept."""
    chained: int
    """Wrong ones that resemble a document that was removed too; the others resemble none."""
    wanted: int
    """Documents that the greedy rule removes if it knows every pair."""
    found: int
    """Wanted ones that were removed."""
    left: int
    """Documents that the greedy rule would still remove from what was kept."""

    @property
    def precision(self) -> float:
        """Share of the removed documents that resemble a kept one."""
        return 1.0 - len(self.wrong) / self.removed if self.removed else 1.0

    @property
    def recall(self) -> float:
        """Share of the wanted documents that were removed."""
        return self.found / self.wanted


@dataclass(frozen=True)
class Truth:
    """All files, and who resembles whom."""

    texts: list[str]
    names: list[str]
    """Package and path, for people."""
    similar: Mapping[int, Mapping[int, float]]
    """similar[i][j]: Jaccard similarity where it is 0.5 or more, in both directions."""

    @staticmethod
    def read(folder: Path) -> Truth:
        """The files of a folder. Exits if they are not as the module's docstring says."""
        docs = pq.read_table(folder / "docs.parquet").to_pydict()
        names = [f"{repo}/{path}" for repo, path in zip(docs["max_stars_repo_name"], docs["max_stars_repo_path"], strict=True)]
        similar: dict[int, dict[int, float]] = defaultdict(dict)
        pairs = pq.read_table(folder / "pairs.parquet").to_pydict()
        for i, j, jaccard in zip(pairs["i"], pairs["j"], pairs["jaccard"], strict=True):
            similar[i][j] = similar[j][i] = jaccard
        truth = Truth(docs["content"], names, dict(similar))
        truth._check()
        return truth

    def above(self, document: int, threshold: float) -> set[int]:
        """Documents that resemble one."""
        return {other for other, jaccard in self.similar.get(document, {}).items() if jaccard >= threshold}

    def nearest(self, document: int, among: Set[int]) -> tuple[float, int]:
        """Similarity and number of the most similar document; (0, -1) where none reaches 0.5."""
        known = self.similar.get(document, {})
        return max(((jaccard, other) for other, jaccard in known.items() if other in among), default=(0.0, -1))

    def greedy(self, order: Sequence[int], threshold: float) -> set[int]:
        """What the rule removes: documents are visited in order, and one goes if it resembles one that has stayed."""
        stayed: set[int] = set()
        for document in order:
            if not self.above(document, threshold) & stayed:
                stayed.add(document)
        return set(order) - stayed

    def score(self, removed: Set[int], order: Sequence[int], threshold: float) -> Score:
        """What a tool's removals are worth. `order`: all documents, those to keep first."""
        kept = set(order) - removed
        wrong = sorted(each for each in removed if not self.above(each, threshold) & kept)
        wanted = self.greedy(order, threshold)
        return Score(
            removed=len(removed),
            wrong=tuple(wrong),
            chained=sum(bool(self.above(each, threshold)) for each in wrong),
            wanted=len(wanted),
            found=len(wanted & removed),
            left=len(self.greedy([each for each in order if each in kept], threshold)),
        )

    def _check(self) -> None:
        first: dict[str, int] = {}
        for number, text in enumerate(self.texts):
            equal = first.setdefault(text, number)
            if equal != number and self.similar.get(number, {}).get(equal) != 1.0:
                raise SystemExit(f"Files {equal} and {number} are equal, but no pair of similarity 1: they need a rule.")
            if len(WORD.findall(text)) < NGRAM:
                raise SystemExit(f"File {number} has fewer than {NGRAM} words: it needs a rule.")

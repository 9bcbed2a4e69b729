"""Which name of a run was probably meant by one that it does not know."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.named import Place, each_file, is_of, row_groups

GUESSED = 5
"""Names that are guessed at, at most: so many are shown."""

CUTOFF = 0.6
"""Least likeness of a guess, as difflib's own."""

COMPARED = 20_000
"""Names of the run that one asked for is compared with, at most, of those that share its last part, and as many of those that share its
first letters: 0.3 s."""

HEAD = 3
"""Letters that a name must share at its beginning to be compared, where it does not share its last part."""


@dataclass
class Guess:
    """The name of a run that is most like one that was asked for."""

    asked: str
    best: str = ""
    likeness: float = CUTOFF
    compared: int = COMPARED

    def __post_init__(self) -> None:
        """What difflib knows of its second string it keeps, so that is the name that was asked for."""
        self._matcher = SequenceMatcher(None, "", self.asked.casefold())
        self._left = {"last": self.compared, "head": self.compared}

    def offer(self, names: pa.Array) -> None:
        """Looks at more names of the run: those that share the last part of the one asked for, and those that share its first letters."""
        last = self.asked.rstrip("/").rsplit("/", 1)[-1] or self.asked
        alike = {
            "last": pc.match_substring(names, last, ignore_case=True),
            "head": pc.starts_with(names, self.asked[:HEAD], ignore_case=True),
        }
        for what, holds in alike.items():
            some = names.filter(holds)[: self._left[what]].to_pylist()
            self._left[what] -= len(some)
            for name in some:
                self._compare(name)

    def _compare(self, name: str) -> None:
        matcher = self._matcher
        matcher.set_seq1(name.casefold())
        if matcher.real_quick_ratio() > self.likeness and matcher.quick_ratio() > self.likeness:
            likeness = matcher.ratio()
            if likeness > self.likeness:
                self.best, self.likeness = name, likeness


def guess_repos(curate: str, repos: Collection[str]) -> dict[str, str]:
    """The repository that was probably meant by each; those that are like none are left out. Cost: one pass over a column."""
    guesses = [Guess(repo) for repo in sorted(repos)[:GUESSED]]
    _offer(curate, "repo", guesses)
    return {guess.asked: guess.best for guess in guesses if guess.best}


def guess_paths(curate: str, places: Collection[Place]) -> dict[Place, Place]:
    """The same of paths: of another path of the repository where it is known, of another repository where it is not."""
    some = sorted(places)[:GUESSED]
    repos = guess_repos(curate, {place.repo for place in some if place.repo})
    found = {
        place: Place(repos[place.repo], place.path)
        for place in some
        if repos.get(place.repo, place.repo).casefold() != place.repo.casefold()
    }
    guesses = {place: Guess(place.path) for place in some if place not in found}
    for repo in {place.repo for place in guesses}:
        _offer(curate, "path", [guess for place, guess in guesses.items() if place.repo == repo], repo)
    return found | {place: Place(place.repo, guess.best) for place, guess in guesses.items() if guess.best}


def did_you_mean(guess: str) -> str:
    """Words for a guess, or nothing."""
    return f" Did you mean {guess!r}?" if guess else ""


def _offer(curate: str, column: str, guesses: Collection[Guess], repo: str = "") -> None:
    """Offers the distinct names of a column of curate's documents; those of one repository, or of all."""
    if guesses:
        for parts in each_file(curate, partial(_distinct, column=column, repo=repo)):
            for names in parts:
                for guess in guesses:
                    guess.offer(names)


def _distinct(path: str, column: str, repo: str) -> Iterable[pa.Array]:
    return [
        pc.unique((table.filter(is_of(table["repo"], {repo.casefold()})) if repo else table)[column])
        for table, _ in row_groups(path, ("repo", "path") if repo else (column,))
    ]

"""Settings of the dedup stage."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.settings import Settings
from dedup.banding import strictest
from dedup.priority import MOST

Criterion = Literal["stars", "length", "license", "source"]
"""What documents are ranked by; see dedup/priority.py."""

SIGNATURE_SETTINGS = ("ngram", "num_perm", "seed", "lowercase", "non_ascii")
"""Those that decide a signature: signatures can be compared only where all of them are equal."""


class DedupSettings(Settings):
    """What counts as a near-duplicate, and how hard to look for it.

    Defaults follow BigCode's near-deduplication of The Stack: threshold 0.7, word 5-grams, 256 permutations, case kept. The banding
    does not, as theirs finds half of the pairs at the threshold; dedup/banding.py has the derivation.
    """

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Least Jaccard similarity of two documents' shingle sets at which one of them is removed."""

    ngram: int = Field(default=5, ge=1, le=64)
    """Words in a shingle. Documents with fewer words are never near-duplicates."""

    num_perm: int = Field(default=256, ge=2, le=4096)
    """Permutations, the length of a signature. Each costs 4 bytes a document; the time of a signature grows with it."""

    seed: int = Field(default=1, ge=0, lt=2**32)
    """Seed of datasketch's permutations (its own default is 1). Signatures of different seeds cannot be compared."""

    recall: float = Field(default=0.999, gt=0, lt=1)
    """Least share of pairs at exactly the threshold that must become candidates; more similar pairs are found more often."""

    banding: Literal["recall", "balanced"] = "recall"
    """How bands are chosen: "recall" as above, "balanced" as datasketch does (half of the pairs at the threshold are lost)."""

    bands: int | None = Field(default=None, ge=1)
    """Number of bands, given together with `rows`; overrides `recall` and `banding`."""

    rows: int | None = Field(default=None, ge=1)
    """Values in a band, given together with `bands`."""

    lowercase: bool = False
    """Whether A-Z count as a-z. Other letters keep their case."""

    non_ascii: bool = True
    """Whether characters beyond ASCII belong to words. If not, they separate words, as in BigCode's `[^A-Za-z_0-9]`, and
    translations of one file count as duplicates: the Persian and the Japanese formatRelative/index.js of date-fns 2.30.0 then have
    a similarity of 1.0 instead of 0.26."""

    verify: Literal["exact", "estimate"] = "exact"
    """Candidates whose estimated similarity is well below the threshold are dropped; "exact" measures all others on their shingle sets,
    "estimate" takes the estimate for the similarity: no text is read again, and a removal's similarity has a standard error of 0.03."""

    priority: list[Criterion] = Field(default=["stars", "length"], max_length=MOST)
    """Which of two similar documents stays, the first criterion that differs deciding; doc_id decides last. dedup/priority.py says how
    each compares."""

    license_order: list[str] = Field(default_factory=list)
    """SPDX expressions for the criterion "license", most wanted first."""

    source_order: list[str] = Field(default_factory=list)
    """Sources for the criterion "source", most wanted first; by default in the order of the recipe."""

    bucket_cap: int = Field(default=32, ge=1)
    """A document is paired with at most so many others of one LSH bucket, those of highest priority, and with a quarter as many from
    the bucket's 1,025th document on. Buckets up to this size give all their pairs; bigger ones, such as 10,000 variants of a licence,
    give pairs in proportion to their size, not to its square. Of 2,456 removals from 19,992 real files 32 loses none, 16 and 8 one
    each, 4 four."""

    estimate_sigmas: float = Field(default=5.0, ge=0)
    """A candidate is dropped unmeasured if its estimated similarity lies more than so many standard errors below the threshold.
    The standard error is sqrt(t (1 - t) / num_perm), 0.029 by default; 5 of them lose one pair at the threshold in 3 million."""

    @property
    def estimate_floor(self) -> float:
        """Least estimated similarity of candidates that are worth measuring; where estimates are final, the threshold."""
        if self.verify == "estimate":
            return self.threshold
        error = math.sqrt(self.threshold * (1.0 - self.threshold) / self.num_perm)
        return max(0.0, self.threshold - self.estimate_sigmas * error)

    @property
    def signature(self) -> dict[str, int | bool]:
        """The settings that decide a signature."""
        return {name: getattr(self, name) for name in SIGNATURE_SETTINGS}

    @model_validator(mode="after")
    def _names_stand_once(self) -> Self:
        for name in ("priority", "license_order", "source_order"):
            values: list[str] = getattr(self, name)
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"{name} = {values}: {value!r} stands there twice; name each once")
        return self

    @model_validator(mode="after")
    def _can_be_banded(self) -> Self:
        if (self.bands is None) != (self.rows is None):
            raise ValueError(f"bands = {self.bands} and rows = {self.rows}: give both or neither")
        if self.bands is not None and self.rows is not None:
            if self.bands * self.rows > self.num_perm:
                raise ValueError(
                    f"bands = {self.bands} × rows = {self.rows} need {self.bands * self.rows} permutations, "
                    f"num_perm = {self.num_perm}: raise num_perm or give fewer bands or rows"
                )
        elif self.banding == "recall":
            strictest(self.threshold, self.num_perm, self.recall)
        return self

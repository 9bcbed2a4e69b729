"""Licences: only what is on an allow-list is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator

from contracts.errors import unknown_name
from pipelines.filters.base import Verdict
from pipelines.filters.permissive import PERMISSIVE
from pipelines.filters.settings import FilterBase
from pipelines.filters.spdx import Allowance, canonical, is_known
from pipelines.filters.verdict import verdict
from pipelines.sources.licenses import licensing
from pipelines.sources.settings import SourceBase


class LicenseSettings(FilterBase):
    """What may be learned from. What becomes of documents without a licence is up to their source's `license_policy`."""

    allow: list[str] = Field(default_factory=lambda: list(PERMISSIVE))
    """SPDX ids that are allowed; by default the permissive ones, of which pipelines/filters/permissive.py names the sources."""

    also_allow: list[str] = Field(default_factory=list)
    """Ids allowed besides: SPDX ids, or the corpus's own names such as "LicenseRef-Go"."""

    @model_validator(mode="after")
    def _ids_are_known(self) -> Self:
        for each in (*self.allow, *self.also_allow):
            if not is_known(canonical(each)) and not each.startswith("LicenseRef-"):
                close = unknown_name("SPDX licence id", each, licensing().known_symbols).partition(" Known:")[0]
                raise ValueError(f"{close} Ids are listed at https://spdx.org/licenses; names of your own begin with 'LicenseRef-'")
        return self


class LicenseFilter:
    """Drops documents that hold a licence outside the list, or none where their source requires one."""

    Settings = LicenseSettings

    def __init__(self, settings: LicenseSettings, sources: Sequence[SourceBase]) -> None:
        """`sources` tell the policy of each source name."""
        self._policies = {source.name: source.license_policy for source in sources}
        self._allowance = Allowance((*settings.allow, *settings.also_allow))
        self._objection = lru_cache(maxsize=65_536)(self._allowance.objection)

    def check(self, documents: pa.RecordBatch) -> Verdict:
        """See pipelines.filters.base.Filter. Every entry of `licenses` must be allowed; each distinct one is parsed once."""
        rows = zip(*(documents[name].to_pylist() for name in ("licenses", "license_evidence", "source")), strict=True)
        reasons = {i: reason for i, row in enumerate(rows) if (reason := self._reason(*row))}
        return verdict(documents.num_rows, reasons)

    def _reason(self, licenses: list[str], evidence: str, source: str) -> str:
        policy = self._policies[source]
        if not licenses:
            return f"no licence (evidence: {evidence}; policy of the source: {policy})" if policy == "require" else ""
        objections = [objection for each in licenses if (objection := self._objection(each))]
        return f"licence {'; '.join(objections)} (evidence: {evidence}; policy of the source: {policy})" if objections else ""

"""Which column or JSON field is what, for sources whose layout is not known beforehand."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from contracts.settings import Settings


class Fields(Settings):
    """Names of the corpus's columns or fields; "" where it has none."""

    text: str = Field(default="text", min_length=1)
    """The document itself."""

    id: str = ""
    """The corpus's own id. With an id or a path, documents keep their ids when the corpus is re-partitioned."""

    language: str = ""
    """Programming or natural language."""

    repo: str = ""
    """Repository or package."""

    path: str = ""
    """Path in the repository."""

    stars: str = ""
    """Stars of the repository, a whole number."""

    licenses: str = ""
    """SPDX ids or expressions, all of which hold: a list, or a string with commas between."""

    def named(self) -> list[tuple[str, str]]:
        """(role, name) of the fields that the corpus has."""
        return [(role, name) for role, name in self.model_dump().items() if name]

    def evidence(self, licenses: pa.ListArray, otherwise: str, what: str) -> pa.StringArray:
        """string[n]: where each document's licences were found; `what` is "column" or "field"."""
        found = pc.greater(pc.list_value_length(licenses), 0)
        return pc.if_else(found, f"{what} {self.licenses!r}", otherwise)

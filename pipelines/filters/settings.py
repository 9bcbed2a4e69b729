"""What every filter's settings have."""

from __future__ import annotations

from contracts.settings import Settings


class FilterBase(Settings):
    """One `[filters.NAME]` table."""

    enabled: bool = True
    """Whether the filter runs."""

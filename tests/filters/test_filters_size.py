from __future__ import annotations

from filter_batches import batch, reasons

from pipelines.filters.size import SizeFilter, SizeSettings


def test_bounds_are_in_bytes_and_include_their_ends() -> None:
    check = SizeFilter(SizeSettings(min_bytes=2, max_bytes=4, prose_max_bytes=6), []).check
    assert reasons(check, batch(["a", "ab", "éé", "abcde", "ééé"])) == [
        "text has 1 bytes; at least 2 are wanted (filters.size.min_bytes)",
        "",
        "",
        "text has 5 bytes; at most 4 are allowed (filters.size.max_bytes)",
        "text has 6 bytes; at most 4 are allowed (filters.size.max_bytes)",
    ]


def test_prose_has_a_bound_of_its_own() -> None:
    check = SizeFilter(SizeSettings(max_bytes=2, prose_max_bytes=4), []).check
    assert reasons(check, batch(["abc", "abc", "abcde"], kind=["prose", "code", "prose"])) == [
        "",
        "text has 3 bytes; at most 2 are allowed (filters.size.max_bytes)",
        "text has 5 bytes; at most 4 are allowed (filters.size.prose_max_bytes)",
    ]


def test_defaults_drop_empty_files_and_those_above_a_megabyte() -> None:
    found = reasons(SizeFilter(SizeSettings(), []).check, batch(["", "x" * 1_000_000, "x" * 1_000_001]))
    assert [bool(reason) for reason in found] == [True, False, True]

"""What is said when next to nothing of a source is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InputError
from pipelines.curate import curate
from pipelines.dropped import check_something_is_left, warn
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.recipe import Recipe


def warnings(
    tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str], rows: list[Any], more: dict[str, Any], **source: Any
) -> list[str]:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {"name": "a", "type": "jsonl", "path": str(tmp_path / "a.jsonl"), **source}
    made = curate(Recipe(source=[values], **more), str(tmp_path / "run"), engine)
    capsys.readouterr()
    warn(made, str(tmp_path / "run"), Reporter(quiet=True))
    return capsys.readouterr().err.splitlines()


def test_no_licences(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings(tmp_path, engine, capsys, [{"text": f"x = {i}"} for i in range(12)], {}) == [
        "Warning: of 12 documents of the source 'a' none was kept: the filter license dropped 12, one for this reason: no licence "
        "(evidence: none found; policy of the source: require). Documents without a licence are kept with "
        'license_policy = "keep_unknown" in its [[source]] (docs/sources.md).'
    ]
    with pytest.raises(InputError, match=r"None of 12 documents was kept.*run/curate/decisions"):
        check_something_is_left(str(tmp_path / "run"))


def test_licences_that_are_not_allowed(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"x = {i}", "l": "GPL-3.0-only"} for i in range(150)] + [{"text": "y", "l": "MIT"}]
    (line,) = warnings(tmp_path, engine, capsys, rows, {}, fields={"licenses": "l"}, kind="prose")
    assert (
        "of 151 documents of the source 'a' only 1 was kept: the filter license dropped 150, one for this reason: licence" in line
    )
    assert line.endswith("Which licences are allowed is said by filters.license.allow and also_allow.")
    check_something_is_left(str(tmp_path / "run"))


def test_another_filter(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"filters": {"size": {"min_bytes": 100}}}
    (line,) = warnings(tmp_path, engine, capsys, [{"text": "x"}], more, license_policy="keep_unknown")
    assert "the filter size dropped 1, one for this reason: text has 1 bytes" in line
    assert line.endswith("[filters.size] decides (spanmill settings filters.size).")


def test_what_could_not_be_read(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = warnings(tmp_path, engine, capsys, [{"content": "x"}], {"max_quarantined": 1.0})
    assert "none was kept: the check text quarantined 1, one for this reason: the object has no field 'text'" in line


def test_nothing_is_said_where_more_is_kept(tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"x = {i}", "l": "GPL-3.0-only"} for i in range(20)] + [{"text": "y", "l": "MIT"}]
    assert warnings(tmp_path, engine, capsys, rows, {}, fields={"licenses": "l"}, kind="prose") == []

"""The programs of docs/loader.md, as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "loader.md"
FIRST, WHOLE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def here(tiny_run: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(tiny_run)
    return tmp_path


def run(program: str, folder: Path) -> list[str]:
    (folder / "my_train.py").write_text(program)
    done = subprocess.run([sys.executable, "my_train.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_first_program(here: Path) -> None:
    (line,) = run(FIRST, here)
    assert line.startswith("['code', 'prose'] (8, 65) ")


def test_the_whole_program_learns_and_goes_on_where_it_was(here: Path) -> None:
    unbroken = run(WHOLE, here)
    assert [line.split(",")[0] for line in unbroken[:4]] == ["4 samples", "8 samples", "12 samples", "16 samples"]
    assert [line.split(":")[0] for line in unbroken[4:]] == ["held out of code", "held out of prose"]
    (here / "my_checkpoint.pt").unlink()
    half = run(WHOLE.replace("STEPS, BATCH_SIZE = 4, 4", "STEPS, BATCH_SIZE = 2, 4"), here)
    assert half[:2] + run(WHOLE, here) == unbroken


def test_other_weights_are_refused_on_resume(here: Path) -> None:
    run(WHOLE, here)
    other = WHOLE.replace("Loader(shards, None, seed=0", "Loader(shards, None, seed=1")
    (here / "my_train.py").write_text(other)
    done = subprocess.run([sys.executable, "my_train.py"], cwd=here, capture_output=True, text=True, timeout=120, check=False)
    assert "made with other seed" in done.stderr

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.errors import ConfigError, InputError, SpanmillError
from pipelines.beam_options import check
from pipelines.engine import Engine
from pipelines.progress import Reporter
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes


@dataclass
class Square:
    """Writes a file and counts its calls in another."""

    folder: str
    fails: tuple[int, ...] = ()
    bug: bool = False

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        if number in self.fails and self.bug:
            raise ZeroDivisionError("a bug")
        if number in self.fails:
            raise InputError(f"item {number} holds [brackets] and\nlines")
        with (Path(self.folder) / f"calls-{number}").open("a") as calls:
            calls.write("x")
        write_bytes(f"{self.folder}/{number}", b"done")
        return {"square": number * number}


@pytest.fixture(autouse=True)
def _workers_find_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage("curate", str(tmp_path / "run"), {}, 0, {})
    made.open()
    return made


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_every_item_is_done_once_and_its_receipt_comes_back_in_order(stage: Stage, tmp_path: Path, mode: str) -> None:
    engine = Engine((f"--direct_running_mode={mode}",), Reporter(quiet=True))
    assert [r["square"] for r in engine.run_step(stage, "s", Square(str(tmp_path)), [1] * 7, 1.0)] == [n * n for n in range(7)]
    assert [r["square"] for r in engine.run_step(stage, "s", Square(str(tmp_path)), [1] * 7, 1.0)] == [n * n for n in range(7)]
    assert all((tmp_path / f"calls-{n}").read_text() == "x" for n in range(7))


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_an_error_of_a_worker_keeps_its_kind_and_words_and_the_rest_is_kept(
    stage: Stage, tmp_path: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = Engine((f"--direct_running_mode={mode}",), Reporter(quiet=True))
    with pytest.raises(InputError, match=r"^item 6 holds \[brackets\] and\nlines$"):
        engine.run_step(stage, "s", Square(str(tmp_path), fails=(6,)), [1] * 8, 1.0)
    assert "Traceback" not in capfd.readouterr().err
    engine.run_step(stage, "s", Square(str(tmp_path)), [1] * 8, 1.0)
    assert (tmp_path / "6").exists()


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_a_bug_in_a_worker_names_the_step_and_the_log(stage: Stage, tmp_path: Path, mode: str) -> None:
    engine = Engine((f"--direct_running_mode={mode}",), Reporter(quiet=True))
    with pytest.raises(SpanmillError, match=r"curate: s failed: .*a bug.*Beam's messages are in .*goes on from there"):
        engine.run_step(stage, "s", Square(str(tmp_path), fails=(1,), bug=True), [1] * 4, 1.0)


def test_small_work_starts_no_processes_and_the_runner_is_always_named() -> None:
    engine = Engine()
    assert engine._arguments(seconds=0.1, items=100) == ["--runner=FnApiRunner", "--direct_running_mode=in_memory"]
    assert "--direct_running_mode=multi_processing" in engine._arguments(seconds=1000, items=100)
    assert "--direct_running_mode=in_memory" in engine._arguments(seconds=1000, items=1)
    assert Engine(("--runner=SparkRunner",))._arguments(1000, 100) == ["--runner=SparkRunner"]


@pytest.mark.parametrize(
    ("given", "words"),
    [("--runer=X", "Did you mean --runner"), ("--outptu=x", "Did you mean --output"), ("--direct_num_workers=many", "Apache Beam")],
)
def test_options_that_nobody_knows_are_refused(given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check([given], ["--output", "--config"])


def test_beams_options_pass() -> None:
    check(["--runner=SparkRunner", "--direct_num_workers=2", "--direct_running_mode", "in_memory"], ["--output"])

"""A stage's steps on Beam's local engine, in each of its modes, and through its job service as a cluster's would take them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.errors import EngineError, InputError, NotAwaited, SpanmillError, StageError
from contracts.manifest import Manifest
from pipelines.engine import Engine
from pipelines.graph import Exchange, Items, Once, Step
from pipelines.progress import Reporter
from pipelines.stage import Receipt, Stage
from pipelines.storage import read_bytes, write_bytes

EMBEDDED = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")
"""The protocol of clusters without a cluster: the job goes through a job service, and workers must check in."""

MODES = [("--direct_running_mode=in_memory",), ("--direct_running_mode=multi_processing", "--direct_num_workers=2"), EMBEDDED]


@dataclass
class Square:
    """Writes a file and counts its calls in another."""

    stage: Stage
    items: int
    fails: tuple[int, ...] = ()
    bug: bool = False

    def sizes(self) -> list[int]:
        return [1] * self.items

    def setup(self) -> None:
        self.ready = True

    def __call__(self, number: int) -> Receipt:
        assert self.ready
        if number in self.fails and self.bug:
            raise ZeroDivisionError("a bug")
        if number in self.fails:
            raise InputError(f"item {number} holds [brackets] and\nlines")
        with Path(self.stage.work_path(f"calls-{number}")).open("a") as calls:
            calls.write("x")
        write_bytes(self.stage.work_path(str(number)), b"done")
        return {"square": number * number}


@dataclass
class Deal:
    """Emits each place's number to every item that it divides."""

    places: int
    items: int

    def sizes(self) -> list[int]:
        return [1] * self.places

    def __call__(self, place: int, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        return ((item, bytes([place])) for item in wanted if item % (place + 1) == 0)


@dataclass
class Collect:
    """Notes which places' blocks came."""

    items: int

    def sizes(self) -> list[int]:
        return [1] * self.items

    def __call__(self, number: int, blocks: Iterable[bytes]) -> Receipt:
        return {"places": sorted(block[0] for block in blocks if block)}


@dataclass
class Commit:
    """Adds up the squares."""

    stage: Stage
    items: int

    def sizes(self) -> list[int]:
        return [0]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        receipts = self.stage.all_receipts("squares", self.items)
        places = [receipt["places"] for receipt in self.stage.all_receipts("exchange", 12)]
        calls = [read_bytes(self.stage.work_path(f"calls-{number}")).decode() for number in range(self.items)]
        self.stage.commit([], {"sum": sum(receipt["square"] for receipt in receipts)}, {"places": places, "calls": calls})
        return {"committed": True}


def steps(stage: Stage, **values: object) -> list[Step]:
    squares = Square(stage, 9, **values)  # type: ignore[arg-type]
    return [Items("squares", squares), Exchange("exchange", Deal(3, 12), Collect(12)), Items("commit", Commit(stage, 9))]


@pytest.fixture(autouse=True)
def _workers_find_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage("curate", str(tmp_path / "run"), {}, 0, {})
    made.open()
    write_bytes(made.work_path("begun"), b"")
    return made


def run(stage: Stage, options: tuple[str, ...], **values: object) -> Manifest:
    return Engine(options, Reporter(quiet=True)).run(stage, steps(stage, **values), seconds=1.0)


@pytest.mark.parametrize("options", MODES)
def test_steps_follow_one_another_and_every_item_is_done_once(stage: Stage, options: tuple[str, ...]) -> None:
    made = run(stage, options)
    assert made.totals == {"sum": sum(n * n for n in range(9))}
    assert made.statistics["calls"] == ["x"] * 9
    assert made.statistics["places"] == [[place for place in range(3) if item % (place + 1) == 0] for item in range(12)]


@pytest.mark.parametrize("options", MODES)
def test_an_error_of_a_worker_keeps_its_kind_and_words_and_what_is_done_is_kept(
    stage: Stage, options: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"^item 6 holds \[brackets\] and\nlines$"):
        run(stage, options, fails=(6,))
    if options is not EMBEDDED:  # there workers are threads that log as pytest has it
        assert "Traceback" not in capfd.readouterr().err
    done = stage.done("squares")
    assert run(stage, options).statistics["calls"] == ["x"] * 9, f"items {done} were done twice"


@pytest.mark.parametrize("options", MODES)
def test_a_bug_in_a_worker_names_the_stage_and_the_log(stage: Stage, options: tuple[str, ...]) -> None:
    with pytest.raises(SpanmillError, match=r"curate failed: .*a bug.*Beam's messages are in .*goes on from there"):
        run(stage, options, fails=(1,), bug=True)


@dataclass
class Sleep:
    """Items as long as their sizes say, in hundredths of a second."""

    stage: Stage

    def sizes(self) -> list[int]:
        return [1, 120, 1, 40, 1, 40, 1, 40, 1]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        time.sleep(self.sizes()[number] / 100)
        return {"worker": os.getpid(), "size": self.sizes()[number]}


@dataclass
class Shares(Once):
    """Notes how much each worker process did."""

    stage: Stage

    def __call__(self, number: int) -> Receipt:
        shares: Counter[str] = Counter()
        for receipt in self.stage.all_receipts("sleep", 9):
            shares[str(receipt["worker"])] += receipt["size"]
        self.stage.commit([], {}, dict(shares))
        return {"committed": True}


def test_workers_of_this_machine_share_uneven_items_evenly(stage: Stage) -> None:
    """Of 245 in all, 123 each at best; dealt out beforehand, one would have 240. A worker may start a second after the other."""
    steps: list[Step] = [Items("sleep", Sleep(stage)), Items("commit", Shares(stage))]
    engine = Engine(("--direct_running_mode=multi_processing", "--direct_num_workers=2"), Reporter(quiet=True))
    shares = engine.run(stage, steps, seconds=1.0).statistics
    assert len(shares) == 2
    assert max(shares.values()) < 210


@dataclass
class FailFirst(Sleep):
    """The largest item fails at once."""

    def __call__(self, number: int) -> Receipt:
        if number == 1:
            raise InputError("the first item fails")
        time.sleep(0.3)
        return {"done": number}


def test_when_one_worker_fails_the_others_do_not_do_the_rest_first(stage: Stage) -> None:
    steps: list[Step] = [Items("sleep", FailFirst(stage)), Items("commit", Shares(stage))]
    engine = Engine(("--direct_running_mode=multi_processing", "--direct_num_workers=2"), Reporter(quiet=True))
    with pytest.raises(InputError, match="the first item fails"):
        engine.run(stage, steps, seconds=1.0)
    assert len(stage.done("sleep")) <= 4, "eight are left when the first fails"


def test_a_killed_worker_process_is_explained(stage: Stage) -> None:
    steps: list[Step] = [Items("sleep", Die(stage)), Items("commit", Shares(stage))]
    engine = Engine(("--direct_running_mode=multi_processing", "--direct_num_workers=2"), Reporter(quiet=True))
    with pytest.raises(EngineError, match=r"A worker process was killed, most likely because memory ran out.*part_bytes"):
        engine.run(stage, steps, seconds=1.0)


@dataclass
class Die(Sleep):
    """Ends its process as the system does when memory runs out."""

    def __call__(self, number: int) -> Receipt:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def test_a_worker_with_other_versions_is_refused(stage: Stage) -> None:
    other = Stage(stage.name, stage.run_dir, {}, 0, {}, versions=stage.versions | {"spanmill": "0.0.1"})
    other.open()
    with pytest.raises(
        EngineError, match=r"other versions than the submitter \(spanmill was \"0\.0\.1\", is .*Install the same wheel"
    ):
        run(other, EMBEDDED)


def test_a_worker_that_does_not_see_the_folder_is_refused(stage: Stage, tmp_path: Path) -> None:
    elsewhere = Stage(stage.name, str(tmp_path / "on-no-shared-disk"), {}, 0, {})
    with pytest.raises(EngineError, match=r"does not see what the submitter wrote to .*on-no-shared-disk.*object store"):
        run(elsewhere, EMBEDDED)


def test_a_job_ends_when_another_run_takes_its_folder(stage: Stage) -> None:
    Stage(stage.name, stage.run_dir, {"other": 1}, 0, {}).open()
    with pytest.raises(StageError, match=r"belongs to another run now: other was 1, is null"):
        run(stage, MODES[0])


def test_silent_workers_end_the_job_within_the_limit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.submission.names_in", lambda folder: [])  # no sign of life is seen
    slow: list[Step] = [Items("sleep", Sleep(stage)), Items("commit", Shares(stage))]
    begin = time.monotonic()
    with pytest.raises(
        EngineError,
        match=r"(no worker began|did not accept the job) within 1 s; the engine was asked to cancel.*spanmill workers.*--worker-timeout",
    ):
        Engine(EMBEDDED, Reporter(quiet=True), worker_timeout=1.0).run(stage, slow, seconds=1.0)
    assert time.monotonic() - begin < 60


def test_a_job_that_is_not_waited_for_commits_by_itself(stage: Stage) -> None:
    with pytest.raises(NotAwaited, match=r"submitted and goes on by itself.*manifest\.json"):
        Engine(EMBEDDED, Reporter(quiet=True), wait=False).run(stage, steps(stage), seconds=1.0)
    end = time.monotonic() + 60
    while not Path(stage.path("manifest.json")).exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert stage.close().totals == {"sum": sum(n * n for n in range(9))}


@dataclass
class LoseAWorker(Square):
    """Fails as an engine does that lost a worker, once an item is done; `often` times."""

    often: int = 1

    def __call__(self, number: int) -> Receipt:
        lost = Path(self.stage.run_dir, "lost")
        if number == 4 and (len(lost.read_text()) if lost.exists() else 0) < self.often:
            with lost.open("a") as file:
                file.write("x")
            raise OSError("the worker is gone")
        return super().__call__(number)


def test_a_job_that_lost_a_worker_is_followed_by_another(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    chain: list[Step] = [Items("squares", LoseAWorker(stage, 9)), *steps(stage)[1:]]
    assert Engine(EMBEDDED, Reporter()).run(stage, chain, seconds=1.0).totals == {"sum": sum(n * n for n in range(9))}
    assert "curate failed: OSError: the worker is gone" in capsys.readouterr().err


def test_a_job_that_gets_no_further_is_not_tried_for_ever(stage: Stage) -> None:
    chain: list[Step] = [Items("squares", LoseAWorker(stage, 9, often=100)), *steps(stage)[1:]]
    with pytest.raises(SpanmillError, match="the worker is gone"):
        Engine(EMBEDDED, Reporter(quiet=True)).run(stage, chain, seconds=1.0)
    assert len(Path(stage.run_dir, "lost").read_text()) <= 3

"""Runs whose earlier stages lie in another: what --input finds there, and what is only a note without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from run_the_line import QUIET

from beam_runner import cli
from contracts.errors import StageError
from pipelines.audit import audit
from pipelines.forget import forget
from pipelines.forget_request import Request
from pipelines.named import Place
from pipelines.stats import collect
from pipelines.tables import show
from pipelines.verify import prove


@pytest.fixture
def elsewhere(made: Path, tmp_path: Path) -> Path:
    """A run that has shards, and all else in the run `made`."""
    shutil.copytree(made / "shard", tmp_path / "elsewhere/shard")
    return tmp_path / "elsewhere"


def verified(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["verify", *map(str, arguments)])
    return done.exit_code, done.output


def test_what_cannot_be_proved_is_a_note(made: Path, elsewhere: Path) -> None:
    proof = prove(str(elsewhere), QUIET)
    assert proof.problems == []
    assert proof.notes == [
        "shard was made from stages that are not in this run (curate, dedup, tokenizer), so that they agree is not proved: "
        "--input names the run that has them"
    ]
    code, output = verified(elsewhere)
    assert code == 0
    assert f"note: {proof.notes[0]}" in output
    assert "problem" not in output
    assert "as far as its own files tell" in output
    assert prove(str(elsewhere), QUIET, str(made)) == ([], [])
    code, output = verified(elsewhere, "--input", made)
    assert (code, "note:" in output) == (0, False)
    assert f"{elsewhere}: everything is as its manifests say.\n" in output


def test_another_run_is_a_problem(made: Path, elsewhere: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "dedup", tmp_path / "other/dedup")
    path = tmp_path / "other/dedup/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"].pop()
    path.write_text(json.dumps(manifest))
    proof = prove(str(elsewhere), QUIET, str(tmp_path / "other"))
    assert [problem.split(" (digest")[0] for problem in proof.problems] == ["shard: it was made from another 'dedup' stage"]
    assert "name the run that it was made from with --input" in proof.problems[0]
    assert len(proof.notes) == 1
    with pytest.raises(StageError, match="shard: it was made from another 'dedup' stage"):
        collect(str(elsewhere), str(tmp_path / "other"))
    for look in (lambda: prove(str(elsewhere), QUIET, str(tmp_path)), lambda: collect(str(elsewhere), str(tmp_path))):
        with pytest.raises(StageError, match=r"--input .* holds no finished stage"):
            look()


def test_statistics_of_the_whole_line(made: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone, whole = collect(str(elsewhere)), collect(str(elsewhere), str(made))
    assert "curate" not in alone
    assert alone["lacking"] == ["curate", "dedup", "tokenizer"]
    show(alone, [])
    assert "curate, dedup, tokenizer: not in this run; --input names the run that has them" in capsys.readouterr().out
    assert whole["stages"] == ["shard"]
    assert {**whole, "run": "", "stages": []} == {**collect(str(made)), "run": "", "stages": []}
    assert audit(str(elsewhere), str(made))["totals"] == audit(str(made))["totals"]
    with pytest.raises(StageError):
        audit(str(elsewhere))


def test_what_was_forgotten_is_told_and_held_against_the_shards(made: Path, elsewhere: Path, tmp_path: Path) -> None:
    base = shutil.copytree(made, tmp_path / "base")
    assert "  forgotten: " not in verified(base)[1]
    forget(str(base), Request(repos=frozenset({"owner1/repo"})))
    documents = forget(str(base), Request(paths=frozenset({Place("", "src/file9.python")})))["shards"]["documents"]
    assert documents == 1
    code, output = verified(base)
    assert code == 0
    assert "1 repository, 1 path on the list of" in output
    assert "; the mask hides " in output
    code, output = verified(elsewhere, "--input", base)
    assert code == 1
    assert f"can still be read, such as in code/00000.arrow: run `spanmill forget {elsewhere} --input {base}` again" in output
    again = Request(repos=frozenset({"owner1/repo"}), paths=frozenset({Place("", "src/file9.python")}))
    forget(str(elsewhere), again, str(base))
    code, output = verified(elsewhere, "--input", base)
    assert code == 0, output
    assert f"on the list of {elsewhere}; " in output
    assert f"on the list of {base}; " in output

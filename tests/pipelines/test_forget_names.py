"""Whoever asks for an opt-out knows names: repositories and paths are found, listed, forgotten, and guessed if they are spelled wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from run_the_line import QUIET

from beam_runner import cli
from contracts.errors import ConfigError, InputError, StageError
from pipelines.engine import Engine
from pipelines.forget import forget
from pipelines.forget_request import Request, read_request
from pipelines.forget_tables import show_receipt
from pipelines.forgotten import PATHS, Listed, forgotten_digest, forgotten_ids
from pipelines.guesses import Guess, guess_paths, guess_repos
from pipelines.named import Names, Place, documents_named
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.stats import collect
from pipelines.tables import show
from pipelines.trace import trace_document
from pipelines.trace_names import trace_names
from pipelines.trace_tables import show_document, show_names
from pipelines.verify import verify

Row = dict[str, Any]


@pytest.fixture
def run_dir(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def kept(run_dir: Path) -> list[Row]:
    columns = ["doc_id", "repo", "path", "source", "language"]
    return [
        row for path in sorted((run_dir / "curate/documents").iterdir()) for row in pq.read_table(path, columns=columns).to_pylist()
    ]


def pair(run_dir: Path, kind: str = "near") -> Row:
    """A duplicate of which there is but one, and its keeper."""
    rows = [row for path in sorted((run_dir / "dedup/removals").iterdir()) for row in pq.read_table(path).to_pylist()]
    return next(row for row in rows if row["kind"] == kind)


def asking(*places: Place, ids: tuple[bytes, ...] = (), with_keepers: bool = False) -> Request:
    return Request(frozenset(ids), frozenset(), with_keepers, frozenset(places))


def told(receipt: Row, capsys: pytest.CaptureFixture[str]) -> str:
    show_receipt(receipt)
    return capsys.readouterr().out


def command(*arguments: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_documents_are_found_by_either_name(made: Path) -> None:
    rows = kept(made)
    names = Names.of(
        ["Owner3/REPO"], [Place("", "src/file1.python"), Place("OWNER2/repo", "src/file2.python"), Place("owner9/repo", "a")]
    )
    found = [row["doc_id"] for each in documents_named(str(made / "curate"), names) for row in each.rows]
    wanted = ("src/file1.python", "src/file2.python")
    assert found == [row["doc_id"] for row in rows if row["repo"] == "owner3/repo" or row["path"] in wanted]
    few = list(documents_named(str(made / "curate"), names, at_most=1))
    assert sum(each.total for each in few) == len(found)
    assert max(len(each.rows) for each in few) == 1
    assert list(documents_named(str(made / "curate"), Names.of([]))) == []


def test_names_lead_to_documents_and_where_they_went(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = [row for row in kept(made) if row["repo"] == "owner3/repo"]
    answer = trace_names(str(made), "OWNER3/repo", "", at_most=5)
    assert answer["documents"] == len(theirs) > 5
    assert [each["doc_id"] for each in answer["shown"]] == [row["doc_id"].hex() for row in theirs[:5]]
    for each in answer["shown"]:
        whole = trace_document(str(made), bytes.fromhex(each["doc_id"]))
        assert each["rows"] == len({(row["shard"], row["row"]) for row in whole["rows"]})
        assert (each["keeper_id"] is None) == whole["fate"]["kept"]
    show_names(answer)
    shown = capsys.readouterr().out
    assert f"OWNER3/repo: {len(theirs)} documents; the first 5, --limit shows more" in shown
    assert theirs[4]["doc_id"].hex() in shown
    removed = pair(made)
    name = next(row for row in kept(made) if row["doc_id"] == removed["doc_id"])
    show_names(trace_names(str(made), name["repo"], name["path"]))
    assert f"duplicate of {removed['keeper_id'].hex()}\n" in capsys.readouterr().out


def test_what_is_forgotten_is_said_of_names(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget(str(run_dir), asking(Place("", "src/file9.python")))
    output = command("trace", run_dir, "--path", "src/file9.python")
    assert "src/file9.python: 1 document\n" in output
    assert "; forgotten: loaders read padding in its place\n" in output
    as_json = json.loads(command("trace", run_dir, "--path", "src/file9.python", "--json"))
    assert as_json["shown"][0]["forgotten"] == {"listed": True, "hidden": True, "left_out": False}


@pytest.mark.parametrize(
    ("repo", "path", "words"),
    [
        ("owner3/rep", "", "no document of repository 'owner3/rep'. Did you mean 'owner3/repo'?"),
        ("ownr3/repo", "", "Did you mean 'owner3/repo'?"),
        ("zzz", "", "no document of repository 'zzz'. Paths must be equal"),
        ("", "src/flie30.python", "no document of path 'src/flie30.python'. Did you mean 'src/file30.python'?"),
        ("", "SRC/file30.python", "Did you mean 'src/file30.python'?"),
        ("OWNER2/Repo", "src/fil30.python", "Did you mean 'OWNER2/Repo: src/file30.python'?"),
        ("owner22/repo", "src/file30.python", "Did you mean 'owner2/repo: src/file30.python'?"),
    ],
)
def test_unknown_names_get_the_one_that_was_meant(made: Path, repo: str, path: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        trace_names(str(made), repo, path)
    assert words in str(raised.value)


def test_no_more_names_are_compared_than_is_quick(made: Path) -> None:
    import pyarrow as pa

    guess = Guess("owner3/repo", compared=3)
    guess.offer(pa.array([f"owner{i}/rep" for i in range(10)]))
    assert guess.best == "owner0/rep"
    guess.offer(pa.array([f"owner{i}/rep" for i in range(10)]))
    assert guess.best == "owner0/rep"
    guess.offer(pa.array(["Owner3/repo"]))  # it shares the last part, and of these none was looked at yet
    assert guess.best == "Owner3/repo"
    many = [f"owner{i}/rep" for i in range(9)]
    assert len(guess_repos(str(made / "curate"), many)) <= 5
    assert guess_paths(str(made / "curate"), []) == {}


def test_paths_are_forgotten_with_a_receipt(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "paths").write_text(
        "src/file9.python\nOwner2/repo\tsrc/file30.python\n# not theirs\nowner3/repo\tsrc/file30.python \n"
    )
    output = command("forget", run_dir, "--paths", tmp_path / "paths")
    assert "src/file9.python: 1 document\n" in output
    assert "Owner2/repo: src/file30.python: 1 document\n" in output
    assert "1 path without a document here; kept on the list all the same: owner3/repo: src/file30.python" in output
    assert "2 documents lie in " in output
    gone = {row["doc_id"] for row in kept(run_dir) if row["path"] in ("src/file9.python", "src/file30.python")}
    assert {row.tobytes() for row in forgotten_ids(str(run_dir))} == gone
    assert json.loads((run_dir / PATHS).read_text())[1] == ["owner2/repo", "src/file30.python"]
    (receipt,) = (run_dir / "forget/receipts").iterdir()
    said = json.loads(receipt.read_text())
    assert said["asked"]["paths"] == [
        ["", "src/file9.python"], ["Owner2/repo", "src/file30.python"], ["owner3/repo", "src/file30.python"],
    ]  # fmt: skip
    assert said["found"]["unknown_paths"] == ["owner3/repo: src/file30.python"]
    assert verify(str(run_dir), QUIET) == []
    (tmp_path / "paths").write_text("no/such.file\n")
    with pytest.raises(InputError, match="Nothing of what was asked for was found"):
        command("forget", run_dir, "--paths", tmp_path / "paths")


def test_a_path_on_the_list_keeps_later_texts_out(run_dir: Path) -> None:
    """The id of a document depends on its text; that of a newer corpus is found by its name."""
    assert forgotten_digest(str(run_dir)) == ""
    Listed.of(str(run_dir)).with_((), (), [Place("OWNER2/repo", "src/file9.python")]).write(str(run_dir))
    mine = {row["doc_id"] for row in kept(run_dir) if row["path"] == "src/file9.python"}
    assert {row.tobytes() for row in forgotten_ids(str(run_dir))} == mine
    assert forgotten_digest(str(run_dir)) != ""
    (run_dir / PATHS).write_text('["src/file9.python"]')
    with pytest.raises(InputError, match="is no list of repositories and paths"):
        forgotten_ids(str(run_dir))


def test_shards_made_without_a_document_are_no_reason_to_ask_again(
    run_dir: Path, recipe: Recipe, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    doc_id = next(row["doc_id"] for row in kept(run_dir) if row["path"] == "src/file9.python")
    forget(str(run_dir), asking(ids=(doc_id,)))
    assert "left_out" not in collect(str(run_dir))
    shutil.rmtree(run_dir / "shard")
    show_document(trace_document(str(run_dir), doc_id))
    assert "on the list; shards that are made later leave it out" in capsys.readouterr().out
    shard(recipe, str(run_dir), "", engine)
    answer = trace_document(str(run_dir), doc_id)
    assert answer["forgotten"] == {"listed": True, "hidden": False, "left_out": True}
    show_document(answer)
    shown = capsys.readouterr().out
    assert "on the list; the shards were made without it" in shown
    assert "spanmill forget" not in shown
    found = collect(str(run_dir))
    assert found["left_out"] == 1
    show(found, [])
    assert "Forgotten before the shards were made, so in none of them: 1 document\n" in capsys.readouterr().out
    show_receipt(forget(str(run_dir), asking(ids=(doc_id,))))
    assert "No shard holds any of these documents, so there was nothing to hide." in capsys.readouterr().out


def test_keepers_on_the_list_do_not_stay(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    removed = pair(run_dir)
    alone, both = asking(ids=(removed["doc_id"],)), asking(ids=(removed["doc_id"], removed["keeper_id"]))
    first = told(forget(str(run_dir), alone), capsys)
    assert f"{removed['keeper_id'].hex()} holds nearly the same text" in first
    assert "1 such keeper stays; --with-keepers forgets it too." in first
    with_it = told(forget(str(run_dir), asking(ids=(removed["doc_id"],), with_keepers=True)), capsys)
    assert "1 of them was a duplicate; its keeper is forgotten too." in with_it
    again = told(forget(str(run_dir), alone), capsys)
    assert "stays" not in again
    assert "1 of them was a duplicate; its keeper is on the list as well." in again
    shutil.rmtree(run_dir / "forget")
    (run_dir / "shard/forgotten/mask.arrow").unlink()
    assert "1 of them was a duplicate; its keeper is on the list as well." in told(forget(str(run_dir), both), capsys)


def test_nothing_is_said_of_rows_before_an_error(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(forget(str(run_dir), asking(Place("", "no/such"))), capsys)
    assert "1 path without a document here" in shown
    assert "shard" not in shown.replace(str(run_dir), "")
    one = next(row for row in trace_names(str(run_dir), "", "src/file9.python")["shown"] if row["rows"])
    shown = told(forget(str(run_dir), asking(ids=(bytes.fromhex(one["doc_id"]),))), capsys)
    assert "1 document lies in " in shown


def test_the_list_is_shown_with_names_and_receipts(run_dir: Path, tmp_path: Path) -> None:
    removed = pair(run_dir)
    first = forget(str(run_dir), asking(Place("owner2/repo", "src/file9.python"), ids=(removed["doc_id"],), with_keepers=True))
    second = forget(str(run_dir), Request(frozenset({b"\xff" * 16}), frozenset({"Owner5/repo"})))
    one, two = (Path(each["receipt"]).stem for each in (first, second))
    answer = json.loads(command("forget", run_dir, "--list", "--json", "--limit", "1000"))
    by_id = {each["doc_id"]: each for each in answer["documents"]}
    assert {bytes.fromhex(doc_id) for doc_id in by_id} == Listed.of(str(run_dir)).ids
    for row in kept(run_dir):
        if row["doc_id"].hex() in by_id:
            told_of = by_id[row["doc_id"].hex()]
            assert (told_of["repo"], told_of["path"]) == (row["repo"], row["path"])
            assert (two in told_of["receipts"]) == (row["repo"] == "owner5/repo")
            assert (one in told_of["receipts"]) == (
                row["doc_id"] in (removed["doc_id"], removed["keeper_id"]) or row["path"] == "src/file9.python"
            )
    assert by_id["ff" * 16]["repo"] is None
    assert by_id["ff" * 16]["receipts"] == [two]
    assert answer["repos"] == [{"name": "owner5/repo", "receipts": [two]}]
    assert answer["paths"] == [{"name": "owner2/repo: src/file9.python", "receipts": [one]}]
    shown = command("forget", run_dir, "--list", "--limit", "2")
    assert f"{len(by_id)} documents, 1 repository, 1 path\n" in shown
    assert f"and {len(by_id) - 2} more documents" in shown
    before = sorted(path for path in run_dir.rglob("*"))
    assert "0 documents" in command("forget", shutil.copytree(run_dir / "shard", tmp_path / "bare/shard").parent, "--list")
    assert sorted(path for path in run_dir.rglob("*")) == before


def test_questions_that_do_not_go_together(made: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("ab" * 16)
    for arguments, words in (
        (["forget", made, "--list", "--doc-ids", tmp_path / "ids"], "--list shows what is on the list, and forgets nothing"),
        (["trace", made, "3", "--repo", "a"], "--repo asks for documents: name a run and no row"),
        (["trace", made, "--doc-id", "ab" * 16, "--path", "a"], "--doc-id asks for one document, --path for all"),
    ):
        with pytest.raises(ConfigError, match=words):
            command(*arguments)
    shutil.copytree(made / "shard", tmp_path / "bare/shard")
    with pytest.raises(StageError, match="has no finished curate stage, where names are: --input"):
        trace_names(str(tmp_path / "bare"), "a", "")
    with pytest.raises(StageError, match=r"--input RUN --paths FILE"):
        forget(str(tmp_path / "bare"), asking(Place("", "a")))
    assert trace_names(str(tmp_path / "bare"), "owner3/repo", "", str(made))["shown"][0]["repo"] == "owner3/repo"


def test_files_of_paths(tmp_path: Path) -> None:
    (tmp_path / "paths").write_text("src/a b.py\r\nOwner/x \t lib/c#d.py\n# a comment\n")
    request = read_request("", "", False, str(tmp_path / "paths"))
    assert request.paths == {Place("", "src/a b.py"), Place("Owner/x", "lib/c#d.py")}

"""Forgetting documents of a finished run: by id, by repository, twice, half, and for good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from made_up_corpus import recipe_values
from run_the_line import QUIET, digests

import pipelines.forget
from beam_runner import cli
from contracts.errors import ConfigError, InputError, ShardError, SpanmillError, StageError
from pipelines.engine import Engine
from pipelines.fetch import fetch
from pipelines.forget import forget
from pipelines.forget_request import Request, read_request
from pipelines.forget_tables import show_receipt
from pipelines.forgotten import DOCUMENTS, REPOS, Listed, forgotten_ids
from pipelines.recipe import Recipe
from pipelines.shard import shard
from pipelines.stage import Stage
from pipelines.stats import collect
from pipelines.tables import show
from pipelines.trace import trace_document
from pipelines.verify import verify
from sharding.check import documents
from sharding.forgotten import MASK_PATH
from sharding.loader import Loader
from sharding.shards import Shard, ShardSet, open_shards

Row = dict[str, Any]


@pytest.fixture
def run_dir(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def kept(run_dir: Path) -> list[Row]:
    """Documents of curate, without their text, in order."""
    columns = ["doc_id", "repo", "path", "source"]
    return [
        row for path in sorted((run_dir / "curate/documents").iterdir()) for row in pq.read_table(path, columns=columns).to_pylist()
    ]


def removed(run_dir: Path) -> list[Row]:
    return [row for path in sorted((run_dir / "dedup/removals").iterdir()) for row in pq.read_table(path).to_pylist()]


def in_shards(run_dir: Path) -> list[bytes]:
    """Ids of the documents that the shards were made of, in order."""
    gone = {row["doc_id"] for row in removed(run_dir)}
    return [row["doc_id"] for row in kept(run_dir) if row["doc_id"] not in gone]


def asking(*ids: bytes, repos: tuple[str, ...] = (), with_keepers: bool = False) -> Request:
    return Request(frozenset(ids), frozenset(repos), with_keepers)


def opened(run_dir: Path) -> ShardSet:
    return open_shards(str(run_dir / "shard"))


def masked_documents(run_dir: Path) -> dict[bytes, np.ndarray]:
    """Every document that can still be read through the set of shards."""
    shards = opened(run_dir)
    return documents(
        shards.shard(source, number) for source in shards.sources for number in range(len(shards.strata[source].entries))
    )


def test_a_hundred_forgotten_documents_are_never_yielded_and_everything_else_is(made: Path, run_dir: Path) -> None:
    gone = in_shards(run_dir)[::2][:100]
    assert len(gone) == 100
    receipt = forget(str(run_dir), asking(*gone))
    before, after = Loader(opened(made), batch_size=8, seed=3), Loader(opened(run_dir), batch_size=8, seed=3)
    assert after.resume(before.state(16)) == 16
    assert before.shard_set.mask is None
    rows = sum(after.shard_set.rows(source) for source in after.sources)
    batch, masked_batch = before.samples(np.arange(rows)), after.samples(np.arange(rows))
    hidden = tokens = 0
    for k in range(rows):  # one pass: every row once
        source, index = before.locate(np.array([k]))
        ids, segments = before.shard_set.row(before.sources[source[0]], int(index[0]))
        masked_ids, masked = after.shard_set.row(after.sources[source[0]], int(index[0]))
        forgotten = np.array([doc_id.tobytes() in set(gone) for doc_id in segments.doc_id]) & (segments.kind > 0)
        spread = np.repeat(forgotten, segments.length)
        assert np.array_equal(masked_ids[~spread], ids[~spread])
        assert (masked_ids[spread] == after.shard_set.metadata.special_ids["<fim_pad>"]).all()
        assert not {doc_id.tobytes() for doc_id in masked.doc_id} & set(gone)
        assert np.array_equal(masked_batch.input_ids[k], masked_ids)
        assert not masked_batch.loss_mask[k][spread[1:]].any()
        assert np.array_equal(masked_batch.loss_mask[k][~spread[1:]], batch.loss_mask[k][~spread[1:]])
        hidden, tokens = hidden + int(forgotten.sum()), tokens + int(segments.length[forgotten].sum())
    whole, left = masked_documents(made), masked_documents(run_dir)
    assert set(left) == set(whole) - set(gone)
    assert all(np.array_equal(left[doc_id], whole[doc_id]) for doc_id in left)
    assert (receipt["shards"]["segments"], receipt["shards"]["tokens"], receipt["shards"]["documents"]) == (hidden, tokens, 100)
    assert verify(str(run_dir), QUIET) == []


def test_the_receipt_names_every_row(run_dir: Path) -> None:
    gone = in_shards(run_dir)[:7]
    receipt = forget(str(run_dir), asking(*gone))
    shards, rows = opened(run_dir), {}
    for entry in shards.manifest.files:
        raw = Shard.open(str(run_dir / "shard" / entry.path))
        holding = [row for row in range(raw.rows) if set(gone) & {doc_id.tobytes() for doc_id in raw.segments(row).doc_id}]
        rows |= {entry.path: holding} if holding else {}
    assert receipt["shards"]["rows"] == rows
    assert receipt["shards"]["manifest_digest"] == shards.manifest.digest
    written = json.loads(Path(receipt.pop("receipt")).read_text())
    assert written == receipt
    assert written["asked"] == {"doc_ids": sorted(each.hex() for each in gone), "repos": [], "with_keepers": False}


def test_asking_twice_changes_nothing_and_asking_in_parts_adds_up(made: Path, tmp_path: Path) -> None:
    ids = in_shards(made)
    halves, whole = (shutil.copytree(made, tmp_path / name) for name in ("halves", "whole"))
    forget(str(halves), asking(*ids[:9]))
    once = digests(halves)
    forget(str(halves), asking(*ids[:9]))
    assert digests(halves) == once
    forget(str(halves), asking(*ids[5:20]))
    forget(str(halves), asking(*ids[:9]))
    forget(str(whole), asking(*ids[:20]))
    for name in (f"shard/{MASK_PATH}", DOCUMENTS, REPOS):
        assert (halves / name).read_bytes() == (whole / name).read_bytes()


def test_repositories_are_found_whatever_the_case_of_their_letters(run_dir: Path) -> None:
    receipt = forget(str(run_dir), asking(repos=("OWNER3/Repo", "owner3/rep", "owner33/repo")))
    theirs = {row["doc_id"] for row in kept(run_dir) if row["repo"] == "owner3/repo"}
    assert receipt["found"]["repos"] == {"owner3/repo": len(theirs)}
    assert receipt["found"]["unknown_repos"] == ["owner3/rep", "owner33/repo"]
    assert set(in_shards(run_dir)) - set(masked_documents(run_dir)) == theirs & set(in_shards(run_dir))
    assert {row.tobytes() for row in forgotten_ids(str(run_dir))} == theirs
    assert verify(str(run_dir), QUIET) == []


def test_what_is_unknown_is_reported_and_stays_on_the_list(run_dir: Path) -> None:
    known, unknown = in_shards(run_dir)[0], b"\xff" * 16
    receipt = forget(str(run_dir), asking(known, unknown))
    assert receipt["found"]["doc_ids"] == 1
    assert receipt["found"]["unknown_doc_ids"] == ["ff" * 16]
    assert Listed.of(str(run_dir)).ids == {known, unknown}
    only = forget(str(run_dir), asking(unknown))
    assert only["shards"]["segments"] == 0
    assert verify(str(run_dir), QUIET) == []


def test_nothing_found_leaves_no_mask(run_dir: Path) -> None:
    forget(str(run_dir), asking(b"\xff" * 16))
    assert not (run_dir / "shard" / MASK_PATH).exists()
    assert opened(run_dir).mask is None


def test_keepers_of_duplicates_are_told_and_forgotten_if_asked(run_dir: Path) -> None:
    pair = next(row for row in removed(run_dir) if row["kind"] == "near")
    receipt = forget(str(run_dir), asking(pair["doc_id"]))
    (told,) = receipt["keepers"]
    assert (told["keeper_id"], told["kind"], told["forgotten"]) == (pair["keeper_id"].hex(), "near", False)
    assert told["jaccard"] == pytest.approx(pair["jaccard"], abs=1e-6)
    assert receipt["found"]["unknown_doc_ids"] == []
    assert pair["keeper_id"] in masked_documents(run_dir)
    again = forget(str(run_dir), asking(pair["doc_id"], with_keepers=True))
    assert again["keepers"] == [{**told, "forgotten": True}]
    assert pair["keeper_id"] not in masked_documents(run_dir)


@pytest.mark.parametrize("written", range(4))
def test_a_run_that_is_killed_leaves_the_old_mask_or_the_new_one(
    made: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Files are written in the order: repositories, documents, mask, receipt; each time the run dies before another of them."""
    ids = in_shards(run_dir)
    forget(str(run_dir), asking(*ids[:5]))
    old = (run_dir / "shard" / MASK_PATH).read_bytes()
    undisturbed = shutil.copytree(run_dir, tmp_path / "undisturbed")
    forget(str(undisturbed), asking(*ids[:30]))
    left = [written]

    def dying(write: Any) -> Any:
        def write_or_die(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return write(*arguments)

        return write_or_die

    for module, name in ((pipelines.forgotten, "write_bytes"), (pipelines.forgotten, "save"), (pipelines.forget, "write_bytes")):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    with pytest.raises(KeyboardInterrupt):
        forget(str(run_dir), asking(*ids[:30]))
    now = (run_dir / "shard" / MASK_PATH).read_bytes()
    assert now == (old if written < 3 else (undisturbed / "shard" / MASK_PATH).read_bytes())
    assert len(masked_documents(run_dir)) == len(ids) - (5 if written < 3 else 30)
    assert any("can still be read" in problem for problem in verify(str(run_dir), QUIET)) == (written == 2)
    monkeypatch.undo()
    forget(str(run_dir), asking(*ids[:30]))
    assert digests(run_dir) == digests(undisturbed)


def test_a_stage_that_is_up_to_date_keeps_its_mask(run_dir: Path, recipe: Recipe, engine: Engine) -> None:
    forget(str(run_dir), asking(*in_shards(run_dir)[:5]))
    before = digests(run_dir)
    shard(recipe, str(run_dir), "", engine)
    assert digests(run_dir) == before


def test_shards_that_are_made_again_leave_forgotten_documents_out(run_dir: Path, recipe: Recipe, engine: Engine) -> None:
    ids = in_shards(run_dir)
    whole = masked_documents(run_dir)
    forget(str(run_dir), asking(*ids[:20:2], repos=("owner1/repo",)))
    gone = {row.tobytes() for row in forgotten_ids(str(run_dir))}
    shutil.rmtree(run_dir / "shard")
    shard(recipe, str(run_dir), "", engine)
    again = masked_documents(run_dir)
    assert opened(run_dir).mask is None
    assert set(again) == set(whole) - gone
    assert all(np.array_equal(again[doc_id], whole[doc_id]) for doc_id in again)
    assert verify(str(run_dir), QUIET) == []
    receipt = forget(str(run_dir), asking(*ids[:20:2]))
    assert (receipt["shards"]["segments"], receipt["found"]["unknown_doc_ids"]) == (0, [])


def test_every_pass_forgets_and_so_does_what_is_held_out(made: Path, corpus: Path, tmp_path: Path, engine: Engine) -> None:
    values = recipe_values(corpus)
    values["shard"] |= {"epochs": 2, "held_out": 0.2, "strata": "language", "compression": "zstd"}
    shard(Recipe(**values), str(tmp_path), str(made), engine)
    gone = in_shards(made)[::3]
    receipt = forget(str(tmp_path), asking(*gone))
    assert receipt["found"]["unknown_doc_ids"] == []
    assert any(path.startswith("held_out/") for path in receipt["shards"]["rows"])
    shards = opened(tmp_path)
    seen: dict[int, set[bytes]] = {}
    for source, stratum in shards.strata.items():
        for number in range(len(stratum.entries)):
            each = shards.shard(source, number)
            table = each.segment_table()
            seen.setdefault(each.metadata.epoch, set()).update(row.tobytes() for row in table.doc_id[table.kind > 0])
    assert len(seen) == 2
    assert set.union(*seen.values()) == set(in_shards(made)) - set(gone)
    epochs = {row["epoch"] for row in trace_document(str(tmp_path), gone[0], str(made))["rows"]}
    assert epochs <= {0, 1}
    assert verify(str(tmp_path), QUIET) == verify_without_forgetting(tmp_path)


def verify_without_forgetting(run_dir: Path) -> list[str]:
    """Problems of a run as if nothing had been forgotten: here, that its earlier stages lie elsewhere."""
    (run_dir / "shard" / MASK_PATH).unlink()
    shutil.rmtree(run_dir / "forget")
    return verify(str(run_dir), QUIET)


def test_a_stage_that_was_stopped_forgets_what_it_had_done(
    run_dir: Path, recipe: Recipe, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = in_shards(run_dir)[:5]
    shutil.rmtree(run_dir / "shard")
    with monkeypatch.context() as stopped:
        stopped.setattr(Stage, "commit", lambda *_: 1 / 0)
        with pytest.raises(SpanmillError):
            shard(recipe, str(run_dir), "", engine)
    assert list((run_dir / "shard").rglob("*.arrow"))
    assert forget(str(run_dir), asking(*gone))["shards"] is None
    shard(recipe, str(run_dir), "", engine)
    assert not set(gone) & set(masked_documents(run_dir))
    assert verify(str(run_dir), QUIET) == []


def test_a_run_that_takes_stages_from_another_forgets_what_that_one_did(run_dir: Path, tmp_path: Path) -> None:
    forget(str(run_dir), asking(*in_shards(run_dir)[:2], repos=("owner1/repo",)))
    here = forgotten_ids(str(run_dir))
    assert np.array_equal(forgotten_ids(str(tmp_path / "next"), str(run_dir)), here)
    assert here.tolist() == sorted(here.tolist())
    assert len(forgotten_ids(str(tmp_path / "next"))) == 0


def with_shards_only(made: Path, run_dir: Path) -> Path:
    """A run whose earlier stages lie elsewhere."""
    shutil.copytree(made / "shard", run_dir / "shard")
    return run_dir


def test_shards_are_reached_through_the_run_that_has_the_earlier_stages(made: Path, run_dir: Path, tmp_path: Path) -> None:
    elsewhere = with_shards_only(made, tmp_path / "next")
    pair = next(row for row in removed(made) if row["kind"] == "near")
    asked = asking(pair["doc_id"], repos=("owner1/repo",), with_keepers=True)
    before = digests(run_dir)
    receipt = forget(str(elsewhere), asked, str(run_dir))
    assert digests(run_dir) == before
    theirs = {row["doc_id"] for row in kept(made) if row["repo"] == "owner1/repo"}
    assert receipt["found"]["repos"] == {"owner1/repo": len(theirs)}
    gone = (theirs | {pair["keeper_id"]}) & set(in_shards(made))
    assert set(in_shards(made)) - set(masked_documents(elsewhere)) == gone
    assert theirs <= Listed.of(str(elsewhere)).ids
    same = forget(str(run_dir), asked)
    assert {**same, "receipt": ""} == {**receipt, "receipt": ""}
    assert (elsewhere / "shard" / MASK_PATH).read_bytes() == (run_dir / "shard" / MASK_PATH).read_bytes()


def test_the_error_names_the_command_that_reaches_them(made: Path, tmp_path: Path) -> None:
    elsewhere = with_shards_only(made, tmp_path / "next")
    (tmp_path / "repos").write_text("owner1/repo\n")
    arguments = ["forget", str(elsewhere), "--repos", str(tmp_path / "repos")]
    with pytest.raises(StageError, match=rf"`spanmill forget {elsewhere} --input RUN --repos FILE`"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    with pytest.raises(StageError, match=r"--input .*none holds neither"):
        CliRunner().invoke(cli, [*arguments, "--input", str(tmp_path / "none")], catch_exceptions=False)
    assert not (elsewhere / "forget").exists()
    done = CliRunner().invoke(cli, [*arguments, "--input", str(made)])
    assert done.exit_code == 0, done.output
    assert opened(elsewhere).mask is not None


def test_repositories_are_not_looked_up_in_another_corpus(made: Path, run_dir: Path, tmp_path: Path) -> None:
    elsewhere = with_shards_only(made, tmp_path / "next")
    manifest = json.loads((run_dir / "curate/manifest.json").read_text())
    manifest["files"].pop()
    (run_dir / "curate/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StageError, match="were made from another curate stage"):
        forget(str(elsewhere), asking(repos=("owner1/repo",)), str(run_dir))
    forget(str(elsewhere), asking(in_shards(made)[0]), str(run_dir))
    assert opened(elsewhere).mask is not None


def test_a_run_without_shards_says_that_those_of_others_stay(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run_dir / "shard")
    show_receipt(forget(str(run_dir), asking(repos=("owner1/repo",))))
    assert "until `spanmill forget` names that run, with --input for this one" in capsys.readouterr().out


def test_an_opt_out_that_finds_nothing_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("nobody/nothing\n")
    arguments = ["forget", str(run_dir), "--repos", str(names)]
    with pytest.raises(InputError, match="Nothing of what was asked for was found, so nothing was hidden"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert CliRunner().invoke(cli, [*arguments, "--json"]).exit_code != 0
    assert Listed.of(str(run_dir)).repos == {"nobody/nothing"}
    assert len(list((run_dir / "forget/receipts").iterdir())) == 1
    names.write_text("nobody/nothing\nowner1/repo\n")
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "1 repository without a document here" in done.output


def test_masks_come_with_fetched_shards_and_later_ones_too(run_dir: Path, tmp_path: Path) -> None:
    ids, here = in_shards(run_dir), tmp_path / "here"
    forget(str(run_dir), asking(*ids[:5]))
    fetch(("tokenizer", "shard"), str(run_dir), str(here), QUIET)
    assert (here / "shard" / MASK_PATH).read_bytes() == (run_dir / "shard" / MASK_PATH).read_bytes()
    forget(str(here), asking(ids[50]))  # here only: it must outlast what comes from there
    forget(str(run_dir), asking(*ids[:9]))
    fetch(("tokenizer", "shard"), str(run_dir), str(here), QUIET)
    assert set(ids) - set(masked_documents(here)) == {*ids[:9], ids[50]}


def test_statistics_say_how_much_is_forgotten(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "forgotten" not in collect(str(run_dir))
    receipt = forget(str(run_dir), asking(*in_shards(run_dir)[:5]))
    found = collect(str(run_dir))
    assert found["forgotten"]["tokens"] == receipt["shards"]["tokens"] > 0
    show(found, [])
    assert "5 documents in" in capsys.readouterr().out


def test_verify_finds_masks_that_hide_too_little_or_the_wrong_rows(run_dir: Path) -> None:
    ids = in_shards(run_dir)
    forget(str(run_dir), asking(*ids[:3]))
    mask, listed = run_dir / "shard" / MASK_PATH, run_dir / DOCUMENTS
    small, short_list = mask.read_bytes(), listed.read_bytes()
    forget(str(run_dir), asking(*ids[:6]))
    large, long_list = mask.read_bytes(), listed.read_bytes()
    mask.write_bytes(small)
    assert any("segments of forgotten documents can still be read" in problem for problem in verify(str(run_dir), QUIET))
    mask.write_bytes(large)
    listed.write_bytes(short_list)
    assert any("3 documents hidden but not on the list" in problem for problem in verify(str(run_dir), QUIET))
    listed.write_bytes(long_list)
    mask.write_bytes(large.replace(ids[0], b"\xee" * 16))
    assert any("is damaged: what it hides has not the digest" in problem for problem in verify(str(run_dir), QUIET))
    mask.write_bytes(large)
    assert verify(str(run_dir), QUIET) == []


def test_a_mask_of_other_shards_is_refused_and_made_anew(made: Path, run_dir: Path) -> None:
    forget(str(run_dir), asking(in_shards(run_dir)[0]))
    manifest = json.loads((run_dir / "shard/manifest.json").read_text())
    manifest["files"].pop()
    (run_dir / "shard/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ShardError, match="hides segments of other shards"):
        opened(run_dir)
    forget(str(run_dir), asking(in_shards(run_dir)[0]))  # the list has all that was hidden
    assert opened(run_dir).mask is not None


@pytest.mark.parametrize("damage", [b"\x93NUMPY nonsense", b""])
def test_a_damaged_list_is_refused(run_dir: Path, damage: bytes) -> None:
    forget(str(run_dir), asking(in_shards(run_dir)[0]))
    (run_dir / DOCUMENTS).write_bytes(damage)
    with pytest.raises(InputError, match=r"is damaged .* would come back"):
        forgotten_ids(str(run_dir))


def test_files_of_names(tmp_path: Path) -> None:
    ids, repos = tmp_path / "ids", tmp_path / "repos"
    ids.write_text(f"# asked for on paper\n{'ab' * 16}\r\n\n  {'CD' * 16}   # and this one\n{'ab' * 16}\n")
    repos.write_text("a/b\na/c#d\n# a/e\n")
    request = read_request(str(ids), str(repos), with_keepers=True)
    assert request == Request(frozenset({b"\xab" * 16, b"\xcd" * 16}), frozenset({"a/b", "a/c#d"}), with_keepers=True)


def test_a_mark_of_the_encoding_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    ids, repos = tmp_path / "ids", tmp_path / "repos"
    ids.write_text("ab" * 16, encoding="utf-8-sig")
    repos.write_text("a/b\n\ufeffa/c\n", encoding="utf-8-sig")
    request = read_request(str(ids), str(repos), with_keepers=False)
    assert request == Request(frozenset({b"\xab" * 16}), frozenset({"a/b", "\ufeffa/c"}))


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"ab\n", ConfigError, "line 1: 'ab' is no document id; 32 hex digits"),
        (b"#\n" + b"g" * 32, ConfigError, "line 2: 'gggg"),
        (b"\xff\xfe", InputError, "not UTF-8"),
        (b"# nothing\n", ConfigError, "Nothing to forget: give --doc-ids FILE, --repos FILE or --paths FILE"),
        (None, InputError, "There is no file"),
    ],
)
def test_files_that_are_no_names_are_refused(tmp_path: Path, content: bytes | None, error: type[SpanmillError], words: str) -> None:
    if content is not None:
        (tmp_path / "ids").write_bytes(content)
    with pytest.raises(error, match=words):
        read_request(str(tmp_path / "ids"), "", with_keepers=False)


def test_folders_that_are_no_runs_are_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="there is nothing to forget"):
        forget(str(tmp_path), asking(b"\x01" * 16))
    shutil.copytree(made / "shard", tmp_path / "shard")
    with pytest.raises(StageError, match="no finished curate stage, so it is not known which documents are of which repository"):
        forget(str(tmp_path), asking(repos=("a/b",)))
    gone = in_shards(made)[0]
    assert forget(str(tmp_path), asking(gone))["found"]["unknown_doc_ids"] == []
    assert gone not in masked_documents(tmp_path)


def test_the_command(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text(f"{in_shards(run_dir)[0].hex()}\n{'ee' * 16}\n")
    (tmp_path / "repos").write_text("Owner2/repo\nno\x1b[31m/body\n")
    arguments = ["forget", str(run_dir), "--doc-ids", str(tmp_path / "ids"), "--repos", str(tmp_path / "repos")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "owner2/repo: " in done.output
    assert "1 id neither in curate's documents nor in shards" in done.output
    assert "no�[31m/body" in done.output
    assert "\x1b" not in done.output
    as_json = CliRunner().invoke(cli, [*arguments, "--json"])
    assert json.loads(as_json.output)["found"]["unknown_doc_ids"] == ["ee" * 16]
    with pytest.raises(ConfigError, match="There is no folder"):
        CliRunner().invoke(cli, ["forget", str(tmp_path / "none"), *arguments[2:]], catch_exceptions=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: None])
def test_a_damaged_or_lost_mask_is_made_anew_from_the_list(run_dir: Path, damage: Any) -> None:
    first, second, *_ = in_shards(run_dir)
    forget(str(run_dir), asking(first))
    forget(str(run_dir), asking(second))
    mask = run_dir / "shard" / MASK_PATH
    content = mask.read_bytes()
    left = damage(content)
    mask.unlink()
    if left is not None:
        mask.write_bytes(left)
        with pytest.raises(ShardError, match="with any name that is on its list"):
            open_shards(str(run_dir / "shard"))
    receipt = forget(str(run_dir), asking(first))
    assert mask.read_bytes() == content
    assert receipt["shards"]["documents"] == 1, "the receipt is about what was asked"
    assert verify(str(run_dir), QUIET) == []


def test_a_mask_made_anew_hides_what_the_list_of_the_input_run_has(
    made: Path, run_dir: Path, tmp_path: Path, corpus: Path, engine: Engine
) -> None:
    first, second, *_ = in_shards(made)
    later = tmp_path / "later"
    shard(Recipe(**recipe_values(corpus)), str(later), str(run_dir), engine)
    forget(str(run_dir), asking(first))
    forget(str(later), asking(second), str(run_dir))
    mask = later / "shard" / MASK_PATH
    content = mask.read_bytes()
    mask.write_bytes(content[:-40])
    forget(str(later), asking(second))  # without --input: the list has all that was hidden
    assert mask.read_bytes() == content
    assert not {first, second} & documents_of(later)
    assert verify(str(later), QUIET) == verify(str(later), QUIET, str(run_dir)) == []


def test_a_mask_that_was_fetched_can_be_made_anew(run_dir: Path, tmp_path: Path) -> None:
    first, second, *_ = in_shards(run_dir)
    forget(str(run_dir), asking(first))
    fetch(["tokenizer", "shard"], str(run_dir), str(tmp_path / "here"), QUIET)
    here = tmp_path / "here"
    (here / "shard" / MASK_PATH).write_bytes(b"torn")
    forget(str(here), asking(second))
    assert not {first, second} & documents_of(here)
    shutil.rmtree(here / "forget")
    (here / "shard" / MASK_PATH).write_bytes(b"torn")
    for _ in range(2):  # the first refusal leaves nothing that would let the second through
        with pytest.raises(ShardError, match="copy the file again"):
            forget(str(here), asking(second))


def documents_of(run_dir: Path) -> set[bytes]:
    """Those that can still be read."""
    return set(masked_documents(run_dir))

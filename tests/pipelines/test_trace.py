"""Every token of every row says what it is of; what a corpus holds cannot harm the terminal it is shown on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from made_up_corpus import recipe_values, write_corpus
from run_the_line import run

from beam_runner import cli
from contracts.errors import ConfigError, InputError, ShardError, StageError
from contracts.schemas import OBJECTIVES
from pipelines.engine import Engine
from pipelines.forget import forget
from pipelines.forget_request import Request
from pipelines.forget_tables import show_list, show_receipt
from pipelines.forgotten_list import list_forgotten
from pipelines.recipe import Recipe
from pipelines.token_text import TokenText
from pipelines.trace import trace_document, trace_token
from pipelines.trace_names import trace_names
from pipelines.trace_tables import _shown, show_document, show_names, show_token
from sharding.batch import Batch
from sharding.check import documents
from sharding.shards import Shard, open_shards

HOSTILE = "owner/\x1b[2J\x07[red]evil[/red]\u202egnp.exe"
"""A name that clears the screen, rings, is markup, and turns the direction of writing."""

Row = dict[str, Any]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every objective for code and prose; one repository and its text are hostile. Nobody changes it."""
    corpus, run_dir = write_corpus(tmp_path_factory.mktemp("hostile"), documents=120), tmp_path_factory.mktemp("traced") / "run"
    path = corpus / "code/python/train-00000-of-00002.parquet"
    table = pq.read_table(path)
    names = [
        HOSTILE if i == 6 else name for i, name in enumerate(table["max_stars_repo_name"].to_pylist())
    ]  # which has no duplicate
    texts = [
        f"# \x1b]0;owned\x07 [bold] <mask_1> é漢🙂 \u202e {text}" if i == 6 else text
        for i, text in enumerate(table["content"].to_pylist())
    ]
    for name, values in (("max_stars_repo_name", names), ("content", texts)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(table, path, row_group_size=20)
    values = recipe_values(corpus)
    values["shard"]["objectives"] = {name: 1.0 for name in OBJECTIVES[1:] if name != "chat"}
    run(Recipe(**values), run_dir, Engine(("--direct_running_mode=in_memory",)))
    return run_dir


def texts(run_dir: Path) -> dict[bytes, Row]:
    return {
        row["doc_id"]: row for path in sorted((run_dir / "curate/documents").iterdir()) for row in pq.read_table(path).to_pylist()
    }


def shards(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "shard").rglob("[0-9]*.arrow"))


def of_kind(run_dir: Path, name: str, start_of_document: bool = False) -> tuple[Path, int, int]:
    """(shard, row, number) of the longest segment of an objective in the first shards."""
    found = []
    for path in shards(run_dir):
        shard = Shard.open(str(path))
        for row in range(shard.rows):
            segments = shard.segments(row)
            for number in np.flatnonzero(segments.kind == OBJECTIVES.index(name)).tolist():
                place = (int(segments.length[number]), path, row, number)
                found += [place] if not start_of_document or segments.doc_start[number] == 0 else []
    assert found, f"no segment of {name}"
    return max(found, key=lambda each: each[0])[1:]


def text_of(answer: Row) -> str:
    """The neighbourhood without control tokens."""
    return "".join(piece.get("text", "") for piece in [*answer["before"], *answer["asked"], *answer["after"]])


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES[1:] if name != "chat"])
def test_every_token_of_a_segment_leads_to_its_place_in_its_document(run_dir: Path, objective: str) -> None:
    path, row, number = of_kind(run_dir, objective, start_of_document=True)
    shard = Shard.open(str(path))
    ids, segments = shard.row(row), shard.segments(row)
    start, length = int(segments.start[number]), int(segments.length[number])
    doc_id = segments.doc_id[number].tobytes()
    whole = documents(Shard.open(str(each)) for each in shards(run_dir))[doc_id]
    places = []
    for token in range(start, start + length, 3):
        answer = trace_token(str(path), row, token, around=0)
        assert answer["doc_id"] == doc_id.hex()
        assert answer["segment"]["objective"] == objective
        place = answer["segment"]["document_token"]
        if place is None:
            assert "control" in answer["asked"][0]
        else:
            assert whole[place] == ids[token] == answer["token_id"]
            places.append(place)
    assert len(places) == len(set(places)) > length // 6


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES[1:] if name != "chat"])
def test_the_neighbourhood_is_text_of_the_document(run_dir: Path, objective: str) -> None:
    path, row, number = of_kind(run_dir, objective)
    segments = Shard.open(str(path)).segments(row)
    start, length = int(segments.start[number]), int(segments.length[number])
    answer = trace_token(str(path), row, start + length // 2, around=1000)
    document = texts(run_dir)[segments.doc_id[number].tobytes()]
    pieces = [*answer["before"], *answer["asked"], *answer["after"]]
    held = "".join(piece.get("text", "\0") for piece in pieces).replace("�", "")
    assert all(stretch in document["text"] for stretch in held.split("\0"))
    assert len(held) > length
    for name in ("repo", "path", "licenses", "license_evidence", "stars", "origin", "source", "language"):
        assert answer["document"][name] == document[name]
    (source,) = answer["document"]["input_paths"]
    assert Path(source).exists()
    assert answer["notes"] == []


def test_targets_are_those_of_the_loader(run_dir: Path) -> None:
    shard_set = open_shards(str(run_dir / "shard"))
    path = shards(run_dir)[0]
    shard = Shard.open(str(path))
    batch = Batch.build(shard.row(2)[None], shard.segments(2), np.zeros(1, np.int32), shard_set.metadata.special_ids)
    for token in range(0, len(shard.row(2)), 7):
        segment = trace_token(str(path), 2, token, around=0)["segment"]
        assert segment.get("is_target", False) == (token > 0 and bool(batch.loss_mask[0, token - 1]))


def test_padding_is_of_no_document(run_dir: Path) -> None:
    path, row, number = of_kind(run_dir, "padding")
    answer = trace_token(str(path), row, int(Shard.open(str(path)).segments(row).start[number]))
    assert answer["segment"]["objective"] == "padding"
    assert "doc_id" not in answer
    assert answer["asked"] == [{"control": "<fim_pad>"}]
    show_token(answer)


def test_a_document_leads_to_every_row_that_holds_it(run_dir: Path) -> None:
    rows: dict[bytes, set[tuple[str, int, int]]] = {}
    for path in shards(run_dir):
        shard = Shard.open(str(path))
        for row in range(shard.rows):
            segments = shard.segments(row)
            for number in np.flatnonzero(segments.kind).tolist():
                place = (str(path.relative_to(run_dir / "shard")), row, int(segments.start[number]))
                rows.setdefault(segments.doc_id[number].tobytes(), set()).add(place)
    for doc_id in sorted(rows)[::40]:
        answer = trace_document(str(run_dir), doc_id)
        assert {(each["shard"], each["row"], each["start"]) for each in answer["rows"]} == rows[doc_id]
        assert answer["document"]["path"] == texts(run_dir)[doc_id]["path"]
        assert answer["fate"] == {"kept": True}
        assert answer["forgotten"] == {"listed": False, "hidden": False, "left_out": False}


def test_a_document_that_is_in_no_shard_says_why(run_dir: Path) -> None:
    (removal, *_) = pq.read_table(run_dir / "dedup/removals/00000.parquet").to_pylist()
    answer = trace_document(str(run_dir), removal["doc_id"])
    assert answer["rows"] == []
    assert (answer["fate"]["check"], answer["fate"]["keeper_id"]) == (removal["kind"], removal["keeper_id"].hex())
    copies = trace_document(str(run_dir), removal["keeper_id"])["duplicates_removed"]
    assert copies[removal["kind"]] >= 1
    decisions = [row for path in sorted((run_dir / "curate/decisions").iterdir()) for row in pq.read_table(path).to_pylist()]
    dropped = trace_document(str(run_dir), decisions[0]["doc_id"])
    assert (dropped["fate"]["check"], dropped["fate"]["reason"]) == (decisions[0]["check"], decisions[0]["reason"])
    for each in (answer, dropped):
        show_document(each)


def test_a_document_that_no_stage_has_seen_is_an_error(run_dir: Path, tmp_path: Path) -> None:
    unknown = b"\xff" * 16
    with pytest.raises(InputError, match=f"document {unknown.hex()} is unknown. It was looked for in curate, dedup and shard"):
        trace_document(str(run_dir), unknown)
    as_json = CliRunner().invoke(cli, ["trace", str(run_dir), "--doc-id", unknown.hex(), "--json"])
    assert (as_json.exit_code != 0, as_json.output) == (True, "")
    shutil.copytree(run_dir / "shard", tmp_path / "shard")
    forget(str(tmp_path), Request(frozenset({unknown})))
    with pytest.raises(
        InputError,
        match=r"is on the list of what was forgotten. It was looked for in shard. .* --input names a run that has that stage",
    ):
        trace_document(str(tmp_path), unknown)
    path, row, number = of_kind(run_dir, "causal")
    held = Shard.open(str(path)).segments(row).doc_id[number].tobytes()
    assert trace_document(str(tmp_path), held)["fate"] == {"kept": True}


def test_hostile_names_and_text_do_not_reach_the_terminal(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doc_id = next(doc_id for doc_id, row in texts(run_dir).items() if row["repo"] == HOSTILE)
    whole = trace_document(str(run_dir), doc_id)
    show_document(whole)
    first = min(whole["rows"], key=lambda row: (row["doc_start"], row["row"]))
    answer = trace_token(str(run_dir / "shard" / first["shard"]), first["row"], first["start"] + 8, around=1000)
    show_token(answer)
    shown = capsys.readouterr().out
    assert "owner/�[2J�[red]evil[/red]�gnp.exe" in shown
    assert not {letter for letter in shown if not letter.isprintable()} - {"\n"}
    assert answer["document"]["repo"] == HOSTILE
    as_json = CliRunner().invoke(cli, ["trace", str(run_dir), "--doc-id", doc_id.hex(), "--json"])
    assert as_json.output.isascii()
    assert "\x1b" not in as_json.output
    assert json.loads(as_json.output)["document"]["repo"] == HOSTILE


def test_hostile_names_do_not_reach_the_terminal_from_lists(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "run")
    show_names(trace_names(str(copy), HOSTILE, ""))
    show_receipt(forget(str(copy), Request(repos=frozenset({HOSTILE, HOSTILE[:-1]}))))
    show_list(list_forgotten(str(copy), "", 10))
    shown = capsys.readouterr().out
    assert shown.count("owner/�[2J�[red]evil[/red]�gnp.exe") >= 5
    assert "(did you mean owner/�[2J�[red]evil[/red]�gnp.exe?)" in shown
    assert not {letter for letter in shown if not letter.isprintable()} - {"\n"}
    with pytest.raises(InputError) as raised:
        trace_names(str(copy), HOSTILE[:-1], "")
    assert str(raised.value).isprintable()


def test_text_that_spells_a_control_token_is_told_from_one(run_dir: Path) -> None:
    shard = Shard.open(str(shards(run_dir)[0]))
    text = TokenText.load(str(run_dir / "tokenizer/tokenizer.json"), shard.metadata)
    assert text is not None
    spelled = [index for index in range(shard.metadata.vocab_size) if text.pieces(np.array([index])) == [{"text": "<"}]]
    control = shard.metadata.special_ids["<mask_1>"]
    assert text.pieces(np.array([*spelled, control, *spelled, *spelled])) == [
        {"text": "<"},
        {"control": "<mask_1>"},
        {"text": "<<"},
    ]


@given(st.text(st.sampled_from("⟦⟧<mask_1>[]\\/u27e6 ")), st.text(st.sampled_from("⟦⟧<mask_1>[]\\")))
def test_brackets_on_the_terminal_are_those_of_control_tokens(before: str, after: str) -> None:
    pieces = [{"text": before}, {"control": "<mask_1>"}, {"text": after}]
    shown = _shown(pieces).plain
    spelled = [text.replace("⟦", r"\u27e6").replace("⟧", r"\u27e7") for text in (before, after)]
    assert shown == "⟦<mask_1>⟧".join(spelled)
    assert (shown.count("⟦"), shown.count("⟧")) == (1, 1)


def test_a_forgotten_document_is_still_traced_and_said_to_be_so(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run_dir, tmp_path / "run")
    path, row, number = of_kind(copy, "causal")
    segments = Shard.open(str(path)).segments(row)
    doc_id, token = segments.doc_id[number].tobytes(), int(segments.start[number])
    forget(str(copy), Request(frozenset({doc_id})))
    answer = trace_token(str(path), row, token)
    assert answer["forgotten"] == {"listed": True, "hidden": True, "left_out": False}
    assert trace_document(str(copy), doc_id)["forgotten"] == {"listed": True, "hidden": True, "left_out": False}
    show_token(answer)
    assert "loaders read padding in its place" in capsys.readouterr().out


def test_a_shard_alone_tells_what_it_can(run_dir: Path, tmp_path: Path) -> None:
    path, row, number = of_kind(run_dir, "causal")
    shutil.copy(path, tmp_path / "alone.arrow")
    segments = Shard.open(str(path)).segments(row)
    answer = trace_token(str(tmp_path / "alone.arrow"), row, int(segments.start[number]))
    assert answer["doc_id"] == segments.doc_id[number].tobytes().hex()
    assert answer["document"] is None
    assert "before" not in answer
    assert ["text is not shown" in note or "origin are not known" in note for note in answer["notes"]] == [True, True]
    show_token(answer)
    helped = trace_token(str(tmp_path / "alone.arrow"), row, int(segments.start[number]), str(run_dir))
    assert helped["document"]["path"]
    assert text_of(helped)
    assert helped["notes"] == []


def test_another_tokenizer_is_not_used(run_dir: Path, tmp_path: Path) -> None:
    for stage in ("shard", "tokenizer"):
        shutil.copytree(run_dir / stage, tmp_path / stage)
    tokenizer = tmp_path / "tokenizer/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    answer = trace_token(str(shards(tmp_path)[0]), 0, 0)
    assert "before" not in answer
    assert any("holds another tokenizer" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ((10**6, 0), ConfigError, r"row 1000000 of .*arrow: 0 to \d+ is allowed"),
        ((-1, 0), ConfigError, r"row -1 of .*arrow: 0 to \d+ is allowed"),
        ((0, 129), ConfigError, "token 129 of a row of .*arrow: 0 to 128 is allowed"),
        ((0, -1), ConfigError, "token -1 of a row of"),
    ],
)
def test_places_that_are_not_there(run_dir: Path, place: tuple[int, int], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        trace_token(str(shards(run_dir)[0]), *place)


def test_what_is_no_shard_and_no_run(run_dir: Path, tmp_path: Path) -> None:
    for folder in (run_dir, run_dir / "shard"):
        with pytest.raises(ConfigError, match=r"is a folder; a row and a token are those of one shard file"):
            trace_token(str(folder), 0, 0)
    with pytest.raises(ShardError, match="no such shard"):
        trace_token(str(tmp_path / "none.arrow"), 0, 0)
    with pytest.raises(ShardError, match="not a complete Arrow file"):
        trace_token(str(run_dir / "tokenizer/tokenizer.json"), 0, 0)
    with pytest.raises(StageError, match="neither a finished curate nor a finished shard stage"):
        trace_document(str(tmp_path), b"\x00" * 16)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trace", "RUN"], "trace needs SHARD ROW TOKEN"),
        (["trace", "RUN", "3"], "trace needs SHARD ROW TOKEN"),
        (["trace", "RUN", "3", "4", "--doc-id", "00" * 16], "--doc-id asks for documents: name a run and no row"),
        (["trace", "RUN", "--doc-id", "xyz"], "'xyz' is no document id: 32 hex digits"),
        (["trace", "RUN", "--doc-id", "ab"], "'ab' is no document id"),
    ],
)
def test_wrong_usage(run_dir: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CliRunner().invoke(cli, [str(run_dir) if each == "RUN" else each for each in arguments], catch_exceptions=False)


def test_the_command(run_dir: Path) -> None:
    path, row, number = of_kind(run_dir, "span_corruption")
    token = int(Shard.open(str(path)).segments(row).start[number])
    done = CliRunner().invoke(cli, ["trace", str(path), str(row), str(token)])
    assert done.exit_code == 0, done.output
    assert "span_corruption" in done.output
    assert "repository" in done.output


def test_a_token_that_was_moved_says_so(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a corrupted segment, the place in the document is not the segment's place and the token's place in it together."""
    path, row, number = of_kind(run_dir, "span_corruption")
    segments = Shard.open(str(path)).segments(row)
    start, length, begin = (int(column[number]) for column in (segments.start, segments.length, segments.doc_start))
    answers = [trace_token(str(path), row, token, around=0) for token in range(start, start + length)]
    places = [(answer["segment"]["document_token"], answer["segment"]["offset"]) for answer in answers]
    moved = next(i for i, (place, offset) in enumerate(places) if place is not None and place != begin + offset)
    control = next(i for i, (place, _) in enumerate(places) if place is None)
    for index, words in (
        (moved, "which the objective has moved: here it is token "),
        (control, "a control token that the objective wrote; "),
    ):
        show_token(answers[index])
        shown = " ".join(capsys.readouterr().out.split())
        assert words in shown
        assert f"span_corruption, {length} tokens: {start:,} to {start + length - 1:,} of the row, both included" in shown
    path, row, number = of_kind(run_dir, "causal")
    show_token(trace_token(str(path), row, int(Shard.open(str(path)).segments(row).start[number]) + 3))
    assert "moved" not in capsys.readouterr().out.split("place")[1].split("document ")[0]


def test_shards_are_printed_as_they_are_asked_for(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, row, number = of_kind(run_dir, "causal")
    answer = trace_document(str(run_dir), Shard.open(str(path)).segments(row).doc_id[number].tobytes())
    show_document(answer)
    first = answer["rows"][0]
    (line, *_) = (line.split() for line in capsys.readouterr().out.split("\n") if ".arrow" in line)
    again = trace_token(line[0], first["row"], first["start"], around=0)
    assert again["doc_id"] == answer["doc_id"]


@pytest.mark.parametrize("mistyped", ["shard/cod/00000.arrow", "code/00000.arrow", "shard/code/00000.arow"])
def test_a_mistyped_shard_is_guessed(run_dir: Path, mistyped: str) -> None:
    with pytest.raises(ShardError) as raised:
        trace_token(str(run_dir / mistyped), 0, 0)
    words = str(raised.value)
    assert words.startswith(
        f"{run_dir / mistyped}: no such shard. Did you mean '{run_dir}/shard/code/00000.arrow'? {run_dir}/shard has code/00000.arrow"
    )


def test_an_input_that_has_nothing_is_refused(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"--input .* holds no finished stage"):
        trace_token(str(shards(run_dir)[0]), 0, 0, str(tmp_path))

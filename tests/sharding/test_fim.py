from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_text import chunk, chunks_of, copies, example, fits, made_up, only, small, texts

from contracts.errors import ShardError
from contracts.special_tokens import END_OF_TEXT
from sharding.objectives import Codec, Controls, TextTable, fim
from sharding.objectives.fim import GROWTH, MIDDLE, PREFIX, SUFFIX, Fim, FimSettings

fim_settings = st.builds(
    lambda cut, sentinels, rate, spm: FimSettings(
        cut=cut, sentinels=sentinels, rate=rate, spm_rate=spm * (sentinels == "starcoder")
    ),
    st.sampled_from(["character", "token", "line"]),
    st.sampled_from(["starcoder", "codegen2"]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
)


def parts(ids: np.ndarray[Any, Any]) -> tuple[str, list[int], list[int], list[int], list[int]]:
    """(order, head, prefix, suffix, middle) of an example of StarCoder's; of SPM the prefix is part of the middle."""
    controls, tokens = small().controls.ids, ids.tolist()
    p, s, m = (tokens.index(controls[name]) for name in (PREFIX, SUFFIX, MIDDLE))
    end = len(tokens) - (tokens[-1] == controls[END_OF_TEXT])
    return "SPM" if s == p + 1 else "PSM", tokens[:p], tokens[p + 1 : s], tokens[s + 1 : m], tokens[m + 1 : end]


@given(st.lists(texts, min_size=1, max_size=2), fim_settings, st.integers(8, 60), st.integers(0, 3), st.integers(0, 2**32))
@settings(deadline=None)
def test_every_chunk_comes_back_byte_for_byte(documents: list[str], chosen: FimSettings, size: int, head: int, seed: int) -> None:
    s = small()
    chunks = chunks_of([s.encode(text) for text in documents], size, seed, head)
    objective = Fim(chosen, s.controls, s.codec)
    made = objective.examples(chunks)
    assert objective.lengths(chunks).tolist() == np.diff(made.offsets).tolist()
    for i in range(len(chunks.start)):
        restored = fim.restore(example(made, i), s.controls) if made.kind[i] == fim.CODE else None
        if restored is None:
            assert example(made, i).tolist() == chunk(chunks, i).tolist() + [s.controls.end_of_text] * bool(chunks.last[i])
            continue
        assert s.codec.table.spell(restored.ids) == s.codec.table.spell(chunk(chunks, i))
        assert restored.last == chunks.last[i]
        assert len(restored.ids) == len(chunk(chunks, i)) + made.grown[i]
        assert abs(made.grown[i]) <= (0 if chosen.cut == "token" else GROWTH)
        assert len(example(made, i)) <= len(chunk(chunks, i)) + objective.overhead
        assert example(made, i)[: chunks.head[i]].tolist() == chunk(chunks, i)[: chunks.head[i]].tolist()


@given(texts.filter(bool), st.sampled_from(["character", "line"]), st.integers(0, 2**32))
@settings(deadline=None, max_examples=300)
def test_each_part_has_the_ids_that_it_has_alone(text: str, cut: Any, seed: int) -> None:
    s = small()
    made = Fim(FimSettings(cut=cut, rate=1, spm_rate=0), s.controls, s.codec).examples(chunks_of([s.encode(text)], 10**6, seed))
    _, _, *pieces = parts(made.ids)
    prefix, suffix, middle = (s.text(piece) for piece in pieces)  # fails within a character
    assert prefix + middle + suffix == text
    assert pieces == [s.encode(prefix), s.encode(suffix), s.encode(middle)]
    if cut == "line":
        assert all(piece == "" or piece.endswith("\n") for piece in (prefix, prefix + middle) if piece != text)


@pytest.mark.parametrize(
    "text", ["a\n\nb", "a \n\n  b", "a\u00a0 \u00a0b", "é\n\n\n\nb", "if x:\r\n\r\n\t\ty", "漢字\u3000 仮名", "it's\t \tdon't"]
)
def test_runs_of_white_space_are_split_as_they_are_alone(text: str) -> None:
    """A run's last character may belong to the word behind it, so that no place within or behind a run is safe."""
    s = small()
    made = Fim(FimSettings(rate=1, spm_rate=0), s.controls, s.codec).examples(copies(s.encode(text), 200))
    pieces = {tuple(piece) for i in range(200) for piece in parts(example(made, i))[2:]}
    for piece in pieces:
        assert list(piece) == s.encode(s.text(list(piece)))


def test_both_orders_hold_the_same_parts() -> None:
    s = small()
    chunks = chunks_of([s.encode(made_up(60, seed=3))], 10**6, seed=5)
    made = [Fim(FimSettings(rate=1, spm_rate=rate), s.controls, s.codec).examples(chunks) for rate in (0, 1)]
    (one, _, prefix, suffix, middle), (other, _, nothing, same_suffix, whole) = (parts(each.ids) for each in made)
    assert (one, other, nothing) == ("PSM", "SPM", [])
    assert same_suffix == suffix
    assert whole == prefix + middle
    assert [each.layout.tolist() for each in made] == [[fim.PSM], [fim.SPM]]


LETTERS = "abcdefghij"
LETTER_CONTROLS = {name: 256 + i for i, name in enumerate([END_OF_TEXT, PREFIX, SUFFIX, MIDDLE, "<mask_1>", "<sep>", "<eom>"])}


def letters() -> Codec:
    """A codec whose tokens are bytes, with some control tokens behind."""
    offsets = np.minimum(np.arange(256 + len(LETTER_CONTROLS) + 1), 256)
    return Codec(TextTable(offsets, np.arange(256, dtype=np.uint8)), as_bytes)


def as_bytes(pieces: pa.LargeStringArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    encoded = [text.encode() for text in pieces.to_pylist()]
    return np.frombuffer(b"".join(encoded), np.uint8).astype(np.uint32), np.cumsum([0, *map(len, encoded)])


def picture(ids: np.ndarray[Any, Any]) -> str:
    names = {index: name for name, index in LETTER_CONTROLS.items()}
    return "".join(names.get(token, chr(token)) for token in ids.tolist())


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({"spm_rate": 0}, "ab<fim_prefix>cd<fim_suffix>hij<fim_middle>efg<|endoftext|>"),
        ({"spm_rate": 1}, "ab<fim_prefix><fim_suffix>hij<fim_middle>cdefg<|endoftext|>"),
        ({"spm_rate": 0, "sentinels": "codegen2"}, "abcd<mask_1>hij<|endoftext|><sep><mask_1>efg<eom>"),
        ({"rate": 0}, "abcdefghij<|endoftext|>"),
    ],
)
def test_the_published_layouts(chosen: dict[str, Any], wanted: str) -> None:
    objective = Fim(FimSettings(**{"rate": 1, **chosen}), Controls.of(LETTER_CONTROLS), letters())
    chunks = copies(list(LETTERS.encode()), 400, head=2)
    made = objective.examples(chunks)
    pictures = [picture(example(made, i)) for i in range(400)]
    assert wanted in pictures
    unfinished = objective.examples(chunks._replace(last=~chunks.last))
    assert all("<|endoftext|>" not in picture(example(unfinished, i)) for i in range(400))


@pytest.mark.parametrize("cut", ["character", "token"])
def test_cuts_are_uniform_and_independent(cut: Any) -> None:
    objective = Fim(FimSettings(cut=cut, rate=1), Controls.of(LETTER_CONTROLS), letters())
    made = objective.examples(copies(list(LETTERS.encode()), 100_000, head=2))
    first, second = made.span_starts - 2, made.span_starts - 2 + made.span_lengths
    pairs = np.bincount(first * 9 + second, minlength=81).reshape(9, 9)
    shares = 2 * np.triu(np.ones((9, 9)), 1) + np.eye(9)  # of two independent draws: either may come first
    cells = np.triu_indices(9)
    assert pairs[np.tril_indices(9, -1)].sum() == 0
    assert fits(pairs[cells], shares[cells])
    assert not fits(pairs[cells], np.ones(45)), "the test must tell a middle that is never empty from one that may be"


def test_character_cuts_are_uniform_over_characters_of_any_width() -> None:
    s = small()
    text = "né 漢字 xx\n🙂"
    objective = Fim(FimSettings(rate=1, spm_rate=0), s.controls, s.codec)
    made = objective.examples(copies(s.encode(text), 20_000))
    lengths = [len(s.text(parts(example(made, i))[2])) for i in range(20_000)]
    places = len(text) + 1
    earlier = 2 * (places - np.arange(places)) - 1  # of two independent draws the smaller
    assert fits(np.bincount(lengths, minlength=places), earlier)
    assert not fits(np.bincount(lengths, minlength=places), np.ones(places))


@pytest.mark.parametrize("cut", ["character", "token"])
def test_what_is_drawn_from_a_row_stays_while_the_end_of_the_chunk_is_looked_for(cut: Any) -> None:
    objective = Fim(FimSettings(cut=cut, rate=1), Controls.of(LETTER_CONTROLS), letters())
    row = copies([97] * 40, 20_000)
    whole, shorter, other = (objective.examples(row._replace(stop=row.stop - left, drawn=row.stop)) for left in (0, 8, 7))
    stay = whole.span_starts + whole.span_lengths <= 32
    assert (whole.span_starts[stay] == shorter.span_starts[stay]).all()
    assert 0.5 < stay.mean() < 0.7, "(33 / 41)² of all"
    assert (shorter.span_starts == other.span_starts).mean() > 0.9
    cuts = np.concatenate([shorter.span_starts, shorter.span_starts + shorter.span_lengths])
    assert fits(np.bincount(cuts, minlength=33), np.ones(33)), "cuts behind the end are drawn again, without a trace"


def test_line_cuts_are_uniform_over_line_ends() -> None:
    s = small()
    text = "if x:\n\n    y\n" + "z = 1"
    places = [0, 6, 7, 13, 18]
    objective = Fim(FimSettings(rate=1, spm_rate=0, cut="line"), s.controls, s.codec)
    made = objective.examples(copies(s.encode(text), 20_000))
    lengths = np.array([len(s.text(parts(example(made, i))[2])) for i in range(20_000)])
    assert set(lengths) == set(places)
    assert fits([(lengths == place).sum() for place in places], [9, 7, 5, 3, 1])


def test_control_tokens_in_the_text_are_kept_and_are_no_place_to_cut() -> None:
    s = small()
    issue = s.controls.ids["<issue_comment>"]
    ids = [*s.encode("ab"), issue, issue, *s.encode("cd")]
    objective = Fim(FimSettings(rate=1, spm_rate=0), s.controls, s.codec)
    made = objective.examples(copies(ids, 5_000))
    prefixes = [parts(example(made, i))[2] for i in range(5_000)]
    assert {s.text(prefix): prefix.count(issue) for prefix in prefixes} == {"": 0, "a": 0, "ab": 2, "abc": 2, "abcd": 2}
    assert all(fim.restore(example(made, i), s.controls).ids.tolist().count(issue) == 2 for i in range(5_000))


def test_rates_are_what_the_settings_ask_for() -> None:
    s = small()
    made = Fim(FimSettings(rate=0.3, spm_rate=0.6, cut="token"), s.controls, s.codec).examples(copies(s.encode("a b c"), 100_000))
    counts = np.bincount(made.layout, minlength=3)
    assert fits(counts, [0.7, 0.3 * 0.4, 0.3 * 0.6])
    assert not fits(counts, [0.7, 0.15, 0.15])
    assert ((made.kind == fim.CODE) == (made.layout > 0)).all()


def test_a_word_that_would_grow_too_much_is_cut_at_a_token() -> None:
    word = b"x" * 40
    offsets = np.minimum(np.arange(257), 256)
    offsets = np.append(offsets, [296, *[296] * len(LETTER_CONTROLS)])  # id 256 is the word; the encoder knows only bytes
    codec = Codec(TextTable(offsets, np.frombuffer(bytes(range(256)) + word, np.uint8)), as_bytes)
    controls = Controls.of({name: index + 1 for name, index in LETTER_CONTROLS.items()})
    calls: list[int] = []

    def encode(pieces: pa.LargeStringArray) -> Any:
        calls.append(len(pieces) // 4)
        return as_bytes(pieces)

    objective = Fim(FimSettings(rate=1, spm_rate=0), controls, Codec(codec.table, encode))
    made = objective.examples(copies([*b"ab ", 256, *b" cd"], 2_000))
    assert calls[0] == 2_000
    assert len(calls) == 1 + fim.REDRAWS
    assert (np.diff(calls) < 0).all(), "each time, some cuts are drawn elsewhere"
    assert (np.abs(made.grown) <= GROWTH).all()
    whole = [256 in example(made, i) for i in range(2_000)]
    assert all(whole)
    starts = set(made.span_starts.tolist())
    assert starts == set(range(8))  # every token edge is still reached: redrawn cuts, and those at tokens


def test_an_example_depends_on_its_key_alone() -> None:
    s = small()
    chunks = chunks_of([s.encode(made_up(300, seed)) for seed in range(3)], 50, seed=2)
    objective = Fim(FimSettings(), s.controls, s.codec)
    many = objective.examples(chunks)
    for which in ([0], [7, 3], [11]):
        few = objective.examples(only(chunks, which))
        assert [example(few, k).tolist() for k in range(len(which))] == [example(many, i).tolist() for i in which]


def test_all_text_is_encoded_in_one_call() -> None:
    s, calls = small(), []

    def encode(pieces: pa.LargeStringArray) -> Any:
        calls.append(len(pieces))
        return s.codec.encode(pieces)

    chunks = chunks_of([s.encode(made_up(300, seed)) for seed in range(3)], 50, seed=2)
    Fim(FimSettings(rate=1), s.controls, Codec(s.codec.table, encode)).examples(chunks)
    assert calls == [4 * len(chunks.start)]


def test_a_chunk_without_text_stays_causal() -> None:
    s = small()
    made = Fim(FimSettings(rate=1), s.controls, s.codec).examples(chunks_of([[], s.encode("a")], 10, seed=0, head=1))
    assert made.ids.tolist() == [s.controls.end_of_text, *s.encode("a"), s.controls.end_of_text]
    assert (made.kind == fim.CAUSAL).all()


@pytest.mark.parametrize("sentinels", ["starcoder", "codegen2"])
def test_a_torn_example_is_refused(sentinels: Any) -> None:
    s = small()
    ids = s.encode("one two three four")
    made = Fim(FimSettings(rate=1, spm_rate=0, sentinels=sentinels), s.controls, s.codec).examples(copies(ids, 20))
    for i in range(20):
        whole = example(made, i)
        needed = {s.controls.ids[name] for name in fim.SENTINELS[sentinels]}
        for at in [at for at, token in enumerate(whole.tolist()) if token in needed]:
            with pytest.raises(ShardError):
                fim.restore(np.delete(whole, at), s.controls)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"fim\.spm_rate = 0\.5 .*codegen2"):
        FimSettings(sentinels="codegen2")
    bare = Controls.of({END_OF_TEXT: 256, PREFIX: 257})
    with pytest.raises(
        ShardError, match=r"fim .*starcoder.* needs the control token <fim_suffix>.*2: <\|endoftext\|>, <fim_prefix>"
    ):
        Fim(FimSettings(), bare, letters())

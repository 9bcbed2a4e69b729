"""Encoding what no corpus should hold: special tokens spelled by chance, endless words, wide vocabularies."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_in_memory import train

import tokenizer.encode
from contracts.special_tokens import control_tokens
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, lay_out
from tokenizer.learn import learn
from tokenizer.literals import Literals
from tokenizer.pieces import Places, cut

PARTS = [
    "<",
    "|",
    ">",
    "|>",
    "<|",
    "endoftext",
    "<|endoftext|>",
    "mask",
    "_",
    "<mask_",
    "1",
    "17>",
    "<sep>",
    "<eom",
    "fim_prefix",
    " ",
    "\n",
    "<|end",
    "of",
]
LINES = st.lists(
    st.sampled_from(
        [
            "x",
            "\n",
            "\n\n",
            "  ",
            "\t",
            "'s",
            "é",
            "\u2028",
            "{",
            " ",
            "漢",
            "🙂",
            "я",
            "ก",
            "\u3000",
            "\u00a0",
            "\u0085",
            "\u1680",
            "\u2003",
            "。",
        ]
    ),
    max_size=60,
).map("".join)


DENSE = st.lists(st.sampled_from([*"aSt7'\"_+/=", "'s", "'ll", "é", "²", "\u0301", "漢", "。", " "]), max_size=60).map("".join)
"""Text with few spaces, as base64 and minified code have."""


@cache
def vocabulary() -> Vocabulary:
    return train(iter(["def f(x):\n\treturn  <mask_1> <|endoftext|>\n\n" * 40]), TokenizerSettings(vocab_size=700, masks=40))


@cache
def encoders() -> tuple[Encoder, Encoder]:
    return Encoder(vocabulary().json), Encoder(vocabulary().json, "tokenizers")


def arrow(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_a_million_strings_of_special_token_pieces_give_no_control_token() -> None:
    """All by the fast engine; 2,000 of them by the reference as well, with the same ids."""
    pieces = np.array(PARTS)[np.random.Generator(np.random.Philox(6)).integers(0, len(PARTS), (4, 1_000_000))]
    texts = pa.array(np.strings.add(np.strings.add(pieces[0], pieces[1]), np.strings.add(pieces[2], pieces[3]))).cast(
        pa.large_string()
    )
    fast, reference = encoders()
    assert not np.isin(fast(texts).ids, list(vocabulary().control_ids.values())).any()
    few = texts[:2000]
    assert np.array_equal(fast(few).ids, reference(few).ids)


@given(LINES | DENSE, st.integers(1, 20), st.sampled_from(["spaces", "words"]))
def test_cut_documents_have_the_ids_of_the_whole(text: str, most: int, places: Places) -> None:
    fast, reference = encoders()
    data, offsets = np.frombuffer(text.encode(), np.uint8), np.array([0, len(text.encode())])
    bounds, first = cut(data, offsets, most, places)
    assert first.tolist() == [0, len(bounds) - 1]
    pieces = [text.encode()[a:b].decode() for a, b in pairwise(bounds)]
    assert "".join(pieces) == text
    ids = reference(arrow(text)).ids.tolist()
    assert [i for piece in pieces for i in reference(arrow(piece)).ids.tolist()] == ids
    assert fast(arrow(text)).ids.tolist() == ids


def test_long_documents_are_cut_where_words_end() -> None:
    text = b"line\n" * 100
    bounds, first = cut(np.frombuffer(text, np.uint8), np.array([0, 3, 500]), 50, "words")
    assert np.diff(bounds).max() <= 55
    assert bounds[first].tolist() == [0, 3, 500]
    assert all(text[bound : bound + 1] == b"\n" for bound in bounds[2:-1])
    assert cut(np.full(1000, ord("x"), np.uint8), np.array([0, 1000]), 10, "words")[0].tolist() == [0, 1000], "a word is one piece"


@pytest.mark.parametrize(
    ("character", "cut_behind"),
    [(c, True) for c in "x~яﷺ漢。カ🙂\u0e01\u3001\ufeff"]
    + [(c, False) for c in map(chr, range(0x30000)) if c.isspace() and not 0x1C <= ord(c) <= 0x1F],
)
def test_cuts_lie_behind_visible_characters_of_any_script_and_never_behind_white_space(character: str, cut_behind: bool) -> None:
    for gap in " \n":
        text = np.frombuffer(f"{character}{gap}z".encode(), np.uint8)
        bounds, _ = cut(text, np.array([0, len(text)]), 1, "spaces")
        assert bounds.tolist() == [0, *([len(text) - 2] if cut_behind else []), len(text)]


def test_prose_without_ascii_letters_is_cut() -> None:
    text = np.frombuffer("漢字仮名交じり文、日本語の文章です。\n".encode() * 100, np.uint8)
    assert np.diff(cut(text, np.array([0, len(text)]), 200, "spaces")[0]).max() < 260


def test_text_without_spaces_is_cut_between_words_where_no_added_token_forbids_it() -> None:
    text = np.frombuffer(b"aGVsbG8gd29ybGQ+Zm9v/2Zvbw==" * 100, np.uint8)
    whole = np.array([0, len(text)])
    assert np.diff(cut(text, whole, 200, "words")[0]).max() < 220
    assert cut(text, whole, 200, "spaces")[0].tolist() == whole.tolist()
    assert cut(np.frombuffer(b"a b " * 100, np.uint8), np.array([0, 400]), 50, "nowhere")[0].tolist() == [0, 400]


def test_many_small_pieces_and_renewals_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = arrow(*(f"def f{i}(x):\n    return x{i}\n" * (i % 50) for i in range(200)), "", "one line " * 500)
    whole = encoders()[0](texts)
    for name, value in (("PIECE_BYTES", 100), ("WARM_BYTES", 5_000), ("CACHE_BYTES", -(10**12))):
        monkeypatch.setattr(tokenizer.encode, name, value)
    renewals: list[int] = []
    renew = Encoder._renew
    monkeypatch.setattr(Encoder, "_renew", lambda self: (renewals.append(1), renew(self))[1])
    small = encoders()[0](texts)
    assert np.array_equal(small.ids, whole.ids)
    assert np.array_equal(small.offsets, whole.offsets)
    assert len(renewals) > 5


@pytest.mark.parametrize(
    "text", ["ab" * 250_000, " " * 1_000_000, "\u0301" * 100_000, "=" * 500_000, "<mask_" * 50_000], ids=lambda t: t[:6]
)
def test_endless_words_come_back(text: str) -> None:
    fast, reference = (encoder(arrow(text)) for encoder in encoders())
    assert np.array_equal(fast.ids, reference.ids)


def test_a_vocabulary_of_200_000_ids() -> None:
    letters = np.random.Generator(np.random.Philox(1)).integers(97, 123, (80_000, 8), np.uint8)
    made = learn(letters.ravel(), np.arange(80_001) * 8, np.ones(80_000, np.int64), 200_000)
    wide = lay_out(made.vocab, made.merges, 881)
    assert wide.size == 200_000 + 944
    text = arrow(
        *(letters[i : i + 100].tobytes().decode() for i in range(0, 2000, 100)), *(row.tobytes().decode() for row in letters[:500])
    )
    fast, reference = Encoder(wide.json)(text), Encoder(wide.json, "tokenizers")(text)
    assert fast.ids.max() > 65_536
    assert np.array_equal(fast.ids, reference.ids)


@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=8).map("".join), max_size=5))
def test_literals_are_found_where_they_stand(texts: list[str]) -> None:
    names = ["<|endoftext|>", *control_tokens(20)]
    documents, numbers = Literals(names).find(arrow("left out", *texts).slice(1))
    expected = [(i, name) for i, text in enumerate(texts) for name in names for _ in range(text.count(name))]
    assert sorted((int(i), names[k]) for i, k in zip(documents, numbers, strict=True)) == sorted(expected)


def test_a_literal_does_not_reach_into_the_next_document() -> None:
    documents, _ = Literals(["<sep>"]).find(arrow("<se", "p>", "x<sep><sep>", "<sep"))
    assert documents.tolist() == [2, 2]

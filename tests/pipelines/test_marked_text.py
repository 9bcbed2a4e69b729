"""Documents with marks and headers as ids: the text comes back, and control ids stand where they should and nowhere else."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from train_in_memory import train

from contracts.errors import InputError
from contracts.special_tokens import MARKS_OF_KIND, control_tokens
from pipelines.marked_text import ROLES, MarkedIds, cut_at_turns, encode_marked, encode_with_marks, marks_of_pieces, with_headers
from pipelines.sources.marks import Mark, as_marks
from sharding.headers import FIELDS, Headers, strip_header
from sharding.objectives import TextTable
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoded, Encoder
from tokenizer.layout import Vocabulary, without_control_tokens
from tokenizer.token_bytes import token_bytes

TOKENS = tuple(token for tokens in MARKS_OF_KIND.values() for token in tokens)
PIECES = st.sampled_from([*control_tokens(2)[:24], "<|endoftext|>", "é🙂", "漢", "\n", " ", "x", "def f(x):\n    return x\n"])
TEXTS = st.lists(PIECES, max_size=6).map("".join)
NAMES = st.sampled_from(["", "me/lib", "a b/ü.py", "<reponame>", "<gh_stars>5"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[Mark], tuple[str, str, str], list[bool]]:
    """Text, marks, the words of a header, and which of them it has."""
    text = draw(TEXTS)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
    marks = [(len(text[:place].encode()), draw(st.sampled_from(TOKENS))) for place in places]
    words = (draw(NAMES), draw(NAMES), draw(st.sampled_from(["", "0", "1-10"])))
    return text, marks, words, [bool(word) and draw(st.booleans()) for word in words]


@cache
def vocabulary() -> Vocabulary:
    texts = [
        "def f(x):\n    return x + 1\n" * 3,
        "The quick brown fox. Él niño, 漢字, 🙂.\n" * 5,
        "me/lib 1-10 10-100 <issue_start>\n" * 5,
    ]
    return train(iter(texts * 20), TokenizerSettings(vocab_size=600, masks=8))


@cache
def encoder() -> Encoder:
    return Encoder(vocabulary().json)


@cache
def decoder() -> Tokenizer:
    return Tokenizer.from_str(without_control_tokens(vocabulary().json))


@cache
def newline() -> int:
    return TextTable(*token_bytes(vocabulary().json, vocabulary().size)).newline


def decode(ids: np.ndarray) -> str:
    return str(decoder().decode(ids.tolist(), skip_special_tokens=False))


def arrow(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def encoded(rows: list[tuple[str, list[Mark], tuple[str, str, str], list[bool]]]) -> MarkedIds:
    words = tuple(pa.array([row[2][i] for row in rows], pa.string()) for i in range(3))
    shown = np.array([row[3] for row in rows], np.bool_).reshape(len(rows), 3)
    text, marks = arrow([row[0] for row in rows]), as_marks([row[1] for row in rows])
    return encode_marked(encoder(), text, marks, Headers(shown, words), vocabulary().control_ids)  # type: ignore[arg-type]


def ids_of(text: str) -> list[int]:
    return encoder()(arrow([text])).ids.tolist()


def expected(text: str, marks: list[Mark], words: tuple[str, str, str], shown: list[bool]) -> tuple[list[int], list[int]]:
    """Header and document, piece by piece."""
    controls, data = vocabulary().control_ids, text.encode()
    head = [token for i in range(3) if shown[i] for token in [controls[FIELDS[i]], *ids_of(words[i])]]
    ids, done = [], 0
    for at, token in marks:
        ids += [*ids_of(data[done:at].decode()), controls[token]]
        done = at
    return head + (ids_of("\n") if head else []), ids + ids_of(data[done:].decode())


@given(st.lists(documents(), max_size=5))
def test_ids_are_those_of_the_pieces_and_the_text_comes_back(
    rows: list[tuple[str, list[Mark], tuple[str, str, str], list[bool]]],
) -> None:
    found = encoded(rows)
    assert (found.ids.dtype, found.offsets.dtype, found.head.dtype) == (np.uint32, np.int64, np.int64)
    assert len(found.offsets) == len(rows) + 1
    controls = set(vocabulary().control_ids.values())
    for i, row in enumerate(rows):
        head, body = expected(*row)
        ids = found.ids[found.offsets[i] : found.offsets[i + 1]]
        assert found.head[i] == len(head)
        assert ids.tolist() == head + body
        own = strip_header(ids, vocabulary().control_ids, newline())
        assert own.tolist() == body
        is_control = np.isin(own, list(controls))
        assert decode(own[~is_control]) == row[0]
        assert own[is_control].tolist() == [vocabulary().control_ids[token] for _, token in row[1]]


@given(documents(), st.integers(1, 12))
def test_conversations_are_cut_where_turns_begin(row: tuple[str, list[Mark], tuple[str, str, str], list[bool]], most: int) -> None:
    text, marks = row[0].encode(), as_marks([row[1]])
    bounds = cut_at_turns(marks, len(text), most)
    if bounds is None:
        assert not any(token in ROLES for _, token in row[1])
        return
    pieces = [text[begin:end].decode() for begin, end in pairwise(bounds)]
    of_pieces = list(marks_of_pieces(marks, bounds))
    controls = vocabulary().control_ids
    ids = [encode_with_marks(encoder(), arrow([piece]), each, controls).ids for piece, each in zip(pieces, of_pieces, strict=True)]
    assert np.concatenate(ids).tolist() == encode_with_marks(encoder(), arrow([row[0]]), marks, controls).ids.tolist()
    assert all(each[0].as_py()[0]["token"] in ROLES for each in of_pieces[1:] if len(each[0]))
    assert all(each[0].as_py()[0]["at"] == 0 for each in of_pieces[1:])
    turns = [at for at, token in row[1] if token in ROLES]
    assert all(not any(begin + most <= at < end for at in turns) for begin, end in pairwise(bounds))


def test_a_golden_document() -> None:
    """A header of all three fields before code; an issue, which has none."""
    issue = ("Title: A\nusername_0: b", [(0, "<issue_start>"), (22, "<issue_closed>")], ("", "", ""), [False] * 3)
    found = encoded([("x = 1\n", [], ("me/lib", "a.py", "10-100"), [True] * 3), issue])
    words = Tokenizer.from_str(vocabulary().json)
    spelled = [
        words.decode(found.ids[start:stop].tolist(), skip_special_tokens=False)
        for start, stop in zip(found.offsets, found.offsets[1:], strict=False)
    ]
    assert spelled == [
        "<reponame>me/lib<filename>a.py<gh_stars>10-100\nx = 1\n",
        "<issue_start>Title: A\nusername_0: b<issue_closed>",
    ]
    assert decode(found.ids[: found.head[0]]).endswith("10-100\n")
    assert found.head[1] == 0


class Spy:
    """An encoder that remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[pa.LargeStringArray] = []

    def __call__(self, text: pa.LargeStringArray) -> Encoded:
        self.given.append(text)
        return encoder()(text)


def test_plain_documents_go_to_the_encoder_as_they_are() -> None:
    spy, text = Spy(), arrow(["a", "b"])
    headers = Headers(np.zeros((2, 3), np.bool_), (pa.array(["r"] * 2), pa.array(["p"] * 2), pa.array(["0"] * 2)))
    for each in (None, headers):
        spy.given.clear()
        found = encode_marked(spy, text, as_marks([[], []]), each, vocabulary().control_ids)
        assert [given is text for given in spy.given] == [True]
        assert found.head.tolist() == [0, 0]


def test_marked_texts_are_not_copied_and_words_are_encoded_once() -> None:
    spy, text = Spy(), arrow(["ab", "", "cd"])
    headers = Headers(np.ones((3, 3), np.bool_), (pa.array(["r"] * 3), pa.array(["p", "p", "q"]), pa.array(["0"] * 3)))
    marks = as_marks([[(1, "<issue_start>")], [(0, "<issue_closed>")], []])
    encode_marked(spy, text, marks, headers, vocabulary().control_ids)
    pieces, words = spy.given
    assert pieces.to_pylist() == ["a", "b", "", "", "cd"]
    assert pieces.buffers()[2].address == text.buffers()[2].address
    assert words.to_pylist() == ["r", "p", "q", "0", "\n"]


def test_a_slice_is_encoded_as_its_own() -> None:
    text = arrow(["left out", "ab", "cé", "out"]).slice(1, 2)
    marks = as_marks([[(2, "<dummy_0>")], [(1, "<dummy_1>")], [(1, "<dummy_2>"), (3, "<dummy_3>")], []]).slice(1, 2)
    found = encode_with_marks(encoder(), text, marks, vocabulary().control_ids)
    one, two = (
        expected(*row, ("", "", ""), [False] * 3)[1]
        for row in [("ab", [(1, "<dummy_1>")]), ("cé", [(1, "<dummy_2>"), (3, "<dummy_3>")])]
    )
    assert found.ids.tolist() == one + two
    assert found.offsets.tolist() == [0, len(one), len(one) + len(two)]


def test_other_headers_go_before_the_same_ids() -> None:
    """What an epoch does, without encoding anew."""
    text = arrow(["ab", "cd"])
    plain = encode_with_marks(encoder(), text, as_marks([[], []]), vocabulary().control_ids)
    words = (pa.array(["r", "s"]), pa.array(["p", "q"]), pa.array(["0", "0"]))
    for shown in ([[True, False, True], [False] * 3], [[False] * 3, [False, True, False]]):
        headers = Headers(np.array(shown), words)
        found = with_headers(encoder(), plain, headers, vocabulary().control_ids)
        again = encode_marked(encoder(), text, as_marks([[], []]), headers, vocabulary().control_ids)
        assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))


@pytest.mark.parametrize(
    "marks", [[(3, "<dummy_0>")], [(-1, "<dummy_0>")], [(2, "<dummy_0>"), (0, "<dummy_0>")], [(1, "<dummy_0>")]]
)
def test_marks_at_no_place_of_the_text_are_refused(marks: list[Mark]) -> None:
    with pytest.raises(InputError, match="must stand in its text"):
        encode_with_marks(encoder(), arrow(["é", "next"]), as_marks([marks, []]), vocabulary().control_ids)


def test_a_token_that_the_vocabulary_lacks_is_named() -> None:
    with pytest.raises(InputError, match="has not got: <dummy_1>"):
        encode_with_marks(encoder(), arrow(["a"]), as_marks([[(0, "<dummy_1>")]]), {"<dummy_0>": 1})

"""Layouts and rank files, against what was published."""

from __future__ import annotations

import base64
import os
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from train_in_memory import train

from contracts.errors import InputError
from contracts.special_tokens import PUBLISHED_MASKS, STARCODER, layout_controls
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import HARD_TEXT, Vocabulary, lay_out
from tokenizer.pieces import cut
from tokenizer.ranks import byte_alphabet, printable, read_ranks

MERGES = b"#version: 0.2\n\xc4\xa0 t\nh e\n\xc4\xa0t he\n"


@pytest.fixture(scope="module")
def gpt2() -> bytes:
    """GPT-2's ranks, which are not ours to bring along: openai-whisper ships them."""
    named = os.environ.get("SPANMILL_GPT2_RANKS", "")
    spec = find_spec("whisper")
    path = Path(named) if named else Path(spec.origin).parent / "assets/gpt2.tiktoken" if spec and spec.origin else None
    if path is None or not path.exists():
        pytest.skip("needs GPT-2's ranks: install openai-whisper, or name its assets/gpt2.tiktoken in SPANMILL_GPT2_RANKS")
    return path.read_bytes()


@pytest.fixture(scope="module")
def published(gpt2: bytes) -> Vocabulary:
    return lay_out(*read_ranks(gpt2, "gpt2.tiktoken"), PUBLISHED_MASKS)


def test_published_vectors(published: Vocabulary) -> None:
    """Those of CodeGen2.5's model card."""
    whole = Tokenizer.from_str(published.json)
    assert published.size == 51_200
    assert whole.encode("prefix<mask_1>suffix<|endoftext|><sep><mask_1>").ids == [40290, 51199, 37333, 844, 50256, 50317, 51199]
    assert whole.encode("<fim_prefix>abc<fim_suffix>xyz<fim_middle>").ids == [50295, 39305, 50297, 5431, 89, 50296]
    assert whole.encode("hello world").ids == [31373, 995]
    assert whole.encode(" " * 31 + "\t" * 9 + "  x").ids == [50257, 50287, 50286, 87]


def test_ids_are_those_of_tiktoken(gpt2: bytes, published: Vocabulary) -> None:
    """Without runs of whitespace: tiktoken finds added tokens in an order of its own, so 31 spaces need not be one token there."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in gpt2.splitlines() if line)}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    encoding = tiktoken.Encoding("codegen25", pat_str=pattern, mergeable_ranks=ranks, special_tokens=published.control_ids)
    characters = "".join(chr(i) for i in range(0x30000) if not 0xD800 <= i < 0xE000)
    whole = Tokenizer.from_str(published.json)
    for text in (
        "def f(x):\n return 'it''s' <mask_7><sep>",
        "é漢字🙂\u200b\x00\r\n<|endoftext|> 12345678 ²",
        characters.replace("\t\n", ""),
    ):
        assert whole.encode(text).ids == encoding.encode(text, allowed_special="all")


def test_both_kinds_of_rank_file_say_the_same() -> None:
    vocab, merges = read_ranks(MERGES, "vocab.bpe")
    assert [list(vocab)[i] for i in (0, 256, 258)] == ["!", "\u0120t", "\u0120the"]
    assert merges == [("\u0120", "t"), ("h", "e"), ("\u0120t", "he")]
    byte = {character: i for i, character in enumerate(printable())}
    lines = [base64.b64encode(bytes(byte[c] for c in token)) + b" %d" % rank for token, rank in vocab.items()]
    assert read_ranks(b"\n".join(lines), "x.tiktoken") == (vocab, merges)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a b\nzz q\n", "line 2.*not a merge"),
        (b"!!! 0\n", "not base64 and a rank"),
        (b"IQ== 0\nIg== 7\n", "must have the ranks 0 to 1"),
        (
            "\n".join(f"{base64.b64encode(bytes([i])).decode()} {i}" for i in range(256)).encode() + b"\nYWJj 256",
            "is not the merge of two",
        ),
    ],
)
def test_what_is_no_rank_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_ranks(content, "ranks")


def test_starcoder_has_its_tokens_first_and_no_masks_unless_asked() -> None:
    texts = ["    return x\n" * 50]
    made = train(iter(texts), TokenizerSettings(layout="starcoder", vocab_size=512))
    assert made.control_ids == {token: i for i, token in enumerate(("<|endoftext|>", *STARCODER))}
    assert Tokenizer.from_str(made.json).id_to_token(19) == byte_alphabet()[0]
    more = train(iter(texts), TokenizerSettings(layout="starcoder", vocab_size=512, masks=5))
    assert list(more.control_ids) == list(layout_controls("starcoder", 5))
    assert more.control_ids["<mask_1>"] == more.size - 1
    assert {name: i for name, i in more.control_ids.items() if i < 19} == made.control_ids
    assert TokenizerSettings(layout="starcoder").vocab_size == 49_152
    assert TokenizerSettings(layout="starcoder").ordinary == 49_133


@pytest.mark.parametrize("engine", ["gigatoken", "tokenizers"])
def test_starcoder_text_gives_no_control_token_and_comes_back(engine: str) -> None:
    made = train(iter(["    return <reponame>x\n" * 50]), TokenizerSettings(layout="starcoder", vocab_size=512))
    text = "<fim_prefix>  <|endoftext|>\t\t<reponame>é"
    ids = Encoder(made.json, engine)(pa.array([text], pa.large_string())).ids.tolist()
    assert min(ids) >= 19
    assert Tokenizer.from_str(made.json).decode(ids, skip_special_tokens=False) == text


DIGITS = st.lists(st.sampled_from(["1", "42", "²", "Ⅷ", "٣", "x", " ", "  ", "\n", "'s", "é", "漢", ".", "-"]), max_size=20).map(
    "".join
)


@given(DIGITS, st.integers(1, 20))
@example(HARD_TEXT, 5)
@example("", 1)
@example("  12  34\n\n5", 3)
def test_starcoder_digits_are_tokens_of_their_own(text: str, most: int) -> None:
    fast, reference = starcoder_encoders()
    ids = reference(pa.array([text], pa.large_string())).ids.tolist()
    assert all(sum(c.isdigit() for c in token) <= 1 for token in (starcoder().id_to_token(i) for i in ids))
    several = fast(pa.array(["7", text, "", text, "x"], pa.large_string()))
    assert [several.ids[a:b].tolist() for a, b in pairwise(several.offsets)][1:4] == [ids, [], ids]
    assert fast.places == "words"
    data = np.frombuffer(text.encode(), np.uint8)
    pieces = [text.encode()[a:b].decode() for a, b in pairwise(cut(data, np.array([0, len(data)]), most, "words")[0])]
    assert [i for piece in pieces for i in reference(pa.array([piece], pa.large_string())).ids.tolist()] == ids


@cache
def starcoder_vocabulary() -> Vocabulary:
    text = "x = 10 + 11\ny = 110 * 1011\n" * 50
    return train(iter([text]), TokenizerSettings(layout="starcoder", vocab_size=512))


@cache
def starcoder() -> Tokenizer:
    return Tokenizer.from_str(starcoder_vocabulary().json)


@cache
def starcoder_encoders() -> tuple[Encoder, Encoder]:
    return Encoder(starcoder_vocabulary().json), Encoder(starcoder_vocabulary().json, "tokenizers")


def test_digits_in_added_tokens_are_left_to_the_reference() -> None:
    whole = Tokenizer.from_str(starcoder_vocabulary().json)
    whole.add_tokens(["x86"])
    with pytest.raises(InputError, match="tokenizers"):
        Encoder(whole.to_str())


def test_two_given_vocabularies_are_refused() -> None:
    with pytest.raises(ValueError, match="only one vocabulary"):
        TokenizerSettings(path="a", ranks="b")

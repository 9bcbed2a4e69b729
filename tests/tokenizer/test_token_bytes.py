from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders
from train_in_memory import train

from contracts.special_tokens import WHITESPACE_RUNS
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import HARD_TEXT, Vocabulary
from tokenizer.token_bytes import token_bytes


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return train(iter([HARD_TEXT * 3, "漢字仮名 Ünïcödé naïve 🙂 " * 20]), TokenizerSettings(vocab_size=700, masks=32))


def spelled(vocabulary: Vocabulary) -> list[bytes]:
    offsets, data = token_bytes(vocabulary.json, vocabulary.size)
    assert (offsets.dtype, data.dtype, len(offsets)) == (np.int64, np.uint8, vocabulary.size + 1)
    return [data[begin:end].tobytes() for begin, end in pairwise(offsets)]


def test_every_token_is_what_tokenizers_decodes(vocabulary: Vocabulary) -> None:
    """`decode` gives text, so a token that is part of a character is compared as the replacement character it becomes."""
    tokenizer = Tokenizer.from_str(vocabulary.json)
    assert isinstance(tokenizer.decoder, decoders.ByteLevel)
    for index, text in enumerate(spelled(vocabulary)):
        decoded = tokenizer.decode([index], skip_special_tokens=True)
        assert text.decode(errors="replace") == decoded, index


def test_whole_texts_come_back(vocabulary: Vocabulary) -> None:
    texts = spelled(vocabulary)
    ids = Tokenizer.from_str(vocabulary.json).encode("no specials: " + HARD_TEXT.replace("<", "‹"), add_special_tokens=False).ids
    assert b"".join(texts[index] for index in ids).decode() == "no specials: " + HARD_TEXT.replace("<", "‹")
    encoded = Encoder(vocabulary.json)(pa.array([HARD_TEXT], pa.large_string()))
    assert b"".join(texts[index] for index in encoded.ids).decode() == HARD_TEXT


def test_control_tokens_have_no_text_and_runs_are_their_own(vocabulary: Vocabulary) -> None:
    texts, vocab = spelled(vocabulary), Tokenizer.from_str(vocabulary.json).get_vocab(with_added_tokens=True)
    assert {texts[index] for index in vocabulary.control_ids.values()} == {b""}
    assert all(texts[vocab[run]] == run.encode() for run in WHITESPACE_RUNS)
    assert {text for text in texts if len(text) == 1} == {bytes([byte]) for byte in range(256)}


def test_ids_beyond_the_tokenizer_have_no_text(vocabulary: Vocabulary) -> None:
    offsets, data = token_bytes(vocabulary.json, vocabulary.size + 5)
    assert offsets[-6:].tolist() == [len(data)] * 6

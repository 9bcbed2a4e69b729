"""Training, against a plain reading of its definition and against `tokenizers`."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenizer.config import TokenizerSettings
from tokenizer.learn import Learned, learn
from tokenizer.ranks import byte_alphabet, printable
from tokenizer.train import count_words_of, train_on
from tokenizer.words import count_words, merge_words

SOURCE = "".join(f"def f{i % 17}(self, x{i % 5}):\n    return self.g{i % 7}(x{i % 5}) + {i % 13}\n\n" for i in range(300))


def learned(words: dict[str, int], size: int) -> Learned:
    encoded = [word.encode() for word in words]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    return learn(np.frombuffer(b"".join(encoded), np.uint8), offsets, np.array(list(words.values()), np.int64), size)


def by_definition(words: dict[str, int], size: int) -> tuple[list[str], list[tuple[str, str]], dict[str, int]]:
    """Tokens, merges and uses. Recounts all pairs for each merge; merges of earlier pairs that come up again go first."""
    shown, tokens = printable(), byte_alphabet()
    split = {word: [shown[byte] for byte in word.encode()] for word in words}
    merges: list[tuple[str, str]] = []
    while len(tokens) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in split.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        again = [pair for pair in merges if pair in pairs]
        best = again[0] if again else min(pairs, key=lambda pair: (-pairs[pair], tokens.index(pair[0]), tokens.index(pair[1])))
        if not again:
            merges.append(best)
            if best[0] + best[1] not in tokens:
                tokens.append(best[0] + best[1])
        for word, symbols in split.items():
            split[word] = merged(symbols, best)
    uses: Counter[str] = Counter()
    for word, symbols in split.items():
        for symbol in symbols:
            uses[symbol] += words[word]
    return tokens, merges, uses


def merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return out


@given(st.dictionaries(st.text("abé", min_size=1, max_size=9), st.integers(1, 2**40), max_size=12), st.integers(256, 290))
@example({"aaaaaaa": 3, "aaa": 2}, 262)
@example({"abcb": 5, "bcbab": 4, "ab": 9}, 270)
def test_merges_are_those_of_the_definition(words: dict[str, int], size: int) -> None:
    tokens, merges, uses = by_definition(words, size)
    found = learned(words, size)
    assert list(found.vocab) == tokens
    assert found.merges == merges
    assert dict(zip(tokens, found.uses.tolist(), strict=True)) == {token: uses[token] for token in tokens}


def test_merges_are_those_of_tokenizers() -> None:
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[], show_progress=False
    )
    reference.train_from_iterator([SOURCE], trainer)
    model = json.loads(reference.to_str())["model"]
    words = merge_words([count_words(pa.array([SOURCE], pa.large_string()), skip_runs=False).table])
    found = learned(
        {word.decode(): count for word, count in zip(words["word"].to_pylist(), words["count"].to_pylist(), strict=True)}, 600
    )
    assert found.vocab == model["vocab"]
    assert found.merges == [tuple(pair) for pair in model["merges"]]


def test_counts_beyond_32_bits_decide_as_they_are() -> None:
    """In 32 bits the first pair's count would be 1, and negative before."""
    assert learned({"ab": 2**32 + 1, "cd": 1000}, 257).merges == [("a", "b")]
    assert learned({"ab": 2**31 + 5, "cd": 1000}, 257).merges == [("a", "b")]


def test_uses_are_those_of_encoding() -> None:
    words = merge_words([count_words_of(pa.array([SOURCE], pa.large_string()), "starcoder").table])
    made, found = train_on(words, TokenizerSettings(layout="starcoder", vocab_size=600))
    ids = Tokenizer.from_str(made.json).encode(SOURCE, add_special_tokens=False).ids
    assert np.array_equal(np.bincount(np.array(ids) - 19, minlength=len(found.uses)), found.uses)

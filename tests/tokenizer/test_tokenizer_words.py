"""Words and counts, against the pre-tokenizers of `tokenizers`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from tokenizer.ranks import printable
from tokenizer.train import MOST_BYTES, MOST_COUNTED, least_count
from tokenizer.words import LONGEST_WORD, count_words, merge_words

PIECES = st.lists(
    st.sampled_from(["'s", "'ll", "'", "a", "é", "1", "²", "漢", " ", "  ", "\t\t", "\n", "\u2028", "\x1c", "_", "🙂", "r", "e"])
)
SKIPPED = pre_tokenizers.Split(Regex(r" {2,}|\t{2,}"), "removed")
WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
DIGITS = pre_tokenizers.Digits(individual_digits=True)


def counted(table: pa.Table) -> dict[str, int]:
    shown = printable()
    words = ("".join(shown[byte] for byte in word) for word in table["word"].to_pylist())
    return dict(zip(words, table["count"].to_pylist(), strict=True))


def expected(texts: list[str], skip_runs: bool, digits_alone: bool = False) -> dict[str, int]:
    split = pre_tokenizers.Sequence([SKIPPED] * skip_runs + [DIGITS] * digits_alone + [WORDS])
    return Counter(word for text in texts for word, _ in split.pre_tokenize_str(text) if len(word) <= LONGEST_WORD)


@given(st.lists(PIECES.map("".join) | st.text(max_size=50), max_size=4), st.booleans(), st.booleans())
@example([" ", "a ", "\n \n", "a \n b", "   \n\n  x\t\t y 're'"], True, False)
@example(["x = 1024  7\n\n 8'1s ²½Ⅷ", "1", "a  1   "], False, True)
def test_words_are_those_of_tokenizers(texts: list[str], skip_runs: bool, digits_alone: bool) -> None:
    found = count_words(pa.array(texts, pa.large_string()), skip_runs=skip_runs, digits_alone=digits_alone)
    assert counted(found.table) == expected(texts, skip_runs, digits_alone)


@pytest.mark.parametrize("digits_alone", [False, True])
def test_every_character_is_of_the_class_that_tokenizers_gives_it(digits_alone: bool) -> None:
    """All of the planes that have letters, and some of the others."""
    places = [*range(0x40000), *range(0x40000, 0x110000, 64)]
    characters = [f"{chr(i)}a 1" for i in places if not 0xD800 <= i < 0xE000]
    texts = ["".join(characters[i : i + 1024]) for i in range(0, len(characters), 1024)]
    found = count_words(pa.array(texts, pa.large_string()), skip_runs=False, digits_alone=digits_alone)
    assert counted(found.table) == expected(texts, False, digits_alone)


def test_what_is_left_out_is_counted() -> None:
    found = count_words(pa.array(["x" * 257 + "   y\t\tz", "x" * 256], pa.large_string()), skip_runs=True)
    assert (found.blank_bytes, found.long_words) == (5, 1)
    assert counted(found.table) == {"y": 1, "z": 1, "x" * 256: 1}


@pytest.mark.parametrize("distinct", [2**15 - 1, 2**15, 2**15 + 1, 2**16 + 1])
def test_words_are_kept_in_order_when_the_table_grows(distinct: int) -> None:
    """It begins with room for 2^15."""
    words = [f" w{chr(0x4E00 + i % 256)}{chr(0x4E00 + i // 256)}" for i in range(distinct)]
    texts = ["".join(words[i : i + 1000]) for i in range(0, distinct, 1000)]
    table = count_words(pa.array([*texts, "", *texts[:1]], pa.large_string()), skip_runs=True).table
    assert table["word"].to_pylist() == [word.encode() for word in words]
    assert table["count"].to_pylist() == [2] * 1000 + [1] * (distinct - 1000)


def test_slices_are_honoured() -> None:
    texts = pa.array(["left out", "kept kept", "left out"], pa.large_string())
    assert counted(count_words(texts.slice(1, 1), skip_runs=True).table) == {"kept": 1, "\u0120kept": 1}


@given(st.lists(st.text("ab ", max_size=30), min_size=1, max_size=6), st.randoms())
def test_merging_does_not_depend_on_order_or_parts(texts: list[str], random) -> None:  # type: ignore[no-untyped-def]
    whole = merge_words([count_words(pa.array(texts, pa.large_string()), skip_runs=False).table])
    random.shuffle(texts)
    parts = [count_words(pa.array([text], pa.large_string()), skip_runs=False).table for text in texts]
    assert merge_words(parts).equals(whole)


def test_counts_beyond_32_bits_are_kept() -> None:
    table = pa.table({"word": pa.array([b"a"], pa.large_binary()), "count": pa.array([2**40], pa.int64())})
    assert merge_words([table, table])["count"].to_pylist() == [2**41]


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        ({1: MOST_BYTES}, 1),
        ({1: 1, 2: MOST_BYTES}, 2),
        ({1: 5, MOST_COUNTED: 9}, 1),
        ({1: MOST_BYTES, 2: 1, 7: MOST_BYTES}, 3),
        ({}, 1),
    ],
)
def test_the_rarest_words_are_left_out_all_or_none(sizes: dict[int, int], least: int) -> None:
    histogram = np.zeros(MOST_COUNTED + 1, np.int64)
    for count, size in sizes.items():
        histogram[count] = size
    assert least_count([histogram]) == least
    assert least_count([histogram // 2, histogram - histogram // 2]) == least

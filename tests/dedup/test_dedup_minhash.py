"""Signatures and shingle sets against the plain-Python reference and datasketch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasketch import LeanMinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import InputError
from dedup import reference
from dedup.config import DedupSettings
from dedup.minhash import from_lean_minhashes, signatures, to_lean_minhash
from dedup.shingles import shingle_sets
from dedup.text_kernels import BLOCK

EMPTY = 2**32 - 1

words = st.sampled_from(["a", "ab", "B", "_x1", "é", "漢字", "long_identifier_name", "0"])
separators = st.sampled_from([" ", "\n", "\t\t", ".", "::", "\0", "(", "\x7f"])
structured = st.lists(st.tuples(words, separators), max_size=60).map(lambda parts: "".join(map("".join, parts)))
any_text = st.text(max_size=200) | structured
any_settings = st.builds(
    DedupSettings,
    ngram=st.integers(1, 7),
    num_perm=st.sampled_from([16, 33, 256]),
    seed=st.integers(0, 2**32 - 1),
    threshold=st.just(0.9),
    recall=st.just(0.5),
    lowercase=st.booleans(),
    non_ascii=st.booleans(),
)


def arrow(texts: Sequence[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def assert_as_reference(texts: Sequence[str], config: DedupSettings) -> None:
    signed, sets = signatures(arrow(texts), config), shingle_sets(arrow(texts), config)
    assert signed.values.shape == (len(texts), config.num_perm)
    assert len(sets.offsets) == len(texts) + 1
    for i, text in enumerate(texts):
        expected = reference.shingles(text, config)
        np.testing.assert_array_equal(signed.values[i], reference.minhash(text, config).hashvalues)
        assert signed.shingles[i] == len(expected)
        assert sets.values[sets.offsets[i] : sets.offsets[i + 1]].tolist() == sorted(set(expected))


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(any_text, max_size=5), config=any_settings)
def test_kernels_equal_datasketch_and_reference(texts: list[str], config: DedupSettings) -> None:
    assert_as_reference(texts, config)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(any_text, min_size=1, max_size=6), data=st.data())
def test_a_slice_gives_what_its_documents_give(texts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts)))
    part, alone = arrow(texts).slice(start), arrow(texts[start:])
    config = DedupSettings()
    np.testing.assert_array_equal(signatures(part, config).values, signatures(alone, config).values)
    for got, expected in zip(shingle_sets(part, config), shingle_sets(alone, config), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("lead", [BLOCK - 9, BLOCK - 4, BLOCK - 3, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1])
def test_block_borders_do_not_show(lead: int) -> None:
    tail = "alpha beta gamma delta epsilon zeta eta"
    texts = [" " * lead + tail, "a" * lead + tail, ("a " * lead)[:lead] + tail, "x" * lead, " " * lead, ("a " * lead)[:lead]]
    assert_as_reference(texts, DedupSettings())
    assert_as_reference(texts, DedupSettings(ngram=64))


def test_documents_of_zero_to_ten_words() -> None:
    texts = [" ".join(f"word{j}" for j in range(i)) for i in range(11)]
    signed = signatures(arrow(texts), DedupSettings())
    assert signed.shingles.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert (signed.values[:5] == EMPTY).all()
    assert (signed.values[5:] < EMPTY).any(axis=1).all()
    assert_as_reference(texts, DedupSettings())


def test_huge_repetitive_document_equals_a_short_one() -> None:
    short, huge = "to be or not " * 3, "to be or not " * 500_000
    signed, sets = signatures(arrow([short, huge]), DedupSettings()), shingle_sets(arrow([short, huge]), DedupSettings())
    np.testing.assert_array_equal(signed.values[0], signed.values[1])
    assert signed.shingles.tolist() == [8, 1_999_996]
    assert np.diff(sets.offsets).tolist() == [4, 4]


def test_real_files_equal_datasketch(files: pa.LargeStringArray) -> None:
    config = DedupSettings()
    signed, sets = signatures(files, config), shingle_sets(files, config)
    for i, text in enumerate(files.to_pylist()):
        expected = reference.shingles(text, config)
        np.testing.assert_array_equal(signed.values[i], reference.minhash_of(expected, config).hashvalues)
        assert sets.values[sets.offsets[i] : sets.offsets[i + 1]].tolist() == sorted(set(expected))


def test_lean_minhash_is_datasketchs_own() -> None:
    config = DedupSettings(seed=7)
    text = "one two three four five six seven"
    lean = to_lean_minhash(signatures(arrow([text]), config).values[0], config)
    sketch = reference.minhash(text, config)
    assert isinstance(lean, LeanMinHash)
    assert lean == LeanMinHash(sketch)
    assert lean.jaccard(sketch) == 1.0


def test_published_fnv_values() -> None:
    # test vectors of the FNV reference code, FNV-1a 64 bits
    assert reference.word_hash(b"") == 0xCBF29CE484222325
    assert reference.word_hash(b"a") == 0xAF63DC4C8601EC8C
    assert reference.word_hash(b"foobar") == 0x85944171F73967E8


def test_shingle_hash_depends_on_order() -> None:
    forward, backward = reference.shingle_hash([1, 2, 3]), reference.shingle_hash([3, 2, 1])
    assert forward != backward


def test_hashes_are_frozen() -> None:
    """Stored signatures depend on these values: a change here makes every old one useless."""
    text = "def f(x):\n    return x + Größe_漢字\n"
    assert reference.words(text, DedupSettings()) == [b"def", b"f", b"x", b"return", b"x", "Größe_漢字".encode()]
    sets = shingle_sets(arrow([text]), DedupSettings())
    assert sets.values.tolist() == FROZEN_SHINGLES
    assert signatures(arrow([text]), DedupSettings()).values[0, :4].tolist() == FROZEN_SIGNATURE


def test_settings_of_words() -> None:
    text = "Foo BAR ünï code"
    assert reference.words(text, DedupSettings(lowercase=True)) == [b"foo", b"bar", "ünï".encode(), b"code"]
    assert reference.words(text, DedupSettings(non_ascii=False)) == [b"Foo", b"BAR", b"n", b"code"]


FROZEN_SHINGLES = [4828125634703139306, 17579254460683686838]
FROZEN_SIGNATURE = [1600529385, 2381371001, 723097433, 3398544612]


def test_sketches_made_elsewhere_come_in_and_ours_go_out() -> None:
    config = DedupSettings(num_perm=128)
    texts = ["one two three four five six", "a b c d e f g h i"]
    ours = signatures(arrow(texts), config).values
    theirs = [LeanMinHash(reference.minhash(text, config)) for text in texts]
    np.testing.assert_array_equal(from_lean_minhashes(theirs, config), ours)
    np.testing.assert_array_equal(from_lean_minhashes([to_lean_minhash(row, config) for row in ours], config), ours)
    assert from_lean_minhashes([], config).shape == (0, 128)


@pytest.mark.parametrize(
    ("change", "words"), [({"seed": 2}, "seed 2 and 128"), ({"num_perm": 64, "threshold": 0.9}, "seed 1 and 64 permutations")]
)
def test_sketches_of_other_settings_are_refused(change: dict[str, Any], words: str) -> None:
    sketch = LeanMinHash(reference.minhash("one two three four five six", DedupSettings(**({"num_perm": 128} | change))))
    with pytest.raises(InputError, match=words):
        from_lean_minhashes([sketch], DedupSettings(num_perm=128))

"""Byte-level BPE training: from counted words to a vocabulary.

Words are split by GPT-2's pattern, as CodeGen2.5's are, and each digit by itself where the layout says so, as StarCoder's are. Runs of two
or more spaces or tabs are left out of training where the layout has tokens for them: merges spent on them would never be used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_text import text_buffers
from contracts.errors import InputError
from contracts.special_tokens import Layout
from tokenizer.config import TokenizerSettings
from tokenizer.layout import Vocabulary, lay_out
from tokenizer.learn import Learned, learn
from tokenizer.words import Words, count_words

Int64 = npt.NDArray[np.int64]

MOST_BYTES = 40_000_000
"""Bytes of distinct words that training looks at; 24 bytes of memory each, and about 40 s of CPU time in all. Our choice: at eight bytes a
word five million words, 300 times as many as GPT-2's vocabulary has tokens that are words."""

MOST_COUNTED = 4096
"""Words that occur more often are all alike to the rule that leaves rare ones out."""


def train_on(words: pa.Table, settings: TokenizerSettings) -> tuple[Vocabulary, Learned]:
    """Trains on words and their counts, in the order of `merge_words`; the rarest are left out (see `least_count`).

    One thread. Raises InputError if there are no words.
    """
    if words.num_rows == 0:
        raise InputError(
            "There is no text to train a tokenizer on: nothing that was kept has any, or tokenizer.weights gives it none. "
            "`spanmill stats` tells why documents were not kept."
        )
    counts = np.asarray(words["count"])
    kept = words.slice(0, int(np.searchsorted(-counts, -least_count([bytes_by_count(words)]), side="right")))
    column = kept["word"].combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    learned = learn(*text_buffers(array), counts[: kept.num_rows], settings.ordinary)
    return lay_out(learned.vocab, learned.merges, settings.mask_count, settings.layout), learned


def count_words_of(text: pa.LargeStringArray, layout: Layout) -> Words:
    """The words that a layout's vocabulary is to know."""
    return count_words(text, skip_runs=layout == "codegen25", digits_alone=layout == "starcoder")


def bytes_by_count(words: pa.Table) -> Int64:
    """int64[MOST_COUNTED + 1]: bytes of distinct words by how often they occur; the last also counts those that occur more often."""
    lengths = np.asarray(pc.binary_length(words["word"]))
    counts = np.minimum(np.asarray(words["count"]), MOST_COUNTED)
    return np.bincount(counts, weights=lengths, minlength=MOST_COUNTED + 1).astype(np.int64)


def least_count(histograms: Sequence[Int64]) -> int:
    """How often a word must occur to be trained on, such that those which do have at most MOST_BYTES.

    `histograms` are `bytes_by_count` of tables without a word in common. Words of one count are all kept or all left out, so that no
    order decides.
    """
    above = np.cumsum(np.sum(histograms, axis=0)[::-1])[::-1]
    fitting = np.flatnonzero(above <= MOST_BYTES)
    return max(1, int(fitting[0])) if len(fitting) else MOST_COUNTED

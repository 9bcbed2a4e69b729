"""A vocabulary of a few texts, without a stage; for the tests of all folders."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from tokenizer.config import TokenizerSettings
from tokenizer.layout import Vocabulary
from tokenizer.train import count_words_of, train_on
from tokenizer.words import merge_words


def train(texts: Iterable[str], settings: TokenizerSettings) -> Vocabulary:
    """Trains on `texts`, all in memory. Raises InputError if there are none."""
    words = count_words_of(pa.array([*texts], pa.large_string()), settings.layout)
    return train_on(merge_words([words.table]), settings)[0]

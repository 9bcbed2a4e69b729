"""What a vocabulary is worth: how it does on text of each language, which tokens nothing uses, and which are longest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from contracts.special_tokens import WHITESPACE_RUNS
from pipelines.corpus import column
from pipelines.stage import Receipt
from tokenizer.encode import Encoder, Engine
from tokenizer.layout import Vocabulary
from tokenizer.learn import Learned

TOKENS_SHOWN = 20

LONGEST_COUNTED = 32


def report(
    made: Vocabulary, learned: Learned, receipts: Sequence[Receipt], measured: Iterable[pa.Table], engine: Engine
) -> dict[str, Any]:
    """Figures of the sample, and of the measured texts by source/language. One part's texts are in memory at a time."""
    languages: dict[str, dict[str, int]] = {}
    encoder = Encoder(made.json, engine)
    runs = _run_ids(made)
    for table in measured:
        _measure(table, encoder, runs, languages)
    tokens = list(learned.vocab)
    unused = np.flatnonzero(learned.uses == 0)
    longest = sorted(tokens, key=lambda token: (-len(token), token))[:TOKENS_SHOWN]
    return {
        "sample": {
            name: sum(receipt[name] for receipt in receipts) for name in ("documents", "bytes", "blank_bytes", "long_words")
        },
        "languages": dict(sorted(languages.items())),
        "longest_tokens": longest,
        "unseen_tokens": len(unused),
        "unseen_multibyte": [tokens[index] for index in unused if index >= 256][:TOKENS_SHOWN],
    }


def _measure(table: pa.Table, encoder: Encoder, runs: np.ndarray[Any, Any], languages: dict[str, dict[str, int]]) -> None:
    text = column(table, "text") if table.num_rows else pa.array([], pa.large_string())
    encoded = encoder(text)
    is_run = np.concatenate([[0], np.cumsum(np.isin(encoded.ids, runs))])[encoded.offsets]
    rows = zip(
        table["cell"].to_pylist(), np.asarray(pc.binary_length(text)).tolist(), np.diff(encoded.offsets).tolist(), np.diff(is_run).tolist(),
        strict=True,
    )  # fmt: skip
    for cell, size, tokens, blank in rows:
        sums = languages.setdefault(cell, {"documents": 0, "bytes": 0, "tokens": 0, "run_tokens": 0})
        for name, value in (("documents", 1), ("bytes", size), ("tokens", tokens), ("run_tokens", blank)):
            sums[name] += value


def _run_ids(made: Vocabulary) -> np.ndarray[Any, Any]:
    """Ids that stand for two or more spaces or tabs: a layout's runs, or tokens that training found."""
    vocab = Tokenizer.from_str(made.json).get_vocab(with_added_tokens=True)
    blank = [set(token) for token in ("\u0120", "\u0109")]  # space and tab in GPT-2's printable alphabet
    return np.array(
        [i for token, i in vocab.items() if token in WHITESPACE_RUNS or (len(token) > 1 and set(token) in blank)], np.uint32
    )


def lengths_of(vocabulary: Vocabulary) -> list[int]:
    """How many ordinary tokens have 1, 2, … bytes; the last counts LONGEST_COUNTED and more."""
    counts = [0] * LONGEST_COUNTED
    for token in json.loads(vocabulary.json)["model"]["vocab"]:
        if token not in vocabulary.control_ids:
            counts[min(LONGEST_COUNTED, len(token)) - 1] += 1
    return counts

"""A small tokenizer with all control tokens, text to encode with it, and chunks of that text."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import strategies as st
from scipy.stats import chisquare
from train_in_memory import train

from sharding.objectives import Chunks, Codec, Controls, Examples, TextTable
from sharding.objectives.text import STARTS_CHARACTER
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.token_bytes import token_bytes

WORDS = [
    "def", "return", "self", "import", "numpy", "as", "np", "for", "in", "range", "if", "not", "None", "lambda", "class", "yield",
    "foo_bar", "CamelCase", "parameters", "x1", "12345", "==", "->", "(a,", "b):", "[0]", "{}", "don't", "é", "naïve", "漢字仮名",
    "🙂👍", "Ünïcödé\u00a0x",
]  # fmt: skip
SPACES = [" ", " ", " ", "\n", "\n    ", "\n\n", "\n\n\n", "\t", "  ", "", "\r\n", "\u3000"]

texts = st.lists(st.tuples(st.sampled_from(WORDS) | st.text(max_size=6), st.sampled_from(SPACES)), max_size=40).map(
    lambda pairs: "".join(word + space for word, space in pairs)
)
"""Something like code, with whatever Unicode has between."""


class Small(NamedTuple):
    controls: Controls
    codec: Codec

    def encode(self, text: str) -> list[int]:
        """The ids of one text on its own."""
        return self.codec.encode(pa.array([text], pa.large_string()))[0].tolist()

    def text(self, ids: npt.NDArray[np.uint32] | list[int]) -> str:
        """Fails where a character is not whole."""
        return self.codec.table.spell(np.array(ids, np.uint32)).decode()


def made_up(words: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    return "".join(str(rng.choice(WORDS)) + str(rng.choice(SPACES)) for _ in range(words))


@cache
def small() -> Small:
    vocabulary = train(iter([made_up(4000, seed=0)]), TokenizerSettings(vocab_size=900, masks=64))
    table = TextTable(*token_bytes(vocabulary.json, vocabulary.size))
    return Small(Controls.of(vocabulary.control_ids), Codec(table, Encoder(vocabulary.json)))


def chunks_of(documents: list[list[int]], size: int, seed: int, head: int = 0) -> Chunks:
    """Documents cut into chunks of about `size` tokens where characters begin; each chunk has a head of `head` tokens if so long."""
    flags = small().codec.table.flags
    ids = np.array([token for document in documents for token in document], np.uint32)
    begins, starts, stops, ends = [], [], [], []
    at = 0
    for document in documents:
        edges = [0]
        while len(document) - edges[-1] > size:
            edge = edges[-1] + size
            while edge < len(document) and not flags[document[edge]] & STARTS_CHARACTER:
                edge += 1
            edges.append(edge)
        edges += [len(document)] * (edges[-1] < len(document) or len(edges) == 1)
        begins += [at] * (len(edges) - 1)
        starts += [at + edge for edge in edges[:-1]]
        stops += [at + edge for edge in edges[1:]]
        ends += [False] * (len(edges) - 2) + [True]
        at += len(document)
    return as_chunks(ids, np.array(starts), np.array(stops), np.array(ends), seed, np.array(begins), head)


def as_chunks(
    ids: npt.NDArray[np.uint32],
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    last: npt.NDArray[np.bool_],
    seed: int,
    begin: npt.NDArray[np.int64] | None = None,
    head: int = 0,
) -> Chunks:
    key = np.random.default_rng(seed).integers(0, 2**64, len(start), np.uint64)
    return Chunks(ids, start, stop, last, key, start if begin is None else begin, np.minimum(head, stop - start))


def copies(ids: list[int], times: int, seed: int = 1, head: int = 0) -> Chunks:
    """One chunk many times, each with a key of its own."""
    zero = np.zeros(times, np.int64)
    return as_chunks(np.array(ids, np.uint32), zero, zero + len(ids), np.ones(times, np.bool_), seed, None, head)


def chunk(chunks: Chunks, i: int) -> npt.NDArray[np.uint32]:
    return chunks.ids[chunks.start[i] : chunks.stop[i]]


def example(examples: Examples, i: int) -> npt.NDArray[np.uint32]:
    return examples.ids[examples.offsets[i] : examples.offsets[i + 1]]


def only(chunks: Chunks, which: list[int]) -> Chunks:
    """Some chunks, as a batch of their own."""
    rest = {name: value[which] for name, value in chunks._asdict().items() if name != "ids" and value is not None}
    return Chunks(chunks.ids, **rest)


def fits(counts: npt.ArrayLike, shares: npt.ArrayLike) -> bool:
    """Whether counts are what such shares give by chance: chi-square, p > 1e-4."""
    seen, wanted = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    return bool(chisquare(seen, wanted / wanted.sum() * seen.sum()).pvalue > 1e-4)

"""Byte-pair encoding learned from words and their counts.

    while there is room:  the pair of neighbours that is most frequent over all words  ─▶  a new token

The most frequent pair has the lowest ids among equals, so nothing but the counts decides. All counts are int64: `tokenizers` 0.23 sums
pairs in 32 bits, which overflow beyond 2^31, and holds every distinct word of the sample as a string; apart from that the two agree.

Each symbol of each word knows its neighbours, and stands in a chain of all places of the pair that it begins; a merge visits only
these places. A heap names the next pair; its entries may be too high, never too low, and are corrected when they come up.

A pair that spells a token which exists already becomes that token. Pairs that were merged before and come up again through it are merged
at once, as encoding would.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from tokenizer.pair_table import EMPTY, enter, find, key_of, leave, no_pairs, places_of, wider
from tokenizer.ranks import byte_alphabet, printable
from tokenizer.spellings import bytes_alone, spell

Bytes = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]

BYTES = 256


class Learned(NamedTuple):
    """A byte-pair encoding."""

    vocab: dict[str, int]
    """Id of each token in GPT-2's printable characters: all bytes, then what was merged, in order."""
    merges: list[tuple[str, str]]
    uses: Int64
    """int64[tokens]: how often each is used in the encoded words, by their counts."""


def learn(data: Bytes, offsets: Int64, counts: Int64, size: int) -> Learned:
    """Merges pairs until there are `size` tokens, or no pairs.

    Word i is data[offsets[i]:offsets[i + 1]] and occurs counts[i] > 0 times. One thread; memory about 24 bytes a byte of `data`, and 50 a
    distinct pair. `data` may hold up to 2^31 bytes.
    """
    ids = np.empty(BYTES, np.int32)
    alphabet = byte_alphabet()
    order = {character: i for i, character in enumerate(alphabet)}
    ids[:] = [order[character] for character in printable()]
    lefts, rights, made, uses = _learn(ids[data], offsets, counts, size)
    spelled = list(alphabet)
    merges = [(spelled[left], spelled[right]) for left, right in _spell(spelled, lefts, rights, made)]
    return Learned({token: i for i, token in enumerate(spelled)}, merges, uses)


def _spell(spelled: list[str], lefts: Int32, rights: Int32, made: Int32) -> list[tuple[int, int]]:
    """Appends what merges spell; returns the merges."""
    pairs = list(zip(lefts.tolist(), rights.tolist(), strict=True))
    for (left, right), token in zip(pairs, made.tolist(), strict=True):
        if token == len(spelled):
            spelled.append(spelled[left] + spelled[right])
    return pairs


_FIRST = np.int64(2**62)
"""Stands above every count: pairs that were merged before are merged first."""


@numba.njit(cache=True)
def _learn(symbols: Int32, offsets: Int64, counts: Int64, size: int) -> tuple[Int32, Int32, Int32, Int64]:
    word_of, before, after = _neighbours(symbols, offsets)
    chains = (np.full(len(symbols), -1, np.int32), np.full(len(symbols), -1, np.int32))
    pairs, n_pairs = no_pairs(1 << 16), 0
    for place in range(len(symbols)):
        if after[place] >= 0:
            if 2 * n_pairs >= len(pairs[0]):
                pairs = wider(pairs)
            key = key_of(symbols[place], symbols[after[place]])
            n_pairs += enter(place, key, counts[word_of[place]], pairs, chains)
    heap = [(-pairs[1][slot], pairs[0][slot]) for slot in range(len(pairs[0])) if pairs[0][slot] != EMPTY]
    heapq.heapify(heap)
    spellings, tokens, merges = bytes_alone(size), 256, 0
    lefts, rights, made = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    while len(heap) > 0 and tokens < size:
        entry, key = heapq.heappop(heap)
        slot = find(key, pairs[0])
        total, rank = pairs[1][slot], pairs[3][slot]
        if total == 0:
            continue
        if rank < 0 and total != -entry:
            heapq.heappush(heap, (-total, key))
            continue
        left, right = np.int32(key >> np.uint64(32)), np.int32(key & np.uint64(0xFFFFFFFF))
        if rank < 0:
            if merges == len(made):
                lefts, rights, made = _doubled(lefts), _doubled(rights), _doubled(made)
            token, spellings = spell(left, right, tokens, spellings)
            lefts[merges], rights[merges], made[merges] = left, right, token
            if token == tokens:
                tokens += 1
            rank = pairs[3][slot] = merges
            merges += 1
        touched = [key for _ in range(0)]
        for place in places_of(slot, pairs[2], chains[0], left == right):
            if symbols[place] == left and after[place] >= 0 and symbols[after[place]] == right:
                if 2 * (n_pairs + 2) >= len(pairs[0]):
                    pairs = wider(pairs)
                n_pairs += _merge(place, made[rank], counts[word_of[place]], symbols, before, after, pairs, chains, touched)
        _push(heap, touched, pairs)
    return lefts[:merges], rights[:merges], made[:merges], _uses(symbols, word_of, counts, tokens)


@numba.njit(cache=True)
def _merge(place, token, weight, symbols, before, after, pairs, chains, touched):  # type: ignore[no-untyped-def]
    """One place's pair becomes one symbol. Returns how many of the pairs with its neighbours are new; `touched` gets both."""
    other = after[place]
    first, last, new = before[place], after[other], 0
    left, right = symbols[place], symbols[other]
    leave(place, key_of(left, right), weight, pairs, chains)
    if first >= 0:
        leave(first, key_of(symbols[first], left), weight, pairs, chains)
    if last >= 0:
        leave(other, key_of(right, symbols[last]), weight, pairs, chains)
    symbols[place], symbols[other], after[place] = token, -1, last
    if first >= 0:
        touched.append(key_of(symbols[first], token))
        new += enter(first, touched[-1], weight, pairs, chains)
    if last >= 0:
        before[last] = place
        touched.append(key_of(token, symbols[last]))
        new += enter(place, touched[-1], weight, pairs, chains)
    return new


@numba.njit(cache=True)
def _doubled(array: Int32) -> Int32:
    wide = np.empty(2 * len(array), np.int32)
    wide[: len(array)] = array
    return wide


@numba.njit(cache=True)
def _push(heap, touched, pairs):  # type: ignore[no-untyped-def]
    """Names pairs that became more frequent; those merged before come first, the earliest of them foremost."""
    touched.sort()
    for i in range(len(touched)):
        if i == 0 or touched[i] != touched[i - 1]:
            slot = find(touched[i], pairs[0])
            rank = pairs[3][slot]
            heapq.heappush(heap, (-pairs[1][slot] if rank < 0 else rank - _FIRST, touched[i]))


@numba.njit(cache=True)
def _neighbours(symbols: Int32, offsets: Int64) -> tuple[Int32, Int32, Int32]:
    word_of = np.empty(len(symbols), np.int32)
    before, after = np.empty(len(symbols), np.int32), np.empty(len(symbols), np.int32)
    for word in range(len(offsets) - 1):
        for place in range(offsets[word], offsets[word + 1]):
            word_of[place] = word
            before[place] = place - 1 if place > offsets[word] else -1
            after[place] = place + 1 if place + 1 < offsets[word + 1] else -1
    return word_of, before, after


@numba.njit(cache=True)
def _uses(symbols: Int32, word_of: Int32, counts: Int64, tokens: int) -> Int64:
    uses = np.zeros(tokens, np.int64)
    for place in range(len(symbols)):
        if symbols[place] >= 0:
            uses[symbols[place]] += counts[word_of[place]]
    return uses

"""Vocabularies that others trained, read from the files in which they are published.

*.tiktoken    one token a line: its bytes in base64, a space, its rank           ("IQ== 0")
vocab.bpe     GPT-2's: one merge a line, in order, in printable bytes            ("Ġ t")
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from tokenizers import pre_tokenizers

from contracts.errors import InputError

Merge = tuple[str, str]


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte, in the order of GPT-2's ids: the bytes that are printable come first."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def printable() -> list[str]:
    """GPT-2's printable character for bytes 0 to 255: itself where it can be shown, else the next of those from U+0100 on."""
    kept = {ord(character) for character in byte_alphabet() if ord(character) < 256}
    following = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(following)) for byte in range(256)]


def read_ranks(content: bytes, where: str) -> tuple[dict[str, int], list[Merge]]:
    """Ids by token, and merges in order, of a rank file in either format.

    Raises InputError if it is neither, or is no byte-level BPE. Cost: about 1 s for 50,000 tokens.
    """
    lines = [line for line in content.split(b"\n") if line.strip()]
    if not lines:
        raise InputError(f"{where} is empty. {_FORMATS}")
    if lines[0].startswith(b"#version") or not lines[0].split()[-1].isdigit():
        return _from_merges(lines, where)
    return _from_tiktoken(lines, where)


_FORMATS = "tokenizer.ranks must name a .tiktoken file (base64 and rank) or GPT-2's vocab.bpe (two tokens a line)."


def _from_merges(lines: list[bytes], where: str) -> tuple[dict[str, int], list[Merge]]:
    vocab = {character: i for i, character in enumerate(byte_alphabet())}
    merges: list[Merge] = []
    for number, line in enumerate(lines):
        if number == 0 and line.startswith(b"#version"):
            continue
        pair = line.decode(errors="replace").split()
        if len(pair) != 2 or not all(token in vocab for token in pair):
            raise InputError(
                f"{where}, line {number + 1}: {line[:80]!r} is not a merge of two tokens that are known by then. {_FORMATS}"
            )
        merges.append((pair[0], pair[1]))
        vocab.setdefault(pair[0] + pair[1], len(vocab))
    return vocab, merges


def _from_tiktoken(lines: Iterable[bytes], where: str) -> tuple[dict[str, int], list[Merge]]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise InputError(f"{where}, line {number + 1}: {line[:80]!r} is not base64 and a rank. {_FORMATS}") from None
    if sorted(ranks.values()) != list(range(len(ranks))) or any(bytes([byte]) not in ranks for byte in range(256)):
        raise InputError(f"{where}: {len(ranks)} tokens must have the ranks 0 to {len(ranks) - 1}, once each, and hold every byte.")
    shown = printable()
    vocab = {"".join(shown[byte] for byte in token): rank for token, rank in ranks.items()}
    pairs = (
        _last_merge(token, rank, ranks, where) for token, rank in sorted(ranks.items(), key=lambda each: each[1]) if len(token) > 1
    )
    return vocab, [("".join(shown[b] for b in left), "".join(shown[b] for b in right)) for left, right in pairs]


def _last_merge(token: bytes, rank: int, ranks: dict[bytes, int], where: str) -> tuple[bytes, bytes]:
    """The two tokens that a token was made of: what is left of its bytes when all earlier merges are done."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, at = min((ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1))
        if best >= rank:
            raise InputError(f"{where}: token {token!r} (rank {rank}) is not the merge of two tokens of lower rank.")
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]

"""The bytes that each id of a byte-level vocabulary stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tokenizer.ranks import printable


def token_bytes(tokenizer_json: str, vocab_size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(offsets int64[vocab_size + 1], data uint8[bytes]): id i stands for data[offsets[i]:offsets[i + 1]].

    Control tokens, and ids that are not used, stand for nothing. Cost: about 2 µs an id.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json)
    added = tokenizer.get_added_tokens_decoder()
    texts = [b""] * vocab_size
    for token, index in tokenizer.get_vocab(with_added_tokens=True).items():
        if index not in added:
            texts[index] = _decode(token)
        elif not added[index].special:  # a run of white space, which is written as it is and not in the alphabet
            texts[index] = token.encode()
    offsets = np.zeros(vocab_size + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(texts), np.uint8)


BYTE_OF = {character: byte for byte, character in enumerate(printable())}
"""The byte that each character of the byte-level alphabet stands for."""


def _decode(token: str) -> bytes:
    """A vocabulary entry's bytes. One that is not written in the alphabet stands for itself, as `tokenizers` decodes it."""
    if all(character in BYTE_OF for character in token):
        return bytes(BYTE_OF[character] for character in token)
    return token.encode()

"""Arrays of token ids: of which type they are, and copying stretches of them within compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from contracts.schemas import token_type

TokenIds = npt.NDArray[np.unsignedinteger[Any]]
"""uint16 or uint32, by the size of the vocabulary."""


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Of token ids: uint16 or uint32, as `token_type` says in Arrow's terms."""
    return np.dtype(str(token_type(vocab_size)))


def checked_ids(ids: TokenIds, vocab_size: int) -> TokenIds:
    """The same ids in the vocabulary's type. Raises ValueError for one that is not in the vocabulary."""
    if ids.size and ids.max() >= vocab_size:
        raise ValueError(f"token id {ids.max()} is outside the vocabulary of {vocab_size}")
    return ids.astype(token_dtype(vocab_size), copy=False)


@njit(cache=True, nogil=True)
def copy_tokens(out: TokenIds, at: int, ids: TokenIds, begin: int, end: int) -> int:
    """Writes ids[begin:end] to `out` from `at` on; the next free place. Cost: about 0.3 ns a token."""
    if end <= begin:
        return at
    # Slices, not out[at + j]: an index that may be negative is wrapped around, and that check keeps the loop from being vectorised.
    target, source = out[at : at + end - begin], ids[begin:end]
    for j in range(len(target)):
        target[j] = source[j]
    return at + end - begin


@njit(cache=True, nogil=True)
def put_token(out: TokenIds, at: int, token: int) -> int:
    """Writes one token to `at`; the next free place."""
    out[at] = token
    return at + 1

r"""What a document's first line says of where it comes from, in StarCoder's format.

    <reponame>NAME<filename>PATH<gh_stars>BUCKET\nCODE       each of the three with probability `rate`, independently of the others;
    CODE                                                     without any of them there is no line either

The three are control tokens; names, bucket and newline are text, each encoded by itself. Only documents of kind "code" get one: the
published code adds it to source files alone. Source: content_with_meta and get_num_stars_bucket in add_content_with_meta.py of
bigcode-project/bigcode-dataset. There a bucket holds its upper bound: 10 stars are "1-10", 11 are "10-100".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from contracts.errors import ShardError
from contracts.settings import Settings
from sharding.randomness import chunk_keys, uniforms

FIELDS: Final = ("<reponame>", "<filename>", "<gh_stars>")
"""The control tokens, in the order of a header."""

BUCKETS: Final = ("0", "1-10", "10-100", "100-1000", "1000+")

MAX_NAME_BYTES: Final = 256
"""Longer names are left out, so that no hostile path fills a row. Our choice."""

_BUCKET_ENDS: Final = np.array([0, 10, 100, 1000])

_STREAM: Final = -0x48656164
"""Stands where numbers of chunks stand in other keys, which are 0 and more: nothing else is drawn with the keys of headers."""


class MetadataSettings(Settings):
    """`[shard.metadata]`: headers of repository, path and stars."""

    rate: float = Field(default=0.2, ge=0, le=1)
    """Probability of each of the three fields (StarCoder: 0.2, so that 49 % of documents have a header); 0 for no headers."""

    unknown_stars_are_zero: bool = True
    """Whether a document whose stars are not known may say `<gh_stars>0`, as in StarCoder, where no count means that none was ever seen.
    False leaves the field out: for corpora that know no stars."""


class Headers(NamedTuple):
    """The headers of n documents."""

    shown: npt.NDArray[np.bool_]
    """bool[n, 3]: which of FIELDS each document's header has."""
    words: tuple[pa.StringArray, pa.StringArray, pa.StringArray]
    """string[n] each: what stands behind each of FIELDS; free of newlines, never empty where shown."""


def draw_headers(
    documents: npt.NDArray[np.uint64],
    kind: pa.StringArray,
    repo: pa.StringArray,
    path: pa.StringArray,
    stars: pa.Int64Array,
    settings: MetadataSettings,
) -> Headers:
    """Headers of n documents from their keys (sharding.randomness.document_keys) and columns. About 1 µs a document."""
    words = (_one_line(repo), _one_line(path), _bucket(stars, settings.unknown_stars_are_zero))
    keys = chunk_keys(documents, np.full(len(documents), _STREAM, np.int64))
    may = np.asarray(pc.equal(kind, "code"))
    drawn = [uniforms(keys, field) < settings.rate for field in range(len(FIELDS))]
    shown = [may & chosen & np.asarray(pc.not_equal(each, "")) for chosen, each in zip(drawn, words, strict=True)]
    return Headers(np.stack(shown, axis=1), words)


def strip_header(ids: npt.NDArray[Any], control_ids: Mapping[str, int], newline_id: int) -> npt.NDArray[Any]:
    r"""The tokens behind a document's header; all of them if it has none. `ids`: integer[tokens] from the document's first on.

    `newline_id` is the token of "\n": names are on one line, so the first such token ends the header. Raises ShardError where none does.
    """
    if len(ids) == 0 or int(ids[0]) not in {control_ids[field] for field in FIELDS}:
        return ids
    ends = np.flatnonzero(ids == newline_id)
    if len(ends) == 0:
        raise ShardError(
            f"A document begins with the control token {int(ids[0])} of a header, but none of its {len(ids)} tokens is the newline "
            f"(id {newline_id}) that ends one. The shard was not made with this tokenizer, or the document is not whole."
        )
    return ids[ends[0] + 1 :]


def _one_line(names: pa.StringArray) -> pa.StringArray:
    """string[n]: without control characters and line separators; empty where nothing is left, or too much."""
    clean = pc.utf8_trim_whitespace(pc.replace_substring_regex(names, r"[\p{Cc}\p{Zl}\p{Zp}]+", " "))
    return pc.if_else(pc.less_equal(pc.binary_length(clean), MAX_NAME_BYTES), clean, "")


def _bucket(stars: pa.Int64Array, unknown_are_zero: bool) -> pa.StringArray:
    """string[n]: the bucket; empty where stars are not known and shall not count as 0."""
    counts = np.asarray(stars.fill_null(0))
    buckets = pa.array(BUCKETS, pa.string()).take(pa.array(np.searchsorted(_BUCKET_ENDS, counts, side="left")))
    return buckets if unknown_are_zero else pc.if_else(pc.is_valid(stars), buckets, "")

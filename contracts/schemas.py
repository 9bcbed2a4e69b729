"""Arrow schemas of everything that stages write for one another.

curate  ──▶ DOCUMENT  documents/PART.parquet     what was kept
        ──▶ DECISION  decisions/PART.parquet     what was not, and why
dedup   ──▶ REMOVAL   removals/BUCKET.parquet    what was a duplicate, of what, and how similar
shard   ──▶ shard_schema(...)  SOURCE/*.arrow    packed rows of token ids and their segments
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

FORMAT_VERSION: Final = 3
"""Version of every file layout in this module; a reader refuses any other."""

DOC_ID: Final = pa.binary(16)
"""xxh3-128 of (source name, locator, text, marks), big-endian. Stable when a corpus is renamed or re-partitioned."""

MARK: Final = pa.struct([pa.field("at", pa.int64(), nullable=False), pa.field("token", pa.string(), nullable=False)])
"""A control token that stands in a document: before byte `at` of its UTF-8 text, which is the beginning of a character, or at its end.
`token` is one of contracts.special_tokens.MARKS_OF_KIND."""

MARKS: Final = pa.list_(pa.field("item", MARK, nullable=False))
"""The marks of one document, by ascending `at`; those at one place stand in the order of the list. Most documents have none."""

DOCUMENT: Final = pa.schema(
    [
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("marks", MARKS, nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("repo", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("stars", pa.int64(), nullable=True),
        pa.field("licenses", pa.list_(pa.string()), nullable=False),
        pa.field("license_evidence", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("content_hash", pa.binary(16), nullable=False),
    ]
)
"""One document. `origin` is "INPUT#ROW": INPUT 64 bits of the sha256 of the input file's bytes (curate/inputs.parquet says
where that file lay), ROW its row, the byte at which its line begins, or 0. It does not hold the file's name, so that renaming a
corpus changes no output byte. `text` holds no control token: what spells one in it is text. Those that stand in the document are `marks`.
`content_hash` is the xxh3-128 of the UTF-8 text, and, where there are marks, of a byte 0xFF and "AT:TOKEN;" for each of them behind it:
0xFF is in no UTF-8, so no text has the hash of another with marks. `licenses` are SPDX expressions as found, all of which hold;
`license_evidence` says where they were found."""

KINDS: Final = ("code", "prose", "issue", "commit", "notebook", "chat")

DECISION: Final = pa.schema(
    [
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("check", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One document that was not kept. `outcome` is "dropped" (a filter's rule) or "quarantined" (it could not be read).
An input that cannot be read as a whole is one row with ROW = 0 and its cause. `reason` never quotes the text."""

REMOVAL: Final = pa.schema(
    [
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("keeper_id", DOC_ID, nullable=False),
        pa.field("jaccard", pa.float32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("band", pa.int16(), nullable=False),
        pa.field("reference", pa.string(), nullable=False),
    ]
)
"""One duplicate. `kind` is "exact" for the same text and marks as its keeper, "near" for another. `jaccard` is measured on the shingle
sets, or, if the manifest's config says verify = "estimate", estimated from the signatures; 1 for exact duplicates. `band`: the first LSH
band that brought the two together, -1 for exact duplicates. `reference`: name of the reference corpus that the keeper is of, "" if it is
of this one. A copy of a document that was itself removed as "near" has that document's keeper, similarity and band."""

OBJECTIVES: Final = ("padding", "causal", "span_corruption", "fim", "prefix_lm", "chat")
"""Names by the code stored in `segments.kind`. Codes are part of the format: append, never reorder."""

HELD_OUT: Final = "held_out"
"""Shards of documents that are kept for evaluation lie in the stratum HELD_OUT/SOURCE, or HELD_OUT/SOURCE/LANGUAGE."""


def held_out_of(stratum: str) -> str:
    """The stratum of the documents that were held out of another."""
    return f"{HELD_OUT}/{stratum}"


def is_held_out(stratum: str) -> bool:
    """Whether a stratum holds documents for evaluation."""
    return stratum.startswith(held_out_of(""))


def source_of(stratum: str) -> str:
    """The source that a stratum is of."""
    return stratum.removeprefix(held_out_of("")).split("/")[0]


SEGMENT: Final = pa.struct(
    [
        pa.field("doc_id", DOC_ID, nullable=False),
        pa.field("doc_start", pa.int64(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("loss_start", pa.int32(), nullable=False),
    ]
)
"""A stretch of one row that one example fills. `start`, `length`: tokens of the row; `doc_start`: tokens of the plain
document before it; `kind`: index into OBJECTIVES; `loss_start`: first token of the segment (0-based within it) that is a target."""

SHARD_METADATA_KEY: Final = b"spanmill"
"""Key of the JSON in a shard's schema metadata."""


def token_type(vocab_size: int) -> pa.DataType:
    """uint16 for vocabularies up to 65,536 ids, uint32 beyond."""
    return pa.uint16() if vocab_size <= 65_536 else pa.uint32()


def shard_schema(context_length: int, vocab_size: int, metadata: bytes) -> pa.Schema:
    """Schema of one shard; a row holds `context_length + 1` ids, so that inputs and targets are both that long."""
    ids = pa.list_(pa.field("item", token_type(vocab_size), nullable=False), context_length + 1)
    return pa.schema(
        [
            pa.field("input_ids", ids, nullable=False),
            pa.field("segments", pa.list_(pa.field("item", SEGMENT, nullable=False)), nullable=False),
        ],
        metadata={SHARD_METADATA_KEY: metadata},
    )

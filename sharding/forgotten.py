"""The mask of forgotten documents: which segments of committed shards are read as padding.

    shard file       | doc A, causal | doc B, causal | doc C | pad |
    mask                              (row, 1)
    what is read     | doc A, causal | pad pad pad … | doc C | pad |

Shards themselves never change, and neither does the sequence of rows: the mask is no part of a loader's fingerprint, so that a
training run goes on where it was, and only the forgotten tokens are gone. The mask names the shards it belongs to by their digest.
One file holds all of it, since a file can be replaced at once: readers see the old mask or the new one. Each shard's part is read when
that shard is opened; start-up passes over the file once, to see that it is whole.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import ShardError
from contracts.schemas import DOC_ID, FORMAT_VERSION, SHARD_METADATA_KEY
from sharding.segments import Int32, Int64, UInt8, ids_to_arrow
from sharding.shard_file import open_arrow, read_batch

MASK_PATH: Final = "forgotten/mask.arrow"
"""Below a shard stage's folder. No manifest lists it, since it comes after the commit and may grow."""

MASK: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("segment", pa.int32(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("doc_id", DOC_ID, nullable=False),
    ]
)
"""One hidden segment: its row, its number in the row, its tokens, whose it is. One record batch a shard, ordered by row and number; the
schema's metadata is JSON: format_version, shards_digest, digest, totals, and `shards`, the path of each batch's shard."""

REMEDY = (
    "Run `spanmill forget` on the run with any name that is on its list: it hides all of the list anew. Shards that were fetched from "
    "elsewhere have no list: copy the file again."
)


class Places(NamedTuple):
    """k segments of one shard, ordered by row and number."""

    row: Int64
    """int64[k]"""
    number: Int32
    """int32[k]: of the segment in its row, from 0"""
    length: Int32
    """int32[k]: tokens"""
    doc_id: UInt8
    """uint8[k, 16]"""

    def in_row(self, row: int) -> Int32:
        """int32[j]: numbers of the segments that lie in one row."""
        first = int(self.row.searchsorted(row))
        if first == len(self.row) or self.row[first] != row:  # so it is with most rows
            return self.number[:0]
        return self.number[first : int(self.row.searchsorted(row, side="right"))]

    def union(self, other: Places) -> Places:
        """Segments of either."""
        row = np.concatenate([self.row, other.row])
        number = np.concatenate([self.number, other.number])
        order = np.lexsort((number, row))
        new = np.ones(len(order), np.bool_)
        new[1:] = (np.diff(row[order]) != 0) | (np.diff(number[order]) != 0)
        chosen = order[new]
        length, doc_id = np.concatenate([self.length, other.length]), np.concatenate([self.doc_id, other.doc_id])
        return Places(row[chosen], number[chosen], length[chosen], doc_id[chosen])


@dataclass(frozen=True)
class Mask:
    """An opened mask."""

    path: str
    shards_digest: str
    """Digest of the manifest of the shards it belongs to."""
    digest: str
    """Of what it hides; see `digest_of_places`."""
    totals: dict[str, int]
    """documents, rows, segments, tokens that it hides"""
    batches: dict[str, int]
    """Number of the record batch that is a shard's, by the shard's path in its manifest."""
    _reader: Any

    @staticmethod
    def open(stage_dir: str, shards_digest: str) -> Mask | None:
        """The mask of a stage's folder, local or any fsspec URL; None if nothing was forgotten.

        Raises ShardError for one that is damaged, or belongs to other shards than those with `shards_digest`. Cost: one pass over it, about
        a millisecond a MB, which is some 30,000 segments.
        """
        path = f"{stage_dir.rstrip('/')}/{MASK_PATH}"
        reader = _open_reader(path)
        if reader is None:
            return None
        mask = Mask(path, *_parsed(reader, path), reader)
        if digest_of_places(mask.places()) != mask.digest:
            raise ShardError(f"{path} is damaged: what it hides has not the digest that it names ({mask.digest}). {REMEDY}")
        if mask.shards_digest != shards_digest:
            raise ShardError(
                f"{path} hides segments of other shards (manifest digest {mask.shards_digest}) than those beside it ({shards_digest}): "
                f"it would hide the wrong tokens. {REMEDY}"
            )
        return mask

    def of(self, shard_path: str) -> Places | None:
        """What is hidden of one shard, as views of the file; None if nothing is."""
        if shard_path not in self.batches:
            return None
        return _places(read_batch(self._reader, self.batches[shard_path], self.path, REMEDY))

    def places(self) -> dict[str, Places]:
        """All that is hidden, by shard."""
        return {path: _places(read_batch(self._reader, number, self.path, REMEDY)) for path, number in self.batches.items()}


def mask_bytes(shards_digest: str, places: Mapping[str, Places]) -> bytes:
    """The file of a mask. Its bytes depend on the arguments alone, not on their order."""
    some = {path: places[path] for path in sorted(places) if len(places[path].row)}
    described = {
        "format_version": FORMAT_VERSION,
        "shards_digest": shards_digest,
        "digest": digest_of_places(some),
        "totals": _totals(some),
        "shards": list(some),
    }
    schema = MASK.with_metadata({SHARD_METADATA_KEY: json.dumps(described, sort_keys=True).encode()})
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, schema) as writer:
        for each in some.values():
            columns = [pa.array(each.row), pa.array(each.number), pa.array(each.length), ids_to_arrow(each.doc_id)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return buffer.getvalue()


def digest_of_places(places: Mapping[str, Places]) -> str:
    """128-bit hex digest of what is hidden: shards, rows, segments, documents."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(places):
        digest.update(f"{path}\0{len(places[path].row)}\0".encode())
        for column in places[path]:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _totals(places: Mapping[str, Places]) -> dict[str, int]:
    ids = [ids_to_arrow(each.doc_id) for each in places.values()]
    return {
        "documents": len(pc.unique(pa.chunked_array(ids, type=pa.binary(16)))),
        "rows": sum(len(np.unique(each.row)) for each in places.values()),
        "segments": sum(len(each.row) for each in places.values()),
        "tokens": sum(int(each.length.sum()) for each in places.values()),
    }


def _places(batch: pa.RecordBatch) -> Places:
    row, number, length = (batch.column(name).to_numpy() for name in ("row", "segment", "length"))
    doc_id = np.frombuffer(batch.column("doc_id").buffers()[1] or b"", np.uint8, count=16 * batch.num_rows)
    return Places(row, number, length, doc_id.reshape(-1, 16))


def _open_reader(path: str) -> Any:
    try:
        return open_arrow(path)
    except FileNotFoundError:
        return None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise ShardError(f"{path}: not a complete Arrow file ({error}). {REMEDY}") from None


def _parsed(reader: Any, path: str) -> tuple[str, str, dict[str, int], dict[str, int]]:
    """Digest of the shards, digest of the places, totals, batches."""
    try:
        described = json.loads((reader.schema.metadata or {})[SHARD_METADATA_KEY])
        if described["format_version"] != FORMAT_VERSION or not reader.schema.equals(MASK):
            raise ValueError(f"format version {described['format_version']!r}; this Spanmill reads {FORMAT_VERSION}")
        batches = {shard: number for number, shard in enumerate(described["shards"])}
        if len(batches) != reader.num_record_batches:
            raise ValueError(f"{reader.num_record_batches} batches for {len(batches)} shards")
        return described["shards_digest"], described["digest"], described["totals"], batches
    except (KeyError, TypeError, ValueError) as error:
        raise ShardError(f"{path}: not a mask of forgotten documents ({type(error).__name__}: {error}). {REMEDY}") from None

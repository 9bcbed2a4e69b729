"""Decompressing a stream with bounded memory, and knowing when it was cut off.

gzip always carries a checksum; zstd carries one unless its writer chose not to, and then altered bytes can pass for text.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import zstandard

from pipelines.sources.inputs import BLOCK, ByteReader, blocks

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

MAX_WINDOW: int = 2**31
"""Largest zstd window, hence memory, that is granted: what `zstd --long=31` needs, which large public corpora are packed with."""

_ZSTD_INPUT: int = 1024
"""Compressed bytes given to zstd at a time. Its best block turns 4 bytes into 128 KiB, so at most 32 MiB come back."""


class DamagedStreamError(Exception):
    """A compressed stream that is cut off or altered. The message says how."""


def compression_of(file: ByteReader) -> str:
    """By the first bytes: "gzip", "zstd", or "" for a plain file. The file is rewound."""
    head = file.read(4)
    file.seek(0)
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    return "zstd" if head == ZSTD_MAGIC else ""


def decompressed(file: ByteReader, compression: str) -> Iterator[bytes]:
    """The stream's bytes in blocks; all that can be had is yielded before DamagedStreamError is raised."""
    reader = {"gzip": _gunzip, "zstd": _unzstd, "": blocks}[compression]
    return reader(file)


def _gunzip(file: ByteReader) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while block := stream.read1(BLOCK):
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedStreamError(f"the gzip stream is damaged or cut off ({error})") from None


def _unzstd(file: ByteReader) -> Iterator[bytes]:
    """All frames, one after the other. The stream reader of `zstandard` takes a cut-off frame for the end, so frames are fed by hand."""
    context = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = None
    try:
        while block := file.read(_ZSTD_INPUT):
            while block:
                frame = frame or context.decompressobj()
                if data := frame.decompress(block):
                    yield data
                block = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
    except zstandard.ZstdError as error:
        raise DamagedStreamError(f"the zstd stream is damaged ({error})") from None
    if frame is not None:
        raise DamagedStreamError("the zstd stream is cut off in the middle of a frame")

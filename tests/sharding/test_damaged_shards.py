"""A shard some of whose bytes have changed: whoever reads it is told which file it is, and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash

from contracts.errors import ShardError
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, control_tokens
from sharding.segments import SegmentTable
from sharding.shards import Shard, ShardMetadata, write_shard

CONTEXT, ROWS = 63, 40
CONTROL_IDS = {name: 900 + i for i, name in enumerate([END_OF_TEXT, *control_tokens(4)])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A compressed shard of three batches; each row is one segment."""
    ids = np.random.default_rng(7).integers(0, 900, (ROWS, CONTEXT + 1)).astype(np.uint16)
    ones = np.ones(ROWS, np.int32)
    segments = SegmentTable(
        row_offsets=np.arange(ROWS + 1, dtype=np.int64),
        doc_id=np.zeros((ROWS, 16), np.uint8),
        doc_start=np.zeros(ROWS, np.int64),
        start=0 * ones,
        length=(CONTEXT + 1) * ones,
        kind=ones.astype(np.uint8),
        loss_start=ones,
    )
    metadata = ShardMetadata(
        FORMAT_VERSION,
        "code",
        CONTEXT,
        1000,
        "0" * 64,
        CONTROL_IDS,
        seed=0,
        epoch=0,
        config_digest="",
        objectives=list(OBJECTIVES[1:]),
    )
    with (tmp_path / "00000.arrow").open("wb") as file:
        write_shard(file, metadata, [(ids, segments)], rows_per_batch=16, compression="zstd")
    return tmp_path / "00000.arrow"


def damage(path: Path, number: int) -> None:
    """Changes the head of the compressed ids of one batch, so that it is no zstd frame."""
    content, magic = bytearray(path.read_bytes()), b"\x28\xb5\x2f\xfd"
    places = [at for at in range(len(content)) if content[at : at + 4] == magic]
    per_batch = len(places) // 3
    content[places[number * per_batch]] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(("number", "opens"), [(0, False), (1, True), (2, False)])
def test_a_batch_that_does_not_decompress_names_its_file(path: Path, number: int, opens: bool) -> None:
    """The first and the last batch are read when the shard is opened, the others when a row of theirs is."""
    whole = Shard.open(str(path))
    assert whole.rows == ROWS
    damage(path, number)
    with pytest.raises(
        ShardError, match=rf"00000.arrow: batch {number} cannot be read \(.*changed or damaged. Copy it again, or make"
    ):
        Shard.open(str(path)).row(16 * number)
    if opens:
        assert Shard.open(str(path)).row(0).tolist() == whole.row(0).tolist()


def test_the_checksum_is_that_of_the_file(path: Path) -> None:
    assert Shard.open(str(path)).checksum() == xxhash.xxh3_64_hexdigest(path.read_bytes())

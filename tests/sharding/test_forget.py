"""What was forgotten is never read again, and everything else stays where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from counted_store import CountedStore
from hypothesis import given
from hypothesis import strategies as st
from stages import CONTEXT, CONTROL_IDS, metadata_for, segments_of, write_stage

from contracts.errors import ShardError
from contracts.manifest import Manifest
from contracts.schemas import FORMAT_VERSION, SHARD_METADATA_KEY
from contracts.special_tokens import PAD
from sharding.forgotten import MASK, MASK_PATH, Mask, Places, digest_of_places, mask_bytes
from sharding.loader import Loader
from sharding.shards import Shard, open_shards, write_shard
from sharding.whereabouts import find

Where = set[tuple[int, int]]


def ids_of(stage: Path, numbers: list[int]) -> np.ndarray:
    """uint8[n, 16]: of documents of the code source; each owns every eighth row's segment there, see stages.segments_of."""
    return np.unique(Shard.open(str(stage / "c0.arrow")).segment_table().doc_id, axis=0)[numbers]


def found_by_hand(path: Path, doc_ids: np.ndarray) -> Where:
    """(row, segment) of every segment of the documents, row by row."""
    shard, wanted = Shard.open(str(path)), {each.tobytes() for each in doc_ids}
    return {
        (row, number)
        for row in range(shard.rows)
        for number, doc_id in enumerate(shard.segments(row).doc_id)
        if doc_id.tobytes() in wanted
    }


def forget(stage: Path, doc_ids: np.ndarray) -> None:
    """Writes the mask of some documents, replacing any other."""
    manifest = Manifest.from_json((stage / "manifest.json").read_text(), "")
    places = {entry.path: find(str(stage / entry.path), doc_ids).places for entry in manifest.files}
    (stage / "forgotten").mkdir(exist_ok=True)
    (stage / MASK_PATH).write_bytes(mask_bytes(manifest.digest, places))


def test_documents_are_found_wherever_they_lie(stage: Path) -> None:
    doc_ids = ids_of(stage, [0, 3, 9])
    for path in ("c0.arrow", "c1.arrow", "p0.arrow", "i0.arrow"):
        found, table = find(str(stage / path), doc_ids), Shard.open(str(stage / path)).segment_table()
        places = list(zip(found.row.tolist(), found.number.tolist(), strict=True))
        assert set(places) == found_by_hand(stage / path, doc_ids)
        assert places == sorted(places)
        at = table.row_offsets[found.row] + found.number
        for name in ("doc_id", "doc_start", "start", "length", "kind", "loss_start"):
            assert np.array_equal(vars(found.segments)[name], vars(table)[name][at]), name
    assert len(find(str(stage / "c0.arrow"), np.full((1, 16), 255, np.uint8)).row) == 0


@given(
    ids=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20),
    asked=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2))),
)
def test_ids_are_told_apart_by_all_of_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, ids: list[tuple[int, int]], asked: set[tuple[int, int]]
) -> None:
    def to_bytes(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
        joined = b"".join(bytes([high]) * 8 + bytes([low]) * 8 for high, low in pairs)
        return np.frombuffer(joined, np.uint8).reshape(-1, 16)

    path, table = tmp_path_factory.mktemp("shard") / "x.arrow", segments_of([[10, 6]] * len(ids))
    table.doc_id = np.repeat(to_bytes(ids), 2, axis=0)
    with path.open("wb") as file:
        write_shard(file, metadata_for(), [(np.zeros((len(ids), CONTEXT + 1), np.uint16), table)])
    assert find(str(path), to_bytes(sorted(asked))).row.tolist() == [
        row for row, pair in enumerate(ids) for _ in (0, 1) if pair in asked
    ]


def test_ids_in_another_order_are_refused(stage: Path) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        find(str(stage / "c0.arrow"), ids_of(stage, [3, 1]))


def test_documents_are_found_in_a_store(stage: Path) -> None:
    with fsspec.open("memory://lost/c0.arrow", "wb") as file:
        file.write((stage / "c0.arrow").read_bytes())
    doc_ids = ids_of(stage, [1, 2])
    here, there = find(str(stage / "c0.arrow"), doc_ids), find("memory://lost/c0.arrow", doc_ids)
    assert len(here.row) > 1
    assert np.array_equal(here.row, there.row)
    assert np.array_equal(here.segments.doc_id, there.segments.doc_id)


def test_only_segments_are_fetched_from_a_store(tmp_path: Path) -> None:
    """A shard of 12.9 MB, with 2,048 tokens and five segments a row, which are 4.4 % of it."""
    rows, width, path = 3001, 2049, tmp_path / "x.arrow"
    table = segments_of([[400, 400, 400, 400, 449]] * rows)
    with path.open("wb") as file:
        write_shard(file, metadata_for(context_length=width - 1), [(np.zeros((rows, width), np.uint16), table)])
    doc_ids = np.unique(table.doc_id, axis=0)[[1, 7]]
    CountedStore.asked.clear()
    there, here = find(f"counted://{path}", doc_ids), find(str(path), doc_ids)
    assert np.array_equal(there.row, here.row)
    assert np.array_equal(there.segments.start, here.segments.start)
    requests, size = CountedStore.asked[str(path)], path.stat().st_size
    assert size > 12_000_000
    assert sum(requests) < 0.06 * size
    assert len(requests) <= 4 + 2 * 3  # the footer twice, two a batch


def test_rows_read_padding_where_documents_were_and_nothing_else_changes(stage: Path) -> None:
    doc_ids = ids_of(stage, [0, 3, 9])
    before = open_shards(str(stage))
    forget(stage, doc_ids)
    after = open_shards(str(stage))
    hidden = 0
    for source in before.sources:
        for index in range(before.rows(source)):
            (ids, segments), (masked_ids, masked) = before.row(source, index), after.row(source, index)
            gone = np.array([doc_id.tobytes() in {each.tobytes() for each in doc_ids} for doc_id in segments.doc_id])
            spread = np.repeat(gone, segments.length)
            assert (masked_ids[spread] == CONTROL_IDS[PAD]).all()
            assert np.array_equal(masked_ids[~spread], ids[~spread])
            assert (masked.kind[gone] == 0).all()
            assert not masked.doc_id[gone].any()
            for name in ("doc_id", "doc_start", "kind", "loss_start"):
                assert np.array_equal(vars(masked)[name][~gone], vars(segments)[name][~gone]), name
            assert np.array_equal(masked.start, segments.start)
            assert np.array_equal(masked.length, segments.length)
            masked.check(1, len(ids))
            hidden += int(gone.sum())
    assert after.mask is not None
    assert hidden == after.mask.totals["segments"] > 50


def test_every_way_to_read_a_shard_goes_through_the_mask(stage: Path) -> None:
    forget(stage, ids_of(stage, [0, 5]))
    shard = open_shards(str(stage)).shard("code", 0)
    rows = [shard.row(row) for row in range(shard.rows)]
    table = shard.segment_table()
    assert np.array_equal(shard.gather(np.arange(shard.rows)), np.stack(rows))
    for row in range(shard.rows):
        assert np.array_equal(shard.segments(row).doc_id, table.slice(row, row + 1).doc_id)
        assert np.array_equal(shard.segments(row).kind, table.slice(row, row + 1).kind)
    assert (table.kind == 0).sum() == len(find(str(stage / "c0.arrow"), ids_of(stage, [0, 5])).row)
    assert not any(row.flags.writeable for row in rows)
    assert (Shard.open(str(stage / "c0.arrow")).segment_table().kind != 0).all()  # the file is as it was


def batches(loader: Loader) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for step in range(100):
        batch = loader.batch(step)
        yield batch.input_ids, batch.loss_mask, batch.kind


def test_a_loader_keeps_its_sequence_and_its_state(stage: Path) -> None:
    plain = Loader(open_shards(str(stage)), batch_size=4, seed=7)
    forget(stage, ids_of(stage, [2, 4]))
    masked = Loader(open_shards(str(stage)), batch_size=4, seed=7)
    assert masked.resume(plain.state(40)) == 40
    changed = 0
    for (ids, loss, kind), (masked_ids, masked_loss, masked_kind) in zip(batches(plain), batches(masked), strict=True):
        gone = masked_kind != kind
        assert (masked_ids[gone] == CONTROL_IDS[PAD]).all()
        assert np.array_equal(masked_ids[~gone], ids[~gone])
        assert not masked_loss[gone[:, 1:]].any()
        assert np.array_equal(masked_loss[~gone[:, 1:]], loss[~gone[:, 1:]])
        changed += int(gone.any(axis=1).sum())
    assert changed > 20


def test_a_mask_of_other_shards_is_refused(stage: Path, tmp_path: Path) -> None:
    other = write_stage(tmp_path / "other", [("c0.arrow", "code", 20)])
    forget(other, ids_of(stage, [1]))
    (stage / "forgotten").mkdir()
    (stage / MASK_PATH).write_bytes((other / MASK_PATH).read_bytes())
    with pytest.raises(ShardError, match=r"hides segments of other shards .* with any name that is on its list"):
        open_shards(str(stage))


def test_a_mask_that_hides_other_places_than_it_says_is_refused(stage: Path) -> None:
    forget(stage, ids_of(stage, [1, 2]))
    content = bytearray((stage / MASK_PATH).read_bytes())
    mask = Mask.open(str(stage), Manifest.from_json((stage / "manifest.json").read_text(), "").digest)
    assert mask is not None
    content[content.index(ids_of(stage, [1]).tobytes())] ^= 1
    (stage / MASK_PATH).write_bytes(content)
    with pytest.raises(ShardError, match=rf"is damaged: what it hides has not the digest that it names \({mask.digest}\)"):
        open_shards(str(stage))


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_torn_mask_is_refused(stage: Path, keep: int) -> None:
    forget(stage, ids_of(stage, [1]))
    (stage / MASK_PATH).write_bytes((stage / MASK_PATH).read_bytes()[:keep])
    with pytest.raises(ShardError, match="not a complete Arrow file"):
        open_shards(str(stage))


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (b"[", "JSONDecodeError"),
        (b'{"format_version": 1}', "format version 1; this Spanmill reads"),
        (
            json.dumps(
                {"format_version": FORMAT_VERSION, "shards_digest": "", "digest": "", "totals": {}, "shards": ["a"]}
            ).encode(),
            "0 batches for 1",
        ),
        (None, "not a mask of forgotten documents"),
    ],
)
def test_what_is_no_mask_is_refused(stage: Path, described: bytes | None, words: str) -> None:
    schema = MASK.with_metadata({SHARD_METADATA_KEY: described}) if described else MASK
    (stage / "forgotten").mkdir()
    with pa.ipc.new_file(str(stage / MASK_PATH), schema):
        pass
    with pytest.raises(ShardError, match=words):
        open_shards(str(stage))


places_of_a_shard = st.sets(st.tuples(st.integers(0, 2**40), st.integers(0, 9)), max_size=30)


def places(where: Where) -> Places:
    """Lengths and ids that tell which segment they are of."""
    ordered = sorted(where)
    row, number = np.array([r for r, _ in ordered], np.int64), np.array([n for _, n in ordered], np.int32)
    doc_id = np.zeros((len(ordered), 16), np.uint8)
    doc_id[:, :8] = row.reshape(-1, 1).view(np.uint8)
    doc_id[:, 8] = number
    return Places(row, number, number + 1, doc_id)


@given(one=places_of_a_shard, other=places_of_a_shard)
def test_the_union_of_masks_is_that_of_sets(one: Where, other: Where) -> None:
    union = places(one).union(places(other))
    assert all(np.array_equal(got, expected) for got, expected in zip(union, places(one | other), strict=True))


@given(shards=st.dictionaries(st.sampled_from(["a.arrow", "b/c.arrow", "d.arrow"]), places_of_a_shard))
def test_a_mask_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, shards: dict[str, Where]) -> None:
    folder, held = tmp_path_factory.mktemp("stage"), {path: places(where) for path, where in shards.items()}
    (folder / "forgotten").mkdir()
    (folder / MASK_PATH).write_bytes(content := mask_bytes("ab", held))
    assert content == mask_bytes("ab", dict(reversed(held.items())))
    mask = Mask.open(str(folder), "ab")
    assert mask is not None
    assert mask.digest == digest_of_places(mask.places())
    assert set(mask.places()) == {path for path, where in shards.items() if where}
    assert mask.totals["segments"] == sum(map(len, shards.values()))
    assert mask.totals["documents"] == len(set.union(set(), *shards.values()))
    for path, where in shards.items():
        of = mask.of(path)
        assert (of is None) == (not where)
        for row in {row for row, _ in where}:
            assert of is not None
            assert of.in_row(row).tolist() == sorted(n for r, n in where if r == row)

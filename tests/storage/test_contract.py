"""What pipelines.storage promises is the same on a disk and on every store."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from stores import Store

from contracts.errors import InputError, StageError
from contracts.manifest import FileEntry
from pipelines import storage
from pipelines.stage import Stage
from pipelines.storage import join, read_bytes, write_bytes, write_file


def test_a_file_comes_back_as_it_went(store: Store) -> None:
    path = join(store.base, "a", "b.bin")
    for content in (b"", b"hello", bytes(range(256)) * 4096):
        written = write_bytes(path, content)
        assert written == (len(content), xxhash.xxh3_64_hexdigest(content))
        assert read_bytes(path) == content
        assert storage.digest_file(path) == written
        assert storage.read_bytes_or_none(path) == content


def test_a_large_file_comes_back_as_it_went(store: Store) -> None:
    """More than one part of an upload; the last part is short."""
    block = bytes(range(251)) * 4001
    path = join(store.base, "large.bin")

    def write(file: object) -> None:
        for _ in range(36):
            file.write(block)  # type: ignore[attr-defined]

    written = write_file(path, write)
    assert written.bytes == 36 * len(block) > 2 * 16 * 2**20
    assert storage.digest_file(path) == written
    assert storage.sizes_of([path]) == {path: written.bytes}


def test_what_is_not_there(store: Store) -> None:
    path = join(store.base, "nothing")
    assert not storage.exists(path)
    assert storage.names_in(path) == []
    assert storage.files_below(path) == []
    assert storage.sizes_below(path) == {}
    assert storage.sizes_of([path]) == {}
    assert storage.read_bytes_or_none(path) is None
    assert storage.read_many([path, path + "2"]) == {}
    storage.remove(path)
    with pytest.raises(FileNotFoundError):
        read_bytes(path)
    with pytest.raises(FileNotFoundError):
        storage.digest_file(path)
    with pytest.raises(StageError, match=r"no finished 'nothing' stage"):
        storage.read_manifest(path)


def test_names_and_sizes(store: Store) -> None:
    for name in ("x/b.txt", "x/a.txt", "x/deep/er/c.txt", "xy/no.txt", "x/[odd] *name?.txt", "x/.hidden"):
        write_bytes(join(store.base, name), name.encode())
    folder = join(store.base, "x")
    assert storage.names_in(folder) == [".hidden", "[odd] *name?.txt", "a.txt", "b.txt", "deep"]
    assert storage.names_in(folder + "/") == storage.names_in(folder)
    assert storage.names_in(join(folder, "a.txt")) == [], "a file holds no names"
    assert storage.names_in(store.base) == ["x", "xy"]
    assert storage.files_below(folder) == [".hidden", "[odd] *name?.txt", "a.txt", "b.txt", "deep/er/c.txt"]
    assert storage.files_below(join(folder, "a.txt")) == []
    assert storage.sizes_below(folder)["deep/er/c.txt"] == len("x/deep/er/c.txt")
    assert storage.exists(folder)
    assert storage.exists(join(folder, "a.txt"))
    assert not storage.exists(join(store.base, "x/a.tx")), "a prefix is no name"
    assert storage.sizes_of([folder]) == {}, "a folder has no size"


def test_removing(store: Store) -> None:
    for name in ("x/a.txt", "x/deep/b.txt", "xy/c.txt", "d.txt"):
        write_bytes(join(store.base, name), b"1")
    storage.remove(join(store.base, "x"))
    assert storage.files_below(store.base) == ["d.txt", "xy/c.txt"]
    assert not storage.exists(join(store.base, "x"))
    storage.remove(join(store.base, "d.txt"))
    storage.remove(join(store.base, "d.txt"))
    assert storage.files_below(store.base) == ["xy/c.txt"]
    storage.remove(store.base)
    assert not storage.exists(store.base)


def test_many_small_files(store: Store) -> None:
    """As receipts are."""
    paths = [join(store.base, "receipts", f"{number:08d}.json") for number in range(60)]
    for number, path in enumerate(paths):
        write_bytes(path, b"%d" % number)
    found = storage.read_many([*paths, join(store.base, "receipts/none.json")])
    assert found == {path: b"%d" % number for number, path in enumerate(paths)}
    assert list(found) == paths, "in the order asked for"
    assert storage.sizes_of(paths) == {path: len(content) for path, content in found.items()}
    assert len(storage.names_in(join(store.base, "receipts"))) == 60
    storage.remove(join(store.base, "receipts"))
    assert storage.names_in(store.base) == []


def test_a_new_file_is_seen_at_once(store: Store) -> None:
    """The clients' own memory of listings would hide it."""
    folder = join(store.base, "x")
    for number in range(3):
        write_bytes(join(folder, f"{number}"), b"1" * number)
        assert storage.names_in(folder) == [str(each) for each in range(number + 1)]
        assert storage.sizes_below(folder) == {str(each): each for each in range(number + 1)}
    storage.remove(join(folder, "1"))
    assert storage.names_in(folder) == ["0", "2"]
    write_bytes(join(folder, "2"), b"longer than before")
    assert storage.sizes_below(folder)["2"] == 18
    assert storage.digest_file(join(folder, "2")).bytes == 18


def test_a_writer_that_fails_leaves_what_was_there(store: Store) -> None:
    path = join(store.base, "x")

    def write(file: object) -> None:
        file.write(b"half" * 2**20)  # type: ignore[attr-defined]
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_file(path, write)
    assert storage.files_below(store.base) == []
    write_bytes(path, b"whole")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_file(path, write)
    assert storage.files_below(store.base) == ["x"]
    assert read_bytes(path) == b"whole"


def test_errors_of_what_is_read_while_writing_are_left_alone(store: Store) -> None:
    def write(_: object) -> None:
        raise ConnectionResetError("of an input")

    with pytest.raises(ConnectionResetError, match="of an input"):
        write_file(join(store.base, "x"), write)


def test_nothing_is_seen_before_the_end(store: Store) -> None:
    path = join(store.base, "x")
    seen: list[list[str]] = []

    def write(file: object) -> None:
        file.write(b"a" * 2**20)  # type: ignore[attr-defined]
        seen.append([name for name in storage.names_in(store.base) if storage.TEMPORARY not in name])

    write_file(path, write)
    assert seen == [[]]


def test_two_writers_of_one_file(store: Store) -> None:
    """As an engine's duplicate bundles: the same bytes at once, several parts each."""
    content = bytes(range(256)) * 4096 * 34
    path = join(store.base, "twin")
    barrier = threading.Barrier(2)
    results: list[object] = []

    def work() -> None:
        def write(file: object) -> None:
            barrier.wait()
            file.write(content)  # type: ignore[attr-defined]

        results.append(write_file(path, write))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(len(content), xxhash.xxh3_64_hexdigest(content))] * 2
    assert storage.digest_file(path) == results[0]
    assert storage.files_below(store.base) == ["twin"]
    assert storage.abort_uploads(store.base) == 0, "nothing was left over"


def test_a_parquet_file(store: Store) -> None:
    path = join(store.base, "t.parquet")
    table = pa.table({"source": ["a", "b"], "n": [1, 2]})
    storage.write_parquet(path, iter(table.to_batches()), table.schema)
    assert pq.read_table(pa.BufferReader(read_bytes(path))).equals(table)


def test_a_folder_where_a_file_is_asked_for(store: Store) -> None:
    write_bytes(join(store.base, "x/y"), b"1")
    with pytest.raises((FileNotFoundError, InputError)):
        read_bytes(join(store.base, "x"))


def test_a_lock_keeps_others_out_of_a_disk_only(store: Store) -> None:
    with storage.locked(store.base):
        assert storage.is_local(store.base) == (store.kind == "local")
        assert (Path(store.base) / ".lock").exists() == (store.kind == "local")


def test_a_stage_lives_on_every_storage(store: Store) -> None:
    stage = Stage("curate", store.base, {"a": 1}, 0, {})
    assert stage.open() == (True, "")
    assert stage.open() == (True, "goes on where it stopped")
    written = write_bytes(stage.path("x.bin"), b"hello")
    write_bytes(stage.work_path("scrap"), b"1")
    stage.commit([FileEntry("x.bin", 1, *written)], {"in": 1}, {})
    stage.close()
    assert storage.files_below(stage.folder) == ["manifest.json", "x.bin"]
    assert stage.open() == (False, "is up to date")
    other = Stage("curate", store.base, {"a": 2}, 0, {})
    assert other.open()[1].startswith("is made again: a was 1, is 2")
    assert storage.files_below(stage.folder) == [".progress/identity.json"]

"""JSON Lines: every line is a document or a quarantined row, however the file is cut, packed or damaged."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from source_reading import Found, plan, read_all, read_part

from pipelines.sources import json_lines
from pipelines.sources.compression import DamagedStreamError, compression_of, decompressed
from pipelines.sources.json_lines import lines, parse
from pipelines.sources.jsonl import JsonlSettings


def read(path: Path, part_bytes: int = 10**9, **settings: object) -> Found:
    return read_all(JsonlSettings.model_validate({"name": "j", "path": str(path), **settings}).open(), part_bytes)


def write(path: Path, rows: list[object]) -> Path:
    path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


def test_a_whole_document(tmp_path: Path) -> None:
    row = {"body": "fn main() {}", "n": 7, "lang": "rust", "repo": "a/b", "file": "m.rs", "stars": 3, "spdx": ["MIT", "ISC"]}
    path = write(tmp_path / "a.jsonl", [row, {"body": "x", "stars": "many", "spdx": "MIT, Apache-2.0"}])
    fields = {"text": "body", "id": "n", "language": "lang", "repo": "repo", "path": "file", "stars": "stars", "licenses": "spdx"}
    found = read(path, fields=fields, language="unknown")
    names = ("text", "id", "language", "kind", "repo", "path", "stars", "licenses", "license_evidence")
    first, second = ({name: row[name] for name in names if name in row} for row in found.documents.to_pylist())
    assert first == {
        "text": "fn main() {}", "language": "rust", "kind": "code", "repo": "a/b", "path": "m.rs", "stars": 3,
        "licenses": ["MIT", "ISC"], "license_evidence": "field 'spdx'",
    }  # fmt: skip
    assert (second["language"], second["stars"], second["licenses"]) == ("unknown", None, ["MIT", "Apache-2.0"])


BAD_LINES = [
    (b'{"text": ', "json", "not valid JSON"),
    (b'["text"]', "json", "holds a JSON list, not an object"),
    (b"null", "json", "holds a JSON NoneType, not an object"),
    (b"{}", "text", "has no field 'text' (setting 'fields.text')"),
    (b'{"text": 5}', "text", "field 'text' holds a number, not a string"),
    (b'{"text": null}', "text", "field 'text' holds null, not a string"),
    (b'{"text": "\\ud800"}', "utf8", "field 'text' holds a lone surrogate"),
    (b'{"text": "\xff"}', "utf8", "not valid UTF-8 from its byte 10 on"),
    (b'{"text": "a\\u0000"}', "nul", "holds NUL bytes"),
    (b'{"text": "x", "id": [1]}', "field", "field 'id' holds a list"),
    (b'{"text": "x", "id": "\\udfff"}', "utf8", "field 'id' holds a lone surrogate"),
    (b"[" * 100_000, "json", "nested too deeply"),
    (b'{"text": ' + b"1" * 5000 + b"}", "json", "too many digits"),
    (b'{"text": "' + b"x" * 200_000 + b'"}', "line_size", "has 200012 bytes; at most 150000 are read (setting 'max_line_bytes')"),
]


@pytest.mark.parametrize(("line", "check", "words"), BAD_LINES, ids=[words[:24] for _, _, words in BAD_LINES])
def test_a_bad_line_costs_itself_only(tmp_path: Path, line: bytes, check: str, words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\n\n  \r\n{"text": "after"}')
    found = read(path, fields={"id": "id"}, max_line_bytes=150_000)
    assert found.texts() == ["before", "after"]
    assert found.checks() == [check]
    assert words in found.reasons()[0]
    assert found.column("origin")[0].endswith("#0")
    assert found.lost["origin"].to_pylist()[0].endswith("#19")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
    assert read(tmp_path).texts() == ["a", "b"]


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=6), st.integers(0, 20))
def test_lines_do_not_depend_on_blocks(data: bytes, cuts: list[int], limit: int) -> None:
    bounds = [0, *sorted(cuts), len(data)]
    blocks = [data[start:stop] for start, stop in pairwise(bounds)]
    found = list(lines(blocks, 100, limit))
    want = data.split(b"\n") if data else []
    want = want[:-1] if want and not want[-1] else want
    assert [line.size for line in found] == [len(line) for line in want]
    assert [line.data for line in found] == [line if len(line) <= limit else None for line in want]
    assert all(data[line.at - 100 :].startswith(line.data) for line in found if line.data is not None)


@given(st.lists(st.text(max_size=12), max_size=20), st.integers(1, 40))
def test_pieces_are_runs_of_whole_lines(texts: list[str], target: int) -> None:
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "PIECE_BYTES", target)
        pieces = json_lines.line_pieces(io.BytesIO(data))
    assert sum(pieces) == len(data)
    ends = [sum(pieces[: i + 1]) for i in range(len(pieces))]
    assert all(data[end - 1 : end] == b"\n" for end in ends)
    assert all(size >= target for size in pieces[:-1])
    assert len(pieces) >= len(data) // (target + max((len(line) + 1 for line in data.split(b"\n")), default=1))


def test_workers_see_each_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PIECE_BYTES", 300)
    path = write(tmp_path / "a.jsonl", [{"text": f"{i} " + "x" * (i % 50)} for i in range(200)])
    whole, cut = read(path), read(path, part_bytes=700)
    source = JsonlSettings(name="j", path=str(path)).open()
    assert len(plan(source, 700)) > 5
    assert cut.documents.equals(whole.documents)
    data = path.read_bytes()
    for origin, text in zip(cut.column("origin"), cut.texts(), strict=True):
        assert json.loads(data[int(origin.partition("#")[2]) :].split(b"\n")[0]) == {"text": text}


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_compressed_files_give_the_same_documents(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    rows = [{"text": f"document {i}", "id": str(i)} for i in range(100)]
    plain = write(tmp_path / "a.jsonl", rows)
    half = len(plain.read_bytes()) // 2
    suffix = ".gz" if pack is gzip.compress else ".zst"
    packed = tmp_path / f"b.jsonl{suffix}"
    packed.write_bytes(pack(plain.read_bytes()[:half]) + pack(plain.read_bytes()[half:]))
    one, two = read(plain, fields={"id": "id"}), read(packed, fields={"id": "id"})
    assert one.column("doc_id") == two.column("doc_id")
    assert two.lost.num_rows == 0


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_rows_before_a_cut_are_kept(tmp_path: Path, suffix: str) -> None:
    rows = "".join(json.dumps({"text": f"{i} {'ab' * (i % 97)}"}) + "\n" for i in range(20_000)).encode()
    packed = gzip.compress(rows) if suffix == ".gz" else zstandard.compress(rows)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    found = read(path)
    kept = found.documents.num_rows
    assert 1_000 < kept < 20_000
    assert found.texts() == [f"{i} {'ab' * (i % 97)}" for i in range(kept)]
    assert found.checks() == ["compression"]
    lost_at = sum(len(line) + 1 for line in rows.split(b"\n")[:kept])
    assert f"what follows byte {lost_at} of the uncompressed file is lost" in found.reasons()[0]
    assert found.lost["origin"].to_pylist()[0].endswith(f"#{lost_at}")


def packed(data: bytes, kind: str) -> bytes:
    """As the command line tools write it: with a checksum."""
    return gzip.compress(data, mtime=0) if kind == "gzip" else zstandard.ZstdCompressor(write_checksum=True).compress(data)


def unpacked(data: bytes, kind: str) -> tuple[bytes, bool]:
    """What could be had, and whether the stream was found whole."""
    got = b""
    try:
        for block in decompressed(io.BytesIO(data), kind):
            got += block
    except DamagedStreamError:
        return got, False
    return got, True


@given(st.binary(max_size=300), st.integers(0, 299), st.sampled_from(["gzip", "zstd"]))
def test_every_cut_is_noticed(data: bytes, at: int, kind: str) -> None:
    stream = packed(data, kind)
    got, whole = unpacked(stream[: 4 + at % (len(stream) - 4)], kind)
    assert not whole
    assert data.startswith(got)
    assert unpacked(stream * 2, kind) == (data * 2, True)


@given(st.binary(max_size=300), st.integers(0, 299), st.integers(1, 255), st.sampled_from(["gzip", "zstd"]))
def test_altered_bytes_never_pass_for_others(data: bytes, at: int, flip: int, kind: str) -> None:
    stream = bytearray(packed(data, kind))
    stream[at % len(stream)] ^= flip
    got, whole = unpacked(bytes(stream), kind)
    assert not whole or got == data


def test_damage_inside_a_zstd_stream_is_one_lost_row(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"{i * i}"}) + "\n" for i in range(5000)).encode()
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(rows))
    packed[100:140] = b"\xff" * 40
    (tmp_path / "a.jsonl.zst").write_bytes(bytes(packed))
    assert read(tmp_path).checks() == ["compression"]


@pytest.mark.parametrize(("name", "check"), [("a.jsonl", "empty"), ("a.jsonl.gz", "empty"), ("b.jsonl.zst", "compression")])
def test_files_that_hold_nothing_are_named(tmp_path: Path, name: str, check: str) -> None:
    (tmp_path / name).write_bytes(b"" if check == "empty" else b'{"text": "not compressed"}\n')
    found = read(tmp_path)
    assert (found.documents.num_rows, found.checks()) == (0, [check])


def test_renaming_a_compressed_file_changes_nothing(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"text": "a"}\n', mtime=0)
    for folder, name in (("one", "a.jsonl.gz"), ("two", "b.jsonl")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(packed)
    assert read(tmp_path / "one").documents.equals(read(tmp_path / "two").documents)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_read_in_bounded_memory(kind: str) -> None:
    """96 MiB of zeros in a few KB: no block may be larger than what the module promises."""
    size = 96 * 2**20
    packed = gzip.compress(bytes(size), 6) if kind == "gzip" else zstandard.compress(bytes(size))
    assert len(packed) < size // 500
    assert compression_of(io.BytesIO(packed)) == kind
    tracemalloc.start()
    assert max(len(block) for block in decompressed(io.BytesIO(packed), kind)) <= 32 * 2**20
    assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    tracemalloc.stop()


def test_a_line_of_fifty_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 50_000_000 + b'"}\n{"text": "after"}\n')
    assert [len(text) for text in read(path).texts()] == [50_000_000, 5]
    bounded = read(path, max_line_bytes=1_000_000)
    assert (bounded.texts(), bounded.checks()) == (["after"], ["line_size"])


def test_a_cap_reads_whole_lines_of_the_first_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "PIECE_BYTES", 100)
    path = write(tmp_path / "a.jsonl", [{"text": f"{i:06d}"} for i in range(100)])
    source = JsonlSettings(name="j", path=str(path), max_bytes=1000).open()
    texts = [text for part in plan(source, 250) for text in read_part(source, part).texts()]
    assert texts == [f"{i:06d}" for i in range(len(texts))]
    assert 40 <= len(texts) <= 55


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_any_text_comes_back_as_it_was(text: str, ascii_only: bool) -> None:
    data = json.dumps({"text": text}, ensure_ascii=ascii_only).encode()
    (line,) = lines([data], 0, 10**6)
    assert parse(line, 10**6) == {"text": text}

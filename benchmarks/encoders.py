"""Encoders side by side with one tokenizer.json: speed, equality, memory, hostile text.

    python benchmarks/encoders.py TOKENIZER.json FOLDER [--megabytes 100] [--engines gigatoken,tokenizers,…] [--skip-memory]

FOLDER holds Parquet files with a column `content` or `text`. Each engine runs in a process of its own, on one thread, on Arrow
buffers as the shard stage has them. `ours` is tokenizer.encode.Encoder. Control tokens are left out everywhere. Engines that are not
installed are skipped: spanmill installs gigatoken and tokenizers; the others are `pip install tiktoken fastokens tokie`.

cold, warm   MB/s of CPU time on the first pass over the text, and on a second
equal        documents whose ids are those of `tokenizers`, of those compared (the first 4 MB)
growth       MB of memory that encoding 256 MB of words that never repeat adds
hostile      seconds for: a word of 10 MB, 10^6 spaces, every character of Unicode, 10^6 different words, 10^6 combining marks
"""

from __future__ import annotations

import os

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}  # read when these libraries are imported

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tokenizer.encode import Encoded, Encoder
from tokenizer.layout import without_control_tokens

Encode = Callable[[pa.LargeStringArray], Encoded]

COMPARED_BYTES = 4_000_000
"""Text on which ids are compared: the reference encodes about 1 MB a second."""

SLOWEST_SECONDS = 60
"""After which a hostile text is given up."""


def main() -> None:
    """Runs each engine by itself and prints its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=100.0, help="text to measure on (default 100)")
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--skip-memory", action="store_true", help="leave growth out")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        kind, _, what = arguments.alone.partition(":")
        print(json.dumps(PROBES[kind](arguments, what)))
        return
    print(f"{'engine':12} {'cold':>7} {'warm':>7} {'equal':>13} {'growth':>7}  " + "  ".join(HOSTILE))
    for engine in arguments.engines.split(","):
        if MODULES[engine] and find_spec(MODULES[engine]) is None:
            print(f"{engine:12} is not installed")
            continue
        print(row(engine, arguments.skip_memory), flush=True)


def row(engine: str, skip_memory: bool) -> str:
    """One engine's line of the table."""
    rates = probe(f"speed:{engine}", 600) or {"cold": 0, "warm": 0, "equal": 0, "compared": 0}
    growth = None if skip_memory else probe(f"growth:{engine}", 600)
    hostile = [probe(f"{name}:{engine}", SLOWEST_SECONDS) for name in HOSTILE]
    cells = [f"{'–' if cell is None else format(cell, '.2f'):>{len(name)}}" for cell, name in zip(hostile, HOSTILE, strict=True)]
    same = f"{rates['equal']:,}/{rates['compared']:,}"
    shown = "–" if growth is None else f"{growth:.0f}"
    return f"{engine:12} {rates['cold']:7.1f} {rates['warm']:7.1f} {same:>13} {shown:>7}  " + "  ".join(cells)


def probe(what: str, seconds: float) -> Any:
    """The result of one measurement in a process of its own; None if it failed or took too long."""
    try:
        done = subprocess.run(
            [sys.executable, *sys.argv, "--alone", what], capture_output=True, timeout=seconds + 30, text=True, check=True
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        print(f"  {what}: {str(error.stderr)[-300:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def speed(arguments: argparse.Namespace, engine: str) -> dict[str, float]:
    """MB/s of CPU time, twice, and equality with the reference."""
    text = read_texts(arguments.folder, int(arguments.megabytes * 1e6) if engine != "tokenizers" else COMPARED_BYTES)
    content = arguments.tokenizer.read_text()
    encode = ENGINES[engine](content)
    encode(pa.array(["warm"], pa.large_string()))
    cold, _ = timed(lambda: in_batches(encode, text))
    warm, _ = timed(lambda: in_batches(encode, text))
    few = read_texts(arguments.folder, COMPARED_BYTES)
    mine, reference = encode(few), Encoder(content, "tokenizers")(few)
    same = sum(np.array_equal(a, b) for a, b in zip(documents(mine), documents(reference), strict=True))
    return {"cold": text.nbytes / 1e6 / cold, "warm": text.nbytes / 1e6 / warm, "equal": same, "compared": len(few)}


def growth(arguments: argparse.Namespace, engine: str) -> float:
    """MB of memory that words which never repeat leave behind."""
    encode = ENGINES[engine](arguments.tokenizer.read_text())
    encode(words(0, 100_000))
    before = memory()
    for i in range(1, 256 if engine != "tokenizers" else 16):
        encode(words(i, 100_000))
    return (memory() - before) / 1e6


def hostile(name: str) -> Callable[[argparse.Namespace, str], float]:
    """A measurement of seconds for a hostile text."""

    def measure(arguments: argparse.Namespace, engine: str) -> float:
        encode = ENGINES[engine](arguments.tokenizer.read_text())
        text = pa.array([HOSTILE[name]()], pa.large_string())
        return timed(lambda: encode(text))[0]

    return measure


def words(number: int, count: int) -> pa.LargeStringArray:
    """One document of about 1 MB: words of nine random letters, others for each number."""
    letters = np.random.Generator(np.random.Philox(number)).integers(97, 123, (count, 10), np.uint8)
    letters[:, 0] = 32
    return pa.array([letters.tobytes().decode()], pa.large_string())


HOSTILE: dict[str, Callable[[], str]] = {
    "word": lambda: "a" * 10_000_000,
    "letters": lambda: words(0, 1_000_000)[0].as_py().replace(" ", ""),
    "spaces": lambda: " " * 1_000_000,
    "unicode": lambda: "".join(chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000),
    "words": lambda: words(0, 1_000_000)[0].as_py(),
    "marks": lambda: "\u0301" * 1_000_000,
    "symbols": lambda: "=" * 10_000_000,
}
"""Texts by name. `letters`: a word of 9 MB without repetition."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of CPU time of the process, and the result."""
    begin = time.process_time()
    made = work()
    return time.process_time() - begin, made


def in_batches(encode: Encode, text: pa.LargeStringArray) -> None:
    """Encodes as the shard stage does, some megabytes at a time."""
    for i in range(0, len(text), 1024):
        encode(text[i : i + 1024])


def documents(encoded: Encoded) -> Iterator[npt.NDArray[np.uint32]]:
    """Ids of each document."""
    for start, stop in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
        yield encoded.ids[start:stop]


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def read_texts(folder: Path, limit: int) -> pa.LargeStringArray:
    """At least `limit` bytes of text, some from each file."""
    paths = sorted(folder.rglob("*.parquet"))
    pieces, share = [], limit // max(1, len(paths))
    for path in paths:
        name = next(each for each in ("content", "text") if each in pq.read_schema(path).names)
        column = pq.read_table(path, columns=[name])[name].cast(pa.large_string()).drop_null().combine_chunks()
        whole = column if isinstance(column, pa.Array) else column.chunk(0)
        sizes = np.cumsum([len(each.as_buffer()) for each in whole])
        pieces.append(whole[: int(np.searchsorted(sizes, share)) + 1])
    return pa.concat_arrays(pieces)


def joined(ids: Iterable[list[int]]) -> Encoded:
    """Lists of ids as one array."""
    arrays = [np.array(each, np.uint32) for each in ids]
    return Encoded(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)]))


def _tiktoken(content: str) -> Encode:
    import tiktoken

    from tokenizer.ranks import printable

    fields = json.loads(without_control_tokens(content))
    byte = {character: i for i, character in enumerate(printable())}
    runs = {token["content"]: token["id"] for token in fields["added_tokens"]}
    known = {token: rank for token, rank in fields["model"]["vocab"].items() if all(c in byte for c in token)}
    ranks = {bytes(byte[c] for c in token): rank for token, rank in known.items() if token not in runs and token != "<|endoftext|>"}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    made = tiktoken.Encoding("benchmark", pat_str=pattern, mergeable_ranks=ranks, special_tokens=runs)
    return lambda text: joined(made.encode(each, allowed_special=set(runs), disallowed_special=()) for each in text.to_pylist())


def _fastokens(content: str) -> Encode:
    import fastokens

    made = fastokens.Tokenizer.from_json_str(without_control_tokens(content))
    return lambda text: joined(made.encode(each, add_special_tokens=False).ids for each in text.to_pylist())


def _tokie(content: str) -> Encode:
    import tempfile

    import tokie

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(without_control_tokens(content))
        file.flush()
        made = tokie.Tokenizer.from_json(file.name)
    return lambda text: joined(made.encode(each, add_special_tokens=False).ids for each in text.to_pylist())


def _gigatoken(content: str) -> Encode:
    import gigatoken

    from tokenizer.encode import as_bytestrings, text_buffers

    made = gigatoken.Tokenizer.from_json(without_control_tokens(content))

    def encode(text: pa.LargeStringArray) -> Encoded:
        layout = made.encode_batch(as_bytestrings(*text_buffers(text)), parallel=False).layout
        return Encoded(np.asarray(layout.content.data), np.asarray(layout.offsets.data, np.int64))

    return encode


ENGINES: dict[str, Callable[[str], Encode]] = {
    "ours": Encoder,
    "gigatoken": _gigatoken,
    "fastokens": _fastokens,
    "tokie": _tokie,
    "tiktoken": _tiktoken,
    "tokenizers": lambda content: Encoder(content, "tokenizers"),
}

MODULES = {name: "" if name == "ours" else name for name in ENGINES}

PROBES: dict[str, Callable[[argparse.Namespace, str], Any]] = {"speed": speed, "growth": growth} | {
    name: hostile(name) for name in HOSTILE
}


if __name__ == "__main__":
    main()

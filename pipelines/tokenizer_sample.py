"""The sample that a vocabulary is trained on: which documents, which stretch of long ones, and what words they hold.

SamplePart     a part of the corpus ─▶ sample/PART.arrow      its words and counts, a record batch for each key range
                                    ─▶ measured/PART.parquet  a few whole texts, on which the vocabulary is measured
MergeWords     a key range          ─▶ words/RANGE.parquet    words and counts over all parts, most frequent first
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from contracts.arrow_text import text_buffers
from contracts.errors import ConfigError
from pipelines.corpus import Corpus, column
from pipelines.stage import Receipt, Stage
from pipelines.storage import write_bytes, write_parquet
from pipelines.storage.errors import reading
from pipelines.storage.systems import file_system, is_disk
from tokenizer.config import TokenizerSettings
from tokenizer.train import bytes_by_count, count_words_of
from tokenizer.words import COUNTED, merge_words

Shares = dict[str, tuple[float, float]]
"""By "source/language": the share of its text that is trained on, and the share that is measured."""

MEASURED_BYTES = 1_000_000
"""Text of each source and language that a vocabulary is measured on, about. Our choice: bytes a token then vary by a percent or so."""

RANGE_BYTES = 512 * 2**20
"""Sample for each key range: its distinct words take a fifth of that in real code, and up to three times as much in noise."""

MEASURED = pa.schema([("cell", pa.string()), ("text", pa.large_string())])


def word_ranges(settings: TokenizerSettings) -> int:
    """Key ranges into which words are dealt."""
    return max(1, math.ceil(settings.sample_bytes / RANGE_BYTES))


def sample_shares(corpus: Corpus, settings: TokenizerSettings) -> Shares:
    """What of each source's and language's kept text belongs in the sample.

    The sample's bytes are dealt by weight; what is too small for its share gives all it has. Raises ConfigError for a weight of nothing.
    """
    sources = corpus.dedup.manifest.statistics["sources"]
    sizes = {f"{source}/{name}": row["bytes_kept"] for source, languages in sources.items() for name, row in languages.items()}
    weights = _weights(sizes, settings.weights)
    total = sum(weights.values()) or 1.0
    wanted = {cell: settings.sample_bytes * weight / total for cell, weight in weights.items()}
    return {cell: (_share(wanted[cell], size), _share(MEASURED_BYTES, size)) for cell, size in sizes.items()}


def _share(wanted: float, size: int) -> float:
    return min(1.0, wanted / size) if size else 0.0


def _weights(sizes: dict[str, int], given: dict[str, float]) -> dict[str, float]:
    """A weight for each cell: its own, or its part by size of what its source has."""
    if not given:
        return {cell: float(size) for cell, size in sizes.items()}
    known = sorted({cell.partition("/")[0] for cell in sizes} | sizes.keys())
    for name in given:
        if name not in known:
            raise ConfigError(
                f"tokenizer.weights.{name!r}: no kept text is of that source or source/language. Known: {', '.join(known)}"
            )
    rest: dict[str, int] = {}
    for cell, size in sizes.items():
        if cell not in given:
            source = cell.partition("/")[0]
            rest[source] = rest.get(source, 0) + size
    return {
        cell: given.get(cell, _part(given.get(cell.partition("/")[0], 0.0), size, rest.get(cell.partition("/")[0], 0)))
        for cell, size in sizes.items()
    }


def _part(weight: float, size: int, whole: int) -> float:
    return weight * size / whole if whole else 0.0


@dataclass
class SamplePart:
    """Counts the words of the sample that lies in one part of the corpus."""

    stage: Stage
    corpus: Corpus
    seed: int
    settings: TokenizerSettings
    shares: Shares

    def sizes(self) -> list[int]:
        """Bytes of each part."""
        return [part.bytes for part in self.corpus.parts()]

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """One part."""
        table = self.corpus.read(self.corpus.parts()[number], ("doc_id", "source", "language", "text"))
        keys = np.array([xxhash.xxh3_64_intdigest(doc_id, self.seed) for doc_id in table["doc_id"].to_pylist()], np.uint64)
        cells = [f"{source}/{language or 'unknown'}" for source, language in zip(*_names(table), strict=True)]
        trained, measured = _chosen(keys, [self.shares[cell] for cell in cells])
        sample = self._texts(table, keys, trained)
        words = count_words_of(sample, self.settings.layout)
        self._write_words(number, words.table)
        texts = self._texts(table, keys, measured)
        noted = pa.table([pa.array([cells[row] for row in measured], pa.string()), texts], schema=MEASURED)
        write_parquet(self.stage.work_path("measured", f"{number:05d}.parquet"), iter(noted.to_batches()), MEASURED)
        return {"documents": len(trained), "bytes": _size(sample), "blank_bytes": words.blank_bytes, "long_words": words.long_words}

    def _texts(self, table: pa.Table, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> pa.LargeStringArray:
        data, offsets = text_buffers(column(table, "text"))
        most, view = self.settings.document_bytes, memoryview(data.data)
        texts = [stretch(view[offsets[row] : offsets[row + 1]], int(keys[row]), most) for row in rows.tolist()]
        return pa.array(texts, pa.large_string())

    def _write_words(self, number: int, words: pa.Table) -> None:
        ranges = word_ranges(self.settings)
        of = np.asarray(words["hash"]) % np.uint64(ranges)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, COUNTED) as writer:
            for each in range(ranges):
                mine = words.filter(pa.array(of == each)).select(COUNTED.names).combine_chunks()
                writer.write_batch(mine.to_batches()[0] if mine.num_rows else pa.RecordBatch.from_pylist([], COUNTED))
        write_bytes(self.stage.work_path("sample", f"{number:05d}.arrow"), sink.getvalue().to_pybytes())


@dataclass
class MergeWords:
    """Adds up the counts of the words of one key range over all parts."""

    stage: Stage
    parts: int
    ranges: int

    def sizes(self) -> list[int]:
        """Bytes of sample for each range."""
        return [sum(receipt["bytes"] for receipt in self.stage.all_receipts("sample", self.parts)) // self.ranges] * self.ranges

    def setup(self) -> None:
        """Nothing to open."""

    def __call__(self, number: int) -> Receipt:
        """One range."""
        merged, held = merge_words([]), [merge_words([])]
        for part in range(self.parts):
            path = self.stage.work_path("sample", f"{part:05d}.arrow")
            held.append(pa.Table.from_batches([_read_batch(path, number, whole=self.ranges == 1)]))
            # Not at each part: the work would grow by the square of the parts. So it doubles the memory at most.
            if part + 1 == self.parts or sum(each.num_rows for each in held) > merged.num_rows:
                merged, held = merge_words([merged, *held]), []
        path = self.stage.work_path("words", f"{number:05d}.parquet")
        write_parquet(path, iter(merged.cast(COUNTED).to_batches()), COUNTED)
        return {"words": merged.num_rows, "bytes_by_count": bytes_by_count(merged).tolist()}


def _read_batch(path: str, number: int, *, whole: bool) -> pa.RecordBatch:
    """One record batch of an Arrow file: mapped from a local disk; of a store's object its footer and that batch, in three requests.

    `whole`: the batch is nearly all of the file, so that one request for all of it costs less. What is checked is what Arrow checks:
    that the file ends with a footer, and that the batch is where the footer says. Such files of a stage's own work have no digest; they
    appear whole or not at all (pipelines.storage).
    """
    with reading(path):
        fs, name = file_system(path)
        with pa.memory_map(name) if is_disk(fs) else fs.open(name, "rb", cache_type="all" if whole else "none") as file:
            return pa.ipc.open_file(file).get_batch(number)


def stretch(text: memoryview, key: int, most: int) -> bytes:
    """At most `most` bytes of a text in UTF-8: all of it, or from a place that the key decides, on a line's beginning if one is near.

    Nothing else of a long text is copied.
    """
    if len(text) <= most:
        return bytes(text)
    begin = key % (len(text) - most + 1)
    chosen = bytes(text[begin : begin + most])
    line = chosen.find(b"\n", 0, most // 2) + 1
    return chosen[line:].decode(errors="ignore").encode()  # without halves of characters


def _chosen(
    keys: npt.NDArray[np.uint64], shares: Sequence[tuple[float, float]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows to train on, whose keys are low, and rows to measure on, whose keys are high; of each part at least one for the latter."""
    place = keys / 2.0**64
    both = np.array(shares, np.float64).reshape(-1, 2)
    measured = place >= 1 - both[:, 1]
    if len(keys):
        measured[np.argmax(keys)] = True
    return np.flatnonzero((place < both[:, 0]) | (both[:, 0] >= 1)), np.flatnonzero(measured)


def _names(table: pa.Table) -> tuple[list[str], list[str]]:
    return table["source"].to_pylist(), table["language"].to_pylist()


def _size(text: pa.LargeStringArray) -> int:
    _, offsets = text_buffers(text)
    return int(offsets[-1] - offsets[0])

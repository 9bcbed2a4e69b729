"""What each objective costs, and what cuts between characters do to tokens.

    python benchmarks/objectives.py RUN [--megabytes 30] [--context 2048]

RUN holds finished stages up to the tokenizer; its first kept documents are encoded and cut into chunks of `context` tokens at most.
Prints ns of CPU time a token for `examples` and `lengths`, every chunk transformed; and of infilling at characters by how many tokens
an example grows, and how many prefixes, middles and suffixes have the ids that their text has on its own.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.corpus import Corpus, column, find, find_corpus, read_checked
from sharding.chunks import Cutter, Documents, chunks_of
from sharding.config import ShardSettings
from sharding.objectives import Chunks, Codec, Controls, Examples, Objective, TextTable, build
from sharding.objectives.causal import Causal
from sharding.objectives.fim import MIDDLE, PREFIX, PSM, SUFFIX
from sharding.objectives.text import STARTS_CHARACTER
from sharding.randomness import document_keys
from tokenizer.encode import Encoder
from tokenizer.token_bytes import token_bytes

OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "causal": ("causal", {}),
    "prefix_lm": ("prefix_lm", {}),
    "chat": ("chat", {}),
    "span_corruption, CodeGen2": ("span_corruption", {}),
    "span_corruption, T5": ("span_corruption", {"span_corruption": {"variant": "t5", "max_spans": 128}}),
    "fim, tokens": ("fim", {"fim": {"rate": 1.0, "cut": "token"}}),
    "fim, lines": ("fim", {"fim": {"rate": 1.0, "cut": "line"}}),
    "fim, characters": ("fim", {"fim": {"rate": 1.0}}),
}
"""Objective and other settings of `[shard]`, by what the table calls it."""


def main() -> None:
    """Prepares, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--megabytes", type=float, default=30, help="text to take (default 30)")
    parser.add_argument("--context", type=int, default=2048, help="tokens of a chunk at most (default 2048)")
    arguments = parser.parse_args()
    vocabulary = find(str(arguments.run.resolve()), "", "tokenizer")
    controls = Controls.of(vocabulary.manifest.statistics["control_ids"])
    text = read_checked(vocabulary.folder, vocabulary.file("tokenizer.json")).to_pybytes().decode()
    codec = Codec(TextTable(*token_bytes(text, vocabulary.manifest.totals["vocab_size"])), Encoder(text))
    corpus = find_corpus(str(arguments.run.resolve()), "")
    chunks = chunked(corpus, codec, controls, int(arguments.megabytes * 1e6), arguments.context)
    tokens = int((chunks.stop - chunks.start).sum())
    print(f"{len(chunks.start):,} chunks, {tokens:,} tokens, vocabulary of {len(codec.table.offsets) - 1:,}\n")
    print(f"{'ns a token':28}{'examples':>10}{'lengths':>10}")
    for label, (name, settings) in OBJECTIVES.items():
        objective = build([name], ShardSettings(objectives={name: 1.0}, **settings), controls, codec)[name]
        objective.examples(chunks)  # compiled, and the encoder warm
        costs = [seconds(call, chunks) * 1e9 / tokens for call in (objective.examples, objective.lengths)]
        print(f"{label:28}{costs[0]:10.1f}{costs[1]:10.1f}", flush=True)
    tell_growth(objective, chunks, codec, controls)  # the last one


def chunked(corpus: Corpus, codec: Codec, controls: Controls, size: int, context: int) -> Chunks:
    """Chunks of the first documents, of about `size` bytes of text."""
    tables, held = [], 0
    for part in corpus.parts():
        for _, table, kept in corpus.groups(part, ("doc_id", "text")):
            tables.append(table.filter(pa.array(kept)))
            held += tables[-1].nbytes
        if held > size:
            break
    table = pa.concat_tables(tables).combine_chunks()
    ids, offsets = codec.encode(column(table, "text"))
    doc_id = np.frombuffer(b"".join(table["doc_id"].to_pylist()), np.uint8).reshape(-1, 16)
    documents = Documents.whole(ids, offsets, doc_id)
    keys = document_keys(documents.doc_id, 0, 0)
    cutter = Cutter(context, "tokens", codec.table.ends_line, (codec.table.flags & STARTS_CHARACTER) > 0)
    cuts = cutter.cut(documents, keys, [Causal(controls)], np.zeros(len(doc_id), np.int64))
    return chunks_of(documents, keys, cuts)._replace(drawn=None)


def seconds(call: Any, chunks: Chunks) -> float:
    """CPU time of a call."""
    begin = time.process_time()
    call(chunks)
    return time.process_time() - begin


def tell_growth(objective: Objective, chunks: Chunks, codec: Codec, controls: Controls) -> None:
    """Prints by how much examples grow, and how many of their parts have the ids that they have alone."""
    made = objective.examples(chunks)
    mean, high, most = made.grown.mean(), np.percentile(made.grown, 99), made.grown.max()
    print(f"\ncuts at characters: {mean:.1f} tokens more on average, {high:.0f} at the 99th percentile, {most} at most")
    parts = [part for i in np.flatnonzero(made.layout == PSM).tolist() for part in parts_of(made, i, controls)]
    texts = [codec.table.spell(part) for part in parts]
    known = [i for i, text in enumerate(texts) if is_text(text)]
    ids, offsets = codec.encode(pa.array([texts[i].decode() for i in known], pa.large_string()))
    alike = sum(np.array_equal(ids[offsets[k] : offsets[k + 1]], parts[i]) for k, i in enumerate(known))
    print(f"{alike:,} of {len(known):,} prefixes, middles and suffixes (PSM) have the ids that they have alone")


def parts_of(made: Examples, i: int, controls: Controls) -> list[np.ndarray[Any, Any]]:
    """Prefix, suffix and middle of an example in PSM."""
    ids = made.ids[made.offsets[i] : made.offsets[i + 1]]
    edges = [int(np.flatnonzero(ids == controls.ids[name])[0]) for name in (PREFIX, SUFFIX, MIDDLE)]
    end = len(ids) - (int(ids[-1]) == controls.end_of_text)
    return [ids[begin + 1 : stop] for begin, stop in zip(edges, [*edges[1:], end], strict=True)]


def is_text(data: bytes) -> bool:
    """Whether it is UTF-8: a chunk that begins within a character is not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


if __name__ == "__main__":
    main()

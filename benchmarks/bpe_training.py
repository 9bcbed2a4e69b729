"""Our training of byte-level BPE beside that of `tokenizers`, on the same text: CPU time, and whether the outcome is the same.

    python benchmarks/bpe_training.py RUN [--megabytes 40] [--merges 50000]

RUN holds finished curate and dedup stages; its first kept documents are the sample. One thread on either side.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.corpus import find_corpus
from tokenizer.learn import learn
from tokenizer.words import LONGEST_WORD, count_words, merge_words


def main() -> None:
    """Trains twice, compares, prints."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--megabytes", type=float, default=40, help="text to train on (default 40)")
    parser.add_argument("--merges", type=int, default=50_000, help="merges to learn (default 50,000)")
    arguments = parser.parse_args()
    texts = sample(str(arguments.run.resolve()), int(arguments.megabytes * 1e6))
    words(["compile this first", "and this"], 300)
    begin = time.process_time()
    vocab, merges, distinct, counting = words(texts, 256 + arguments.merges)
    ours = time.process_time() - begin
    begin = time.process_time()
    their_vocab, their_merges = peers(texts, 256 + arguments.merges)
    theirs = time.process_time() - begin
    alike = sum(a == b for a, b in zip(merges, their_merges, strict=False))
    print(f"{sum(map(len, texts)) / 1e6:,.0f} million characters, {distinct:,} distinct words, {len(merges):,} merges")
    print(f"ours         {ours:8.1f} CPU s, {counting:.1f} of them counting words")
    print(f"tokenizers   {theirs:8.1f} CPU s")
    print(f"merges alike {alike:,} of {len(merges):,}; vocabulary {'equal' if vocab == their_vocab else 'different'}")


def sample(run_dir: str, size: int) -> list[str]:
    """The first kept documents, without words so long that our training leaves them out."""
    corpus, texts, held = find_corpus(run_dir, ""), [], 0
    for part in corpus.parts():
        for text in corpus.read(part, ("text",))["text"].to_pylist():
            if max(map(len, text.split()), default=0) * 4 < LONGEST_WORD:
                texts.append(text)
                held += len(text.encode())
            if held > size:
                return texts
    return texts


def words(texts: list[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]], int, float]:
    """Vocabulary, merges, number of distinct words, CPU seconds of counting: ours."""
    begin = time.process_time()
    table = merge_words([count_words(pa.array(texts, pa.large_string()), skip_runs=False).table])
    counting = time.process_time() - begin
    column = table["word"].combine_chunks()
    data, offsets = np.frombuffer(column.buffers()[2], np.uint8), np.frombuffer(column.buffers()[1], np.int64)[: len(column) + 1]
    learned = learn(data, offsets, np.asarray(table["count"]), size)
    return learned.vocab, learned.merges, len(column), counting


def peers(texts: list[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges: theirs."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # here: it reads the number of threads when it is imported

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


if __name__ == "__main__":
    main()

"""Near-deduplication with datasketch as it is commonly written: word 5-grams, MinHash, MinHashLSH, no verification.

    python datasketch_side.py DOCUMENTS REMOVED --threshold 0.7 --num-perm 128 --rule first|components

DOCUMENTS is a Parquet file with columns doc_id and text, documents to keep first; REMOVED becomes a text file, one doc_id a line. The
words are [A-Za-z_0-9]+, everything else is datasketch's default: hash function, scheme of permutations, bands for the threshold.

    first        a document goes if the index returns any document that was kept before it; only kept ones are put into the index
    components   all documents are put into the index; of those that the index joins, through others too, the first is kept. BigCode
                 deduplicated The Stack so, with 256 permutations
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH

WORD = re.compile(r"[A-Za-z_0-9]+")
NGRAM = 5

Sketches = Iterator[tuple[str, MinHash]]


def main() -> None:
    """Reads, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("removed", type=Path)
    parser.add_argument("--threshold", type=float, required=True)
    parser.add_argument("--num-perm", type=int, default=128, help="datasketch's default is 128")
    parser.add_argument("--rule", choices=("first", "components"), required=True)
    arguments = parser.parse_args()
    index = MinHashLSH(threshold=arguments.threshold, num_perm=arguments.num_perm)
    print(f"{index.b} bands of {index.r}", file=sys.stderr)
    rule = keep_first if arguments.rule == "first" else keep_one_of_component
    removed = rule(sketches(arguments.documents, arguments.num_perm), index)
    arguments.removed.write_text("".join(f"{each}\n" for each in removed))


def sketches(path: Path, num_perm: int) -> Sketches:
    """Id and MinHash of every document."""
    table = pq.read_table(path, columns=["doc_id", "text"])
    for doc_id, text in zip(table["doc_id"].to_pylist(), table["text"].to_pylist(), strict=True):
        words = WORD.findall(text)
        sketch = MinHash(num_perm=num_perm)
        sketch.update_batch({" ".join(words[i : i + NGRAM]).encode() for i in range(len(words) - NGRAM + 1)})
        yield doc_id, sketch


def keep_first(documents: Sketches, index: MinHashLSH) -> list[str]:
    """Ids of documents that resemble one that was kept before them."""
    removed = []
    for doc_id, sketch in documents:
        if index.query(sketch):
            removed.append(doc_id)
        else:
            index.insert(doc_id, sketch)
    return removed


def keep_one_of_component(documents: Sketches, index: MinHashLSH) -> list[str]:
    """Ids of all but the first document of each connected component."""
    place: dict[str, int] = {}
    parent: list[int] = []

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for doc_id, sketch in documents:
        place[doc_id] = len(parent)
        parent.append(len(parent))
        for other in index.query(sketch):
            a, b = root(place[other]), root(place[doc_id])
            parent[max(a, b)] = min(a, b)
        index.insert(doc_id, sketch)
    return [doc_id for doc_id, node in place.items() if parent[node] != node]


if __name__ == "__main__":
    main()

"""What dedup removes, against the truth: 19,992 real files of which every similar pair is known by brute force.

    python benchmarks/dedup_truth.py [--truth DIR] [--threshold 0.7 --threshold 0.8 …] [--without-peers] [--examples N] [--work DIR]

DIR (default ../shared/corpora/dedup_truth) holds docs.parquet and pairs.parquet. Our side is the command

    spanmill run --config configs/dedup_truth.toml --until dedup --set dedup.threshold=…

with one worker. The peers get the same files, in the order in which our rule prefers them (stars, length, doc_id), so that a tool that
keeps the first of two keeps what we would. "Similar" is the truth's word for it: the exact Jaccard similarity of the sets of word
5-grams, words [A-Za-z_0-9]+, is at the threshold or above.

    spanmill                     256 permutations, every removal verified
    datatrove                    its defaults, word 5-grams, 14 buckets of 8 hashes, which know no threshold: (1/14)^(1/8) = 0.72. The
                                 run is the same for each of ours. Words at white space, or of its English splitter, both after its
                                 normalisation: lower case, no punctuation, numbers as 0
      by its own words           the first of them again, with similarity measured on its own shingles, normalised as it does
    datasketch, first kept       MinHashLSH with its defaults: 128 permutations; a document goes if the index returns a kept one
    datasketch, components       256 permutations, one document is kept of each connected component, as BigCode did for The Stack

    removed     documents that the tool removed
    wrong       of those, documents that resemble none that the tool kept
    chained     of those, documents that resemble one which was removed too: nobody is left of them. The other wrong ones resemble no
                file at all
    precision   share of removed documents that are not wrong
    recall      of the documents that the greedy rule removes if it knows all pairs, the share that the tool removed. A tool that keeps
                another one of two similar documents loses by that, so see also:
    left        documents that the rule would still remove from what the tool kept: duplicates that it left
    CPU s       of the whole command, with start-up, reading and writing; ours curates too. numba's cache is warm

For our side each row of dedup/removals is also held against the truth: the keeper is itself kept and has the similarity that the row
states. The benchmark fails where that does not hold.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bench_corpus import write
from bench_process import ONE_THREAD, Usage, run
from datatrove_side import VERSION, Datatrove, interpreter
from known_pairs import Truth
from nearest_kept import nearest_kept
from spanmill_side import ONE_WORKER, cores
from stages import cpu_model

ROOT = Path(__file__).resolve().parent.parent

TRUTH = ROOT.parent / "shared" / "corpora" / "dedup_truth"

THRESHOLDS = (0.7, 0.8, 0.85)

PACKAGES = ("pyarrow", "numba", "datasketch")

FLOAT32 = 1e-6
"""Largest difference between a row's similarity, a float32, and the truth's."""


@dataclass(frozen=True)
class Result:
    """What a command removed, by number of the file in docs.parquet, and what it cost."""

    tool: str
    removed: Set[int]
    used: Usage
    own: Mapping[int, float] = field(default_factory=dict)
    """Similarity of each removed file with a kept one, at most, by the tool's own shingles; empty if they are the truth's."""


@dataclass(frozen=True)
class Spanmill:
    """Our command, and what it left of one threshold."""

    truth: Truth
    documents: Path
    run_dir: Path
    threshold: float

    def result(self) -> Result:
        """Survey, curate and dedup; every removal is checked."""
        shutil.rmtree(self.run_dir, ignore_errors=True)
        config, source = ROOT / "configs" / "dedup_truth.toml", f"source.0.path={self.documents.resolve()}"
        settings = ["--set", source, "--set", f"dedup.threshold={self.threshold}"]
        options = ["--quiet", "--config", config, "--output", self.run_dir, *settings, *ONE_WORKER]
        used = run([sys.executable, ROOT / "beam_runner.py", "run", "--until", "dedup", *map(str, options)], ONE_THREAD)
        return Result("spanmill", self._removed(), used)

    def _removed(self) -> set[int]:
        """Exits if a row of the removals does not say the truth, or a document has two."""
        number = self._numbers()
        table = rows(self.run_dir / "dedup" / "removals", "doc_id", "keeper_id", "jaccard")
        removed = {number[each["doc_id"]] for each in table}
        if len(removed) != len(table):
            sys.exit(f"{len(table):,} rows for {len(removed):,} removed documents")
        for file, keeper, jaccard in ((number[each["doc_id"]], number[each["keeper_id"]], each["jaccard"]) for each in table):
            true = self.truth.similar.get(file, {}).get(keeper, 0.0)
            if keeper in removed or true < self.threshold or abs(true - jaccard) > FLOAT32:
                fate = "removed" if keeper in removed else "kept"
                sys.exit(f"File {file} was removed for {keeper}, which is {fate}, at {jaccard}; their similarity is {true}")
        return removed

    def order(self) -> list[int]:
        """All files, those to keep first: most stars, then longest, then least doc_id."""
        number = self._numbers()
        rank = {
            number[each["doc_id"]]: (-1 if each["stars"] is None else each["stars"], len(each["text"].encode()), each["doc_id"])
            for each in self._curated("doc_id", "stars", "text")
        }
        return sorted(rank, key=lambda file: (-rank[file][0], -rank[file][1], rank[file][2]))

    def _numbers(self) -> dict[bytes, int]:
        """The number of each document's file in docs.parquet. Exits if curate left one out."""
        number = {each["doc_id"]: int(each["origin"].partition("#")[2]) for each in self._curated("doc_id", "origin")}
        if len(number) != len(self.truth.texts):
            sys.exit(f"curate kept {len(number):,} of {len(self.truth.texts):,} files; {self.run_dir}/curate/decisions says why")
        return number

    def _curated(self, *columns: str) -> list[dict[str, Any]]:
        return rows(self.run_dir / "curate" / "documents", *columns)


def main() -> None:
    """Runs everything, prints as it goes."""
    arguments = parse()
    truth = Truth.read(arguments.truth)
    print_header(truth)
    with tempfile.TemporaryDirectory(prefix="spanmill-truth-", dir=arguments.work) as name:
        work, thresholds = Path(name), arguments.threshold or THRESHOLDS
        ours = [Spanmill(truth, arguments.truth / "docs.parquet", work / f"run-{each}", each) for each in thresholds]
        ours[0].result()  # fills numba's cache
        order = ours[0].order()
        write_documents(truth, order, work / "documents" / "00000.parquet")
        peers = [] if arguments.without_peers else list(datatrove(work))
        for side in ours:
            results = [side.result(), *peers]
            results += [] if arguments.without_peers else datasketch(work, side.threshold)
            show(truth, side.threshold, results, order, arguments.examples)


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=TRUTH, help="folder with docs.parquet and pairs.parquet")
    parser.add_argument("--threshold", type=float, action="append", help="0.5 or more; may be given several times")
    parser.add_argument("--without-peers", action="store_true", help="measure our side only")
    parser.add_argument("--examples", type=int, default=0, help="wrong removals of each tool to show (default 0)")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    arguments = parser.parse_args()
    if not (arguments.truth / "pairs.parquet").exists():
        parser.error(f"{arguments.truth} holds no pairs.parquet; name the folder of the truth with --truth")
    if arguments.threshold and min(arguments.threshold) < 0.5:
        parser.error("--threshold must be 0.5 or more: the truth knows no less similar pairs")
    return arguments


def rows(folder: Path, *columns: str) -> list[dict[str, Any]]:
    """Some columns of the Parquet files in a folder."""
    found: list[dict[str, Any]] = pq.read_table(folder, columns=list(columns)).to_pylist()
    return found


def write_documents(truth: Truth, order: Sequence[int], path: Path) -> None:
    """The files for the peers; doc_id is the number in docs.parquet."""
    text = pa.array([truth.texts[each] for each in order], pa.large_string())
    write(pa.table({"doc_id": pa.array([str(each) for each in order]), "text": text}), path)


def datatrove(work: Path) -> Iterator[Result]:
    """Its two ways to split words."""
    side = Datatrove(interpreter(), work / "datatrove")
    table = side.shingles(work / "documents")
    numbers = map(int, table["doc_id"].to_pylist())
    shingles = {number: hashes.values.to_numpy() for number, hashes in zip(numbers, table["shingles"], strict=True)}
    for name, tool in (("dedup", "datatrove, words at white space"), ("dedup-spacy", "datatrove, English words (spaCy)")):
        used = side.dedup(work / "documents", name)()
        kept = pq.read_table(side.folder / name / "kept", columns=["id"])["id"].to_pylist()
        removed = shingles.keys() - {int(each) for each in kept}
        yield Result(tool, removed, used, nearest_kept(shingles, removed) if name == "dedup" else {})


def datasketch(work: Path, threshold: float) -> Iterator[Result]:
    """The two common ways."""
    script, out = Path(__file__).with_name("datasketch_side.py"), work / "removed.txt"
    for rule, permutations, tool in (("first", 128, "datasketch, first kept"), ("components", 256, "datasketch, components")):
        options = ["--threshold", str(threshold), "--num-perm", str(permutations), "--rule", rule]
        used = run([sys.executable, script, work / "documents" / "00000.parquet", out, *options], ONE_THREAD)
        yield Result(tool, {int(each) for each in out.read_text().split()}, used)


def print_header(truth: Truth) -> None:
    """What was measured where, and the head of the table."""
    print(f"{cpu_model()}, {cores()} cores; {platform.system()}, Python {platform.python_version()}")
    print(", ".join(f"{each} {version(each)}" for each in PACKAGES) + f"; datatrove {VERSION}")
    print(f"Corpus: {len(truth.texts):,} files, {sum(len(text.encode()) for text in truth.texts) / 1e6:.1f} MB of text\n")
    columns = f"{'removed':>8}{'wrong':>7}{'chained':>9}{'precision':>11}{'recall':>9}{'left':>6}{'CPU s':>8}"
    print(f"{'threshold':11}{'tool':32}{columns}")


def show(truth: Truth, threshold: float, results: Sequence[Result], order: Sequence[int], examples: int) -> None:
    """The rows of a threshold, then examples of what was wrongly removed."""
    scores = [truth.score(each.removed, order, threshold) for each in results]
    print(f"{threshold:<11}{'greedy rule on all pairs':32}{scores[0].wanted:8,}")
    for result, score in zip(results, scores, strict=True):
        counts = f"{score.removed:8,}{len(score.wrong):7,}{score.chained:9,}"
        shares = f"{score.precision:11.2%}{score.recall:9.2%}{score.left:6,}"
        print(f"{'':11}{result.tool:32}{counts}{shares}{result.used.cpu:8.1f}", flush=True)
        if result.own:
            wrong = sum(nearest < threshold for nearest in result.own.values())
            print(f"{'':11}{'    by its own words':32}{score.removed:8,}{wrong:7,}{'':9}{1 - wrong / score.removed:11.2%}")
    for result, score in zip(results, scores, strict=True):
        kept = set(order) - result.removed
        for file in score.wrong[:: max(1, len(score.wrong) // examples)][:examples] if examples else ():
            jaccard, nearest = truth.nearest(file, kept)
            like = f"{jaccard:.2f} {truth.names[nearest]}" if jaccard else "no kept file reaches 0.5"
            print(f"    {result.tool}: {truth.names[file]}: {like}")


if __name__ == "__main__":
    main()

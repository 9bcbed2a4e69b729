"""From kept documents to shards, beside what peers do of it: encoding with `tokenizers`, datatrove's token files, Megatron's data sets.

    python benchmarks/shard_stage.py --corpus DIR [--code-only] [--repeat N] [--peer-megabytes N] [--without-peers] [--work DIR]

DIR as for dedup_stage.py. Each command runs in fresh processes with one worker, and all use the tokenizer that our run trained; CPU
seconds include interpreter, imports, reading and writing. Peak memory is that of the largest process.

    spanmill shard   read, encode, draw objectives, corrupt, pack, write, for several mixtures of objectives
    whole line       one command: curate without filters, signatures, dedup, tokenizer, shard; MB of the corpus before dedup.
                     --sample-bytes decides what the tokenizer costs
    encoder          the same text in memory, nothing but ids; both of our engines
    datatrove        DocumentTokenizer: token files, documents shuffled within, <|endoftext|> behind each
    Megatron         what tools/preprocess_data.py does for each document, with megatron-core's own builder: ids by `tokenizers`, appended.
                     Needs the environment of `make test-peers`; left out where it is missing
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench_process import ONE_THREAD, median_usage, run
from datatrove_side import VERSION, Datatrove, interpreter
from dedup_stage import Side, show
from spanmill_side import ONE_WORKER
from stages import cpu_model

from pipelines.corpus import Committed, column, read_part
from pipelines.storage import read_manifest
from tokenizer.encode import Encoder, Engine

CONTEXT = 2048

MIXTURES = {
    "causal, span corruption (the recipe)": "causal = 0.5\nspan_corruption = 0.5",
    "causal": "causal = 1.0",
    "fim at characters": "fim = 1.0\n[shard.fim]\nrate = 1.0",
    "all but chat": "causal = 1.0\nspan_corruption = 1.0\nfim = 1.0\nprefix_lm = 1.0",
}
"""TOML of `[shard.objectives]`."""

PEERS = Path(__file__).parent.parent / ".venv-peers" / "bin" / "python"


def main() -> None:
    """Prepares, measures, prints."""
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="spanmill-bench-", dir=arguments.work) as name:
        work = Path(name)
        line = Line(work / "all", arguments)
        print(
            f"{cpu_model()}; {line.side.documents:,} documents, {line.size / 1e6:,.0f} MB of text; datatrove {VERSION}", flush=True
        )
        print(f"\n{'':44}{'MB':>8}{'MB/s/core':>11}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}", flush=True)
        show("whole line, corpus to shards", line.side.size, line.whole)
        for label, objectives in MIXTURES.items():
            used = median_usage(line.shard(objectives), arguments.repeat)
            show(f"spanmill shard: {label}", line.size, used)
            print(f"  padding {line.padding:.4%} at {CONTEXT:,}", flush=True)
        if not arguments.without_peers:
            peers(line, arguments, work)


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of Parquet files")
    parser.add_argument("--code-only", action="store_true", help="leave prose out")
    parser.add_argument("--repeat", type=int, default=1, help="runs of our commands; medians are printed (default 1)")
    parser.add_argument("--peer-megabytes", type=float, default=50, help="text that peers get (default 50)")
    parser.add_argument(
        "--sample-bytes", type=int, default=16_000_000, help="text that our tokenizer is trained on (default 16 MB)"
    )
    parser.add_argument("--without-peers", action="store_true", help="measure our side only")
    parser.add_argument("--work", type=Path, help="folder for temporary files (default: the system's)")
    return parser.parse_args()


class Line:
    """A run as far as the tokenizer, and what it cost."""

    def __init__(self, folder: Path, arguments: argparse.Namespace, limit: int | None = None) -> None:
        self.side = Side(folder, arguments.corpus, limit, arguments.code_only)
        self.recipe = folder / "recipe.toml"
        self.base = self.recipe.read_text()
        self._write(MIXTURES["causal, span corruption (the recipe)"], arguments.sample_bytes)
        self.sample_bytes = arguments.sample_bytes
        shutil.rmtree(self.run_dir)
        options = ["--until", "shard", "--quiet", "--config", self.recipe, "--output", self.run_dir, *ONE_WORKER]
        self.whole = run([sys.executable, Path(__file__).parent.parent / "beam_runner.py", "run", *options], ONE_THREAD)
        self.size = sum(read_manifest(str(self.run_dir / "dedup")).statistics["source_bytes"].values())

    @property
    def run_dir(self) -> Path:
        """Where the run is."""
        return self.side.run_dir

    @property
    def padding(self) -> float:
        """Share of the shards' tokens."""
        totals = read_manifest(str(self.run_dir / "shard")).totals
        return totals["padding_tokens"] / totals["tokens"]

    def shard(self, objectives: str):
        """The shard command with other objectives."""
        self._write(objectives, self.sample_bytes)
        return self.side.command("shard", again=("shard",))

    def _write(self, objectives: str, sample_bytes: int) -> None:
        """The recipe; tables of sources stand at its end, so what goes before them must."""
        tokenizer = f"[tokenizer]\nsample_bytes = {sample_bytes}\n"
        self.recipe.write_text(f"{self.base}\n{tokenizer}\n[shard]\ncontext_length = {CONTEXT}\n[shard.objectives]\n{objectives}\n")


def peers(line: Line, arguments: argparse.Namespace, work: Path) -> None:
    """Prints their rows."""
    tokenizer = line.run_dir / "tokenizer" / "tokenizer.json"
    show_encoder(line, "gigatoken", None)
    limit = int(arguments.peer_megabytes * 1e6)
    show_encoder(line, "tokenizers", limit)
    some = Side(work / "some", arguments.corpus, limit, arguments.code_only)
    documents = some.run_dir / "curate" / "documents"
    datatrove = Datatrove(interpreter(), work / "datatrove")
    show("datatrove: DocumentTokenizer", some.size, datatrove.tokenize(documents, tokenizer)())
    if PEERS.exists():
        script = Path(__file__).with_name("megatron_stage.py")
        show("Megatron: preprocess_data", some.size, run([PEERS, script, documents, tokenizer, work / "megatron"], ONE_THREAD))
    else:
        print("Megatron: no .venv-peers (make test-peers makes it)")


def show_encoder(line: Line, engine: Engine, limit: int | None) -> None:
    """Prints MB/s/core of an encoder alone, text in memory."""
    curated = Committed.at(str(line.run_dir / "curate"))
    encoder = Encoder((line.run_dir / "tokenizer" / "tokenizer.json").read_text(), engine)
    seconds, size = 0.0, 0
    for part in curated.parts():
        table = read_part(curated.folder, part, ("text",))
        if not table.num_rows or (limit and size > limit):
            continue
        text = column(table, "text")
        text = text if limit is None else text[: max(1, int(len(text) * min(1, limit / text.nbytes)))]
        begin = time.process_time()
        encoder(text)
        seconds, size = seconds + time.process_time() - begin, size + text.nbytes
    print(f"{f'encoder alone: {engine}':44}{size / 1e6:8,.0f}{size / 1e6 / seconds:11.2f}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()

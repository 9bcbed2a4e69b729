"""Proving a run: every checksum again, and every invariant and total that the files themselves can tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
from tokenizers import Tokenizer

from contracts.errors import ShardError, StageError
from contracts.manifest import Manifest
from pipelines.corpus import REMOVED_ROWS, read_columns
from pipelines.forgotten_check import forgotten_problems
from pipelines.progress import Reporter
from pipelines.rows import load
from pipelines.storage import TEMPORARY, digest_file, exists, files_below, join, read_bytes, read_manifest, sizes_of
from sharding.check import inspect
from sharding.forgotten import MASK_PATH
from sharding.shards import Shard

STAGES = ("survey", "curate", "signatures", "dedup", "tokenizer", "shard", "train")


def verify(run_dir: str, reporter: Reporter) -> list[str]:
    """All problems found, one line each; none if the run is sound. Raises StageError if there is no finished stage."""
    stages = [stage for stage in STAGES if exists(join(run_dir, stage, "manifest.json"))]
    if not stages:
        raise StageError(f"{run_dir} holds no finished stage: there is nothing to verify.")
    found: list[str] = []
    for stage in stages:
        folder = join(run_dir, stage)
        made = read_manifest(folder)
        wrong = [f"{stage}: {problem}" for problem in _files(folder, made)]
        if not wrong:  # contents of damaged files say nothing more
            check = {"curate": _curate, "dedup": _dedup, "tokenizer": _tokenizer, "shard": _shard}.get(stage)
            wrong = [f"{stage}: {problem}" for problem in check(folder, made)] if check else []
        reporter.say(
            f"  {stage}: {len(made.files):,} files, {sum(entry.bytes for entry in made.files) / 1e6:.1f} MB: {_verdict(wrong)}"
        )
        found += wrong
    return found + forgotten_problems(run_dir) + _chain(run_dir, stages)


def _verdict(wrong: list[str]) -> str:
    return f"{len(wrong)} problems" if wrong else "sound"


def _files(folder: str, made: Manifest) -> Iterator[str]:
    """Presence, size and checksum of each file; files that no manifest lists."""
    listed = set(files_below(folder))
    unlisted = [join(folder, entry.path) for entry in made.files if entry.path not in listed]
    there = sizes_of(unlisted) if unlisted else {}
    for entry in made.files:
        if entry.path not in listed and join(folder, entry.path) not in there:
            yield f"{entry.path} is missing"
            continue
        found = digest_file(join(folder, entry.path))
        if (found.bytes, found.xxh3_64) != (entry.bytes, entry.xxh3_64):
            yield (
                f"{entry.path} has {found.bytes:,} bytes with xxh3-64 {found.xxh3_64}; "
                f"the manifest says {entry.bytes:,} with {entry.xxh3_64}: it was changed or damaged"
            )
    own = {"manifest.json", MASK_PATH} if made.stage == "shard" else {"manifest.json"}
    for stray in sorted(listed - {entry.path for entry in made.files} - own):
        if TEMPORARY in stray or (made.stage in ("curate", "signatures", "dedup", "shard") and not stray.startswith(".progress/")):
            yield f"{stray} is not in the manifest: no reader will use it; remove it"


def _curate(folder: str, made: Manifest) -> Iterator[str]:
    """The law, and rows against the manifest."""
    totals = made.totals
    if totals["in"] != totals["kept"] + totals["dropped"] + totals["quarantined"]:
        yield f"documents in = kept + dropped + quarantined does not hold: {totals}"
    counts = dict.fromkeys(("dropped", "quarantined"), 0)
    kept = 0
    for entry in made.files:
        if entry.path.startswith("documents/"):
            kept += read_columns(join(folder, entry.path), ["doc_id"]).num_rows
        elif entry.path.startswith("decisions/"):
            outcomes = pc.value_counts(read_columns(join(folder, entry.path), ["outcome"])["outcome"])
            for outcome in outcomes.to_pylist():
                counts[outcome["values"]] += outcome["counts"]
    for name, count in (("kept", kept), *counts.items()):
        if count != totals[name]:
            yield f"{count:,} documents are {name}, the manifest says {totals[name]:,}"


def _dedup(folder: str, made: Manifest) -> Iterator[str]:
    """Every keeper is kept, every removal is similar enough, rows agree with removals."""
    removed: set[bytes] = set()
    keepers: set[bytes] = set()
    low = np.float32(made.config["threshold"])
    rows = gone = 0
    for entry in made.files:
        if entry.path.startswith("removals/"):
            table = read_columns(join(folder, entry.path), ["doc_id", "keeper_id", "jaccard"])
            pairs = set(zip(table["doc_id"].to_pylist(), table["keeper_id"].to_pylist(), strict=True))
            removed |= {doc for doc, keeper in pairs if doc != keeper}
            keepers |= {keeper for _, keeper in pairs}
            if table.num_rows and pc.min(table["jaccard"]).as_py() < low:
                yield f"{entry.path} holds a removal below the threshold {made.config['threshold']}"
            rows += table.num_rows
        elif entry.path.startswith(REMOVED_ROWS):
            gone += len(load(join(folder, entry.path)))
    totals = made.totals
    if not rows == gone == totals["removed"] == totals["in"] - totals["kept"]:
        yield f"{rows:,} removals, {gone:,} removed rows, and the manifest says {totals['removed']:,} of {totals['in']:,}"
    if keepers & removed:
        yield f"{len(keepers & removed)} keepers were themselves removed, such as {min(keepers & removed).hex()}"


def _tokenizer(folder: str, made: Manifest) -> Iterator[str]:
    """Ids of control tokens and the size against tokenizer.json."""
    vocab = Tokenizer.from_str(read_bytes(join(folder, "tokenizer.json")).decode()).get_vocab(with_added_tokens=True)
    wrong = [name for name, index in made.statistics["control_ids"].items() if vocab.get(name) != index]
    if wrong:
        yield f"{len(wrong)} control tokens have other ids than the manifest says, such as {wrong[0]}"
    if made.totals["vocab_size"] != max(vocab.values()) + 1:
        yield f"tokenizer.json has {max(vocab.values()) + 1:,} ids, the manifest says {made.totals['vocab_size']:,}"


def _shard(folder: str, made: Manifest) -> Iterator[str]:
    """Each shard's own invariants, the epochs against one another, and counts against the manifest."""
    counts = dict.fromkeys(("rows", "tokens", "documents", "text_tokens"), 0)
    counts["text_tokens"] = -made.totals["grown_tokens"]
    held_by: dict[str, dict[int, tuple[int, int]]] = {}
    for entry in made.files:
        try:
            shard = Shard.open(join(folder, entry.path))
            held = inspect(shard)
            yield from (f"{entry.path}: {problem}" for problem in held.problems)
        except ShardError as error:
            yield str(error)
            continue
        counts["rows"] += shard.rows
        counts["tokens"] += shard.rows * (shard.metadata.context_length + 1)
        counts["documents"] += held.documents
        counts["text_tokens"] += held.text_tokens
        epochs = held_by.setdefault(shard.metadata.source, {})
        documents, id_sum = epochs.get(shard.metadata.epoch, (0, 0))
        epochs[shard.metadata.epoch] = (documents + held.documents, (id_sum + held.id_sum) % 2**128)
    for stratum, epochs in held_by.items():
        if len(set(epochs.values())) > 1:
            counted = ", ".join(f"epoch {epoch}: {documents:,}" for epoch, (documents, _) in sorted(epochs.items()))
            yield f"the epochs of {stratum} do not hold the same documents ({counted} documents)"
    totals = made.totals
    yield from (
        f"{count:,} {name} in shards, the manifest says {totals[name]:,}" for name, count in counts.items() if count != totals[name]
    )
    if totals["tokens"] != sum(totals[f"{kind}_tokens"] for kind in ("text", "grown", "control", "padding")):
        yield f"tokens do not add up in the manifest: {totals}"


def _chain(run_dir: str, stages: list[str]) -> list[str]:
    """Whether each stage was made from the stages that lie beside it."""
    found = []
    for stage in stages:
        made = read_manifest(join(run_dir, stage))
        absent = [name for name in made.upstream if name in STAGES and name not in stages]
        found += [
            f"{stage}: it was made from a {name!r} stage that is not in this run, so their agreement is not proved"
            for name in absent
        ]
        for name, digest in made.upstream.items():
            if name in stages and read_manifest(join(run_dir, name)).digest != digest:
                found.append(f"{stage}: it was made from another {name!r} stage than the one in this run; run `spanmill run` again")
    return found

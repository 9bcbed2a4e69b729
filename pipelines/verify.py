"""Proving a run: every checksum again, and every invariant and total that the files themselves can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from contracts.errors import ShardError, SpanmillError, StageError
from contracts.manifest import Manifest
from pipelines.cells import sized, some
from pipelines.corpus import REMOVED_ROWS, read_columns
from pipelines.forgotten_check import check_forgotten
from pipelines.input_run import EARLIER, STAGES, check_input, folders_of
from pipelines.progress import Reporter
from pipelines.rows import load
from pipelines.storage import TEMPORARY, digest_file, files_below, join, read_bytes, read_manifest, sizes_of
from pipelines.text_proof import Kept
from sharding.check import inspect
from sharding.forgotten import MASK_PATH
from sharding.shards import Shard

Check = Callable[[str, Manifest], Iterator[str]]
"""Problems of a stage, from its folder and manifest."""


class Proof(NamedTuple):
    """What a run's files tell of it, a line each."""

    problems: list[str]
    """What is wrong; none if the run is sound."""
    notes: list[str]
    """What these files alone cannot prove, and what would."""


def verify(run_dir: str, reporter: Reporter, input_dir: str = "") -> list[str]:
    """The problems alone, see `prove`."""
    return prove(run_dir, reporter, input_dir).problems


def prove(run_dir: str, reporter: Reporter, input_dir: str = "") -> Proof:
    """Checks every finished stage of a run, what it has forgotten, and that its stages were made from one another.

    Earlier stages that the run lacks are looked up in the run `input_dir`: their manifests are compared and its list of the forgotten is
    held against the shards, but its files are not checked again. Raises StageError if there is no finished stage.
    """
    check_input(input_dir)
    own = folders_of(run_dir, "", STAGES)
    if not own:
        raise StageError(f"{run_dir} holds no finished stage: there is nothing to verify.")
    found: list[str] = []
    notes: list[str] = []
    folders = folders_of(run_dir, input_dir, STAGES)
    for stage, folder in own.items():
        made = read_manifest(folder)
        wrong = [f"{stage}: {problem}" for problem in _files(folder, made)]
        if not wrong:  # contents of damaged files say nothing more
            checks: dict[str, Check] = {
                "curate": _curate,
                "dedup": _dedup,
                "tokenizer": _tokenizer,
                "shard": partial(_shard, folders, notes),
            }
            check = checks.get(stage)
            wrong = [f"{stage}: {problem}" for problem in check(folder, made)] if check else []
        size = sized(sum(entry.bytes for entry in made.files))
        reporter.say(f"  {stage}: {some(len(made.files), 'file')}, {size}: {_verdict(wrong)}")
        found += wrong
    words, wrong = check_forgotten(run_dir, input_dir)
    if words:
        reporter.say(f"  forgotten: {words}: {_verdict(wrong)}")
    chained = _chain(own, folders)
    return Proof([*found, *wrong, *chained.problems], [*notes, *chained.notes])


def _verdict(wrong: list[str]) -> str:
    return some(len(wrong), "problem") if wrong else "sound"


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


def _kept(folders: Mapping[str, str], made: Manifest, notes: list[str]) -> Kept | None:
    """What the texts of shards are compared with; without it a note says why not."""
    curate, tokenizer = folders.get("curate", ""), folders.get("tokenizer", "")
    if not curate or not tokenizer:  # that is told of the chain
        return None
    if any(read_manifest(folders[stage]).digest != made.upstream[stage] for stage in ("curate", "tokenizer")):
        return None  # what other stages hold says nothing of these shards; that is told of the chain too
    try:
        return Kept.of(curate, tokenizer)
    except (SpanmillError, OSError, pa.ArrowException) as error:
        notes.append(f"shard: its texts were not compared with what curate kept, as that cannot be read ({error})")
        return None


def _shard(folders: Mapping[str, str], notes: list[str], folder: str, made: Manifest) -> Iterator[str]:
    """Each shard's own invariants, its texts against curate's, the epochs against one another, and counts against the manifest."""
    kept = _kept(folders, made, notes)
    counts = dict.fromkeys(("rows", "tokens", "documents", "text_tokens"), 0)
    counts["text_tokens"] = -made.totals["grown_tokens"]
    held_by: dict[str, dict[int, tuple[int, int]]] = {}
    for entry in made.files:
        try:
            shard = Shard.open(join(folder, entry.path))
            held = inspect(shard)
            texts = kept.problems(shard) if kept and not held.problems else ()
            yield from (f"{entry.path}: {problem}" for problem in (*held.problems, *texts))
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


def _chain(own: Mapping[str, str], folders: Mapping[str, str]) -> Proof:
    """Whether each stage of a run was made from the stages that lie beside it, or else in the input run."""
    digests = {stage: read_manifest(folder).digest for stage, folder in folders.items()}
    proof = Proof([], [])
    for stage, folder in own.items():
        upstream = {name: digest for name, digest in read_manifest(folder).upstream.items() if name in STAGES}
        if absent := [name for name in upstream if name not in digests]:
            remedy = ": --input names the run that has them" if set(absent) <= set(EARLIER) else ""
            proof.notes.append(
                f"{stage} was made from stages that are not in this run ({', '.join(absent)}), so that they agree is not proved{remedy}"
            )
        proof.problems.extend(
            f"{stage}: it was made from another {name!r} stage (digest {digest}) than {folders[name]} ({digests[name]}); "
            f"{'run `spanmill run` again' if name in own else 'name the run that it was made from with --input'}"
            for name, digest in upstream.items()
            if digests.get(name, digest) != digest
        )
    return proof

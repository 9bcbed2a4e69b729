"""What a run holds, gathered from its manifests: nothing is read but them, so it takes no time on any corpus.

`tokens` of sources and languages are those of one pass over the documents, however many passes the shards hold; `tokens_in_rows` are all
tokens of all rows, padding and control tokens included.
"""

from __future__ import annotations

from typing import Any

from contracts.errors import StageError
from contracts.manifest import Manifest
from contracts.schemas import held_out_of, source_of
from pipelines.counts import add_up
from pipelines.input_run import check_input, disagreements, folders_of
from pipelines.shard_plan import folder_name
from pipelines.shard_tables import shard_summary
from pipelines.storage import read_manifest
from sharding.forgotten import Mask

STAGES = ("curate", "dedup", "tokenizer", "shard", "train")

CAUSES = ("exact", "near", "reference")
"""Why a document is a duplicate: a copy, or like another, of this corpus; or either, of a reference corpus."""


def collect(run_dir: str, input_dir: str = "") -> dict[str, Any]:
    """One JSON-able dictionary: `sources` (a row each), `languages`, `drops`, `licenses`, `dedup`, `tokenizer`, `objectives`, `train`.

    Stages that the run lacks are those of the run `input_dir`. Where something was forgotten since the shards were made, `forgotten` says
    how much; `left_out` counts the documents that had been forgotten before, so that the shards were made without them. `lacking` names
    stages that neither run has.
    Raises StageError if the folder holds no finished stage, or if the run was made from other stages than those of `input_dir`.
    """
    check_input(input_dir)
    own = folders_of(run_dir, "", STAGES)
    if not own:
        raise StageError(f"{run_dir} holds no finished stage. Make one with `spanmill run --output {run_dir}`.")
    folders = folders_of(run_dir, input_dir, STAGES)
    if input_dir and (wrong := disagreements(folders)):
        raise StageError(f"{'; '.join(wrong)}. Name the run that {run_dir} was made from with --input.")
    manifests = {stage: read_manifest(folder) for stage, folder in folders.items()}
    found: dict[str, Any] = {"run": run_dir, "stages": list(own)}
    for stage, gather in (("curate", _curate), ("dedup", _dedup), ("tokenizer", _tokenizer), ("shard", _shard), ("train", _train)):
        if stage in manifests:
            found[stage] = gather(manifests[stage])
    if mask := Mask.open(folders["shard"], manifests["shard"].digest) if "shard" in manifests else None:
        found["forgotten"] = mask.totals
        if "train" in manifests and manifests["train"].upstream.get("shard") == manifests["shard"].digest:
            found["train"]["forgotten_since"] = _forgotten_since(manifests["train"], mask)
    upstream = {name for made in manifests.values() for name in made.upstream}
    if lacking := [stage for stage in STAGES if stage in upstream and stage not in manifests]:
        found["lacking"] = lacking
    if left_out := _left_out(manifests):
        found["left_out"] = left_out
    found["sources"] = _by_source(found)
    found["languages"] = _by_language(manifests)
    return found


def _left_out(manifests: dict[str, Manifest]) -> int:
    """Documents that dedup left and that no pass of the shards holds: nothing but a list of the forgotten takes them out in between."""
    if "shard" not in manifests or "dedup" not in manifests:
        return 0
    if manifests["shard"].upstream.get("dedup") != manifests["dedup"].digest:
        return 0
    once = [_sum(languages).get("documents", 0) for languages in manifests["shard"].statistics["languages"].values()]
    return int(manifests["dedup"].totals["kept"] - sum(once))


def _curate(made: Manifest) -> dict[str, Any]:
    return {
        "totals": made.totals,
        "drops": made.statistics["checks"],
        "outcomes": {check: _outcome(check, made.config) for checks in made.statistics["checks"].values() for check in checks},
        "licenses": dict(sorted(made.statistics["licenses"].items(), key=lambda item: (-item[1], item[0]))),
        "by_source": {source: _sum(languages) for source, languages in sorted(made.statistics["sources"].items())},
    }


def _outcome(check: str, config: dict[str, Any]) -> str:
    """What became of documents that failed a check: filters drop what they do not want, readers quarantine what they cannot read."""
    return "dropped" if check in config["filters"] else "quarantined"


def _dedup(made: Manifest) -> dict[str, Any]:
    """What the stage counted, but for what only later stages need; `by_language` has a row each (source, language)."""
    names = ("bands", "rows", "expected_recall_at_threshold", "expected_recall", "measured_recall", "hits_histogram")
    more = ("jaccard_histogram", "cluster_size_log2_histogram", "largest_clusters")
    sources = sorted(made.statistics["sources"].items())
    return {
        "totals": made.totals,
        **{name: made.config[name] for name in ("threshold", "verify", "num_perm")},
        **{name: made.statistics[name] for name in names + more},
        "by_source": {source: _sum(languages) for source, languages in sources},
        "by_language": {f"{source}/{name}": row for source, languages in sources for name, row in sorted(languages.items())},
    }


def _tokenizer(made: Manifest) -> dict[str, Any]:
    return {
        "totals": made.totals,
        "asked": made.config.get("vocab_size"),
        **{name: made.statistics[name] for name in ("tokens_by_length", "report") if name in made.statistics},
    }


def _shard(made: Manifest) -> dict[str, Any]:
    strata: dict[str, Any] = dict(sorted(made.statistics["strata"].items()))
    sources: dict[str, Any] = {}
    for name, counts in strata.items():
        sources[source_of(name)] = add_up([sources.get(source_of(name), {}), counts])
    return {
        "totals": made.totals,
        **{name: made.config[name] for name in ("context_length", "epochs", "pack", "cut_at")},
        "once": {name: _sum(languages) for name, languages in made.statistics["languages"].items()},  # whatever the epochs
        "by_source": {name: shard_summary(counts) for name, counts in sources.items()},
        "by_stratum": {name: shard_summary(counts) for name, counts in strata.items()},
        "languages_of_strata": _languages_of_strata(made.statistics),
    }


def _languages_of_strata(statistics: dict[str, Any]) -> dict[str, str]:
    """The language of each stratum whose folder tells it by a digest, since its name cannot be that of a folder."""
    names = {
        f"{source}/{folder_name(language)}": language
        for source, languages in statistics["languages"].items()
        for language in languages
        if folder_name(language) != language
    }
    plain = {stratum: stratum.removeprefix(held_out_of("")) for stratum in statistics["strata"]}
    return {stratum: names[name] for stratum, name in sorted(plain.items()) if name in names}


def _train(made: Manifest) -> dict[str, Any]:
    return {"totals": made.totals, "statistics": made.statistics}


def _forgotten_since(made: Manifest, mask: Mask) -> int:
    """Documents that are hidden now and were not while all steps of a training were taken: at most as many did it learn from."""
    hidden: list[int] = [each["documents"] for each in made.statistics.get("masks", []) if each["forgotten"] != mask.digest]
    return max(0, mask.totals["documents"] - min(hidden)) if hidden else 0


def _by_source(found: dict[str, Any]) -> dict[str, Any]:
    """One row a source along the whole line."""
    rows: dict[str, Any] = {}
    for source, counts in found.get("curate", {}).get("by_source", {}).items():
        rows.setdefault(source, {}).update(
            {"in": counts.get("documents_in", 0) + counts.get("quarantined", 0), "kept": counts.get("kept", 0)}
        )
        rows[source]["kept_bytes"] = counts.get("kept_bytes", 0)
    for source, counts in found.get("dedup", {}).get("by_source", {}).items():
        rows.setdefault(source, {}).update(_duplicates(counts))
        rows[source]["unique_bytes"] = counts["bytes_kept"]
    for source, counts in found.get("shard", {}).get("by_source", {}).items():
        row = rows.setdefault(source, {})
        once = found["shard"]["once"].get(source, {"documents": 0, "text_tokens": 0, "bytes": 0})
        row.update({"documents": once["documents"], "tokens": once["text_tokens"], "rows": counts["rows"]})
        row["tokens_in_rows"] = counts["tokens"]
        row["padding_share"] = counts["padding_share"]
        row["bytes_per_token"] = once["bytes"] / max(1, once["text_tokens"])
    return rows


def _by_language(manifests: dict[str, Manifest]) -> dict[str, Any]:
    """One row a (source, language), largest first."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for source, languages in (manifests["curate"].statistics["sources"] if "curate" in manifests else {}).items():
        for language, counts in languages.items():
            rows[source, language] = {
                "kept": counts.get("kept", 0),
                "kept_bytes": counts.get("kept_bytes", 0),
                "in": counts.get("documents_in", 0),
            }
    for source, languages in (manifests["dedup"].statistics["sources"] if "dedup" in manifests else {}).items():
        for language, counts in languages.items():
            rows.setdefault((source, language), {}).update(_duplicates(counts))
    for source, languages in (manifests["shard"].statistics["languages"] if "shard" in manifests else {}).items():
        for language, counts in languages.items():
            row = rows.setdefault((source, language), {})
            row.update({"documents": counts["documents"], "tokens": counts["text_tokens"], "bytes": counts["bytes"]})
            row["bytes_per_token"] = counts["bytes"] / max(1, counts["text_tokens"])
    ordered = sorted(rows.items(), key=lambda item: (-item[1].get("bytes", item[1].get("kept_bytes", 0)), item[0]))
    return {f"{source}/{language}": row for (source, language), row in ordered}


def _duplicates(counts: dict[str, int]) -> dict[str, Any]:
    """What a row says of its duplicates: `duplicates`, as many for each cause, and `duplicate_rate`."""
    causes = {cause: counts[cause] for cause in CAUSES}
    return {"duplicates": counts["removed"], **causes, "duplicate_rate": counts["removed"] / max(1, counts["in"])}


def _sum(languages: dict[str, dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counts in languages.values():
        for name, value in counts.items():
            total[name] = total.get(name, 0) + value
    return total

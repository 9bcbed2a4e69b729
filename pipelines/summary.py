"""One line on what a stage made."""

from __future__ import annotations

from contracts.manifest import Manifest


def one_line(manifest: Manifest) -> str:
    """For the end of a stage."""
    totals = manifest.totals
    if manifest.stage == "curate":
        return (
            f"{totals['in']:,} documents in = {totals['kept']:,} kept + {totals['dropped']:,} dropped + "
            f"{totals['quarantined']:,} quarantined; {totals['bytes_kept'] / 1e6:.1f} MB kept"
        )
    if manifest.stage == "signatures":
        return f"{totals['documents']:,} documents, {totals['shingles']:,} shingles"
    if manifest.stage == "dedup":
        share = totals["removed"] / max(1, totals["in"])
        return f"{totals['removed']:,} duplicates ({share:.1%}) of {totals['in']:,} documents; {totals['kept']:,} left"
    if manifest.stage == "tokenizer":
        return f"{totals['vocab_size']:,} ids, {totals['control_tokens']:,} of them control tokens"
    if manifest.stage == "shard":
        padding = totals["padding_tokens"] / max(1, totals["tokens"])
        return f"{totals['rows']:,} rows, {totals['text_tokens']:,} tokens of text, {padding:.3%} padding, {len(manifest.files)} shards"
    return f"{len(manifest.files)} files"

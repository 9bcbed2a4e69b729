"""Batches for filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from contracts.schemas import DOCUMENT


def batch(texts: Sequence[str], **columns: Any) -> pa.RecordBatch:
    """Documents with these texts; `columns` give a value for all or a list of values."""
    n = len(texts)
    values: dict[str, Any] = {
        "doc_id": [i.to_bytes(16, "big") for i in range(n)],
        "source": "code",
        "text": list(texts),
        "marks": [[]] * n,
        "language": "python",
        "kind": "code",
        "repo": "",
        "path": "",
        "stars": [None] * n,
        "licenses": [["MIT"]] * n,
        "license_evidence": "column",
        "origin": [f"0#{i}" for i in range(n)],
        "content_hash": [bytes(16)] * n,
    } | columns
    full = {name: value if isinstance(value, list) else [value] * n for name, value in values.items()}
    return pa.RecordBatch.from_pydict(full, schema=DOCUMENT)


def reasons(check: Any, documents: pa.RecordBatch) -> list[str]:
    """The reasons, "" for kept documents; asserts that a verdict is consistent and judges each document by itself."""
    verdict = check(documents)
    told = verdict.reasons.to_pylist()
    assert verdict.reasons.type == pa.string()
    assert verdict.keep.tolist() == [reason is None for reason in told]
    for i in range(documents.num_rows):
        alone = check(documents.slice(i, 1))
        assert alone.reasons.to_pylist() == [told[i]]
    return [reason or "" for reason in told]

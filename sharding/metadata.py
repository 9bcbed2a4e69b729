"""What a shard says about itself: JSON in the metadata of its Arrow schema."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from contracts.errors import ShardError
from contracts.schemas import FORMAT_VERSION, OBJECTIVES
from contracts.special_tokens import END_OF_TEXT, PAD

REQUIRED_SPECIALS = (END_OF_TEXT, PAD)
"""Control tokens that rows of any objective may hold; each objective says which others it needs."""

REMEDY = "Make the shard stage again with this Spanmill."


@dataclass(frozen=True)
class ShardMetadata:
    """Enough to use a shard without any other file, and to refuse one made for something else."""

    format_version: int
    source: str
    """Stratum: every row of a shard comes from one source."""
    context_length: int
    """Tokens that a model sees; a row holds one more."""
    vocab_size: int
    tokenizer_sha256: str
    """Of tokenizer.json, in hex."""
    special_ids: dict[str, int]
    """Id of `<|endoftext|>` and of every control token, by name."""
    seed: int
    epoch: int
    config_digest: str
    objectives: list[str]
    """Names of the objectives that the recipe asked for. fim leaves some of its examples causal."""

    def to_json(self) -> bytes:
        """Canonical JSON: equal metadata gives equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @staticmethod
    def from_json(text: bytes, where: str = "shard metadata") -> ShardMetadata:
        """Parse and check `to_json`'s bytes. Raises ShardError; `where` names the shard in its message."""
        try:
            values = json.loads(text)
            version = values["format_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ShardError(f"{where}: metadata is not Spanmill's JSON ({type(error).__name__}: {error}). {REMEDY}") from None
        if version != FORMAT_VERSION:
            raise ShardError(f"{where}: shard format version {version!r}; this Spanmill reads {FORMAT_VERSION}. {REMEDY}")
        _check_fields(values, where)
        metadata = ShardMetadata(**values)
        _check_values(metadata, where)
        return metadata


def _check_fields(values: dict[str, Any], where: str) -> None:
    kinds = {"int": int, "str": str, "dict[str, int]": dict, "list[str]": list}
    expected = {field.name: kinds[str(field.type)] for field in fields(ShardMetadata)}
    if set(values) != set(expected):
        wrong = ", ".join(sorted(set(values) ^ set(expected)))
        raise ShardError(f"{where}: metadata fields missing or unknown: {wrong}. {REMEDY}")
    for name, kind in expected.items():
        if type(values[name]) is not kind:
            raise ShardError(f"{where}: metadata field {name!r} is {values[name]!r}; the type {kind.__name__} is allowed. {REMEDY}")


def _check_values(metadata: ShardMetadata, where: str) -> None:
    if metadata.context_length < 1 or metadata.vocab_size < 1:
        sizes = f"context_length {metadata.context_length}, vocab_size {metadata.vocab_size}"
        raise ShardError(f"{where}: {sizes}; both must be 1 or more. {REMEDY}")
    missing = [name for name in REQUIRED_SPECIALS if name not in metadata.special_ids]
    if missing:
        raise ShardError(f"{where}: special_ids has no id for {', '.join(missing)}. {REMEDY}")
    for name, token in metadata.special_ids.items():
        if type(token) is not int or not 0 <= token < metadata.vocab_size:
            raise ShardError(f"{where}: special token {name} has id {token!r}; 0 to {metadata.vocab_size - 1} is allowed. {REMEDY}")
    for name in metadata.objectives:
        if name not in OBJECTIVES[1:]:
            raise ShardError(f"{where}: unknown objective {name!r}; known: {', '.join(OBJECTIVES[1:])}. {REMEDY}")

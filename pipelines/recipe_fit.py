"""What of a recipe's sections does not fit together, told before anything is read: objectives, vocabulary and sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from contracts.errors import ShardError
from contracts.special_tokens import layout_controls
from pipelines.sources.settings import SourceBase
from sharding.config import ShardSettings
from sharding.objectives import Controls, check_controls
from tokenizer.config import TokenizerSettings

FEWEST_MASKS: Final = 32
"""What is proposed where a vocabulary has none: what codegen25's smallest has by default, twice the default of max_spans."""

WITHOUT_CHATS: Final = frozenset({"python_environment", "starcoderdata", "the_stack", "tree"})
"""Types of sources none of whose documents is a chat; the others say so in their setting `kind`."""


def check_vocabulary(shard: ShardSettings, tokenizer: TokenizerSettings) -> None:
    """Raises ValueError where an objective needs control tokens that the tokenizer to be made will not have.

    What a tokenizer.json that is taken over (`tokenizer.path`) has is not known yet; the shard stage looks.
    """
    if tokenizer.path:
        return
    lacking = [name for name in shard.wanted if not _has_tokens(name, shard, tokenizer, tokenizer.mask_count)]
    if lacking:
        raise ValueError(_remedy(lacking, shard, tokenizer))


def _has_tokens(objective: str, shard: ShardSettings, tokenizer: TokenizerSettings, masks: int) -> bool:
    names = layout_controls(tokenizer.layout, masks)
    try:
        check_controls([objective], shard, Controls.of({name: i for i, name in enumerate(names)}))
    except ShardError:
        return False
    return True


def _remedy(lacking: Sequence[str], shard: ShardSettings, tokenizer: TokenizerSettings) -> str:
    most, names = shard.span_corruption.max_spans, " and ".join(lacking)
    if tokenizer.mask_count:
        return (
            f"shard.span_corruption.max_spans = {most}, but the tokenizer will have {tokenizer.mask_count} <mask_i>: set tokenizer.masks = "
            f"{most}, or lower max_spans"
        )
    needed = max(FEWEST_MASKS, most if "span_corruption" in lacking else 0)
    return (
        f"tokenizer.masks is not set, and tokenizer.layout = {tokenizer.layout!r} has no <mask_i>, <sep>, <eom> and <dummy_i> without it; "
        f"the objectives in [shard] need some of them ({names}): set tokenizer.masks = {needed}, choose tokenizer.layout = "
        f'"codegen25", or give {names} no weight, in [shard.objectives] too, whose defaults count where nothing else is set'
    )


def check_chats(shard: ShardSettings, sources: Iterable[SourceBase]) -> None:
    """Raises ValueError where `chat` would be drawn for documents that have no marks of roles, of which no token would be a target."""
    for source in sources:
        for table, of_all in [] if _may_hold_chats(source) else _tables_with_chat(shard, source.name):
            weight = shard.mixtures[table.removeprefix("shard.")]["chat"]
            own = (
                f'give it weights of its own, [shard.objectives_of."{source.name}"] causal = 1.0'
                if of_all
                else "leave chat out there"
            )
            raise ValueError(
                f"{table}.chat = {weight} holds for the source {source.name!r} too, whose documents ({_words(source)}) have no marks of "
                f'roles, so that nothing of them would be learned: {own}; or read it as conversations, with shape = "chat" of a source of '
                "type jsonl or parquet"
            )


def _tables_with_chat(shard: ShardSettings, source: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it is the one of all sources) of each table of weights that may hold for a source and gives chat a weight."""
    own = [name for name in shard.objectives_of if name.split("/")[0] == source]
    if source not in own and shard.objectives.get("chat", 0) > 0:
        yield "shard.objectives", True
    for name in own:
        if shard.objectives_of[name].get("chat", 0) > 0:
            yield f'shard.objectives_of."{name}"', False


def _may_hold_chats(source: SourceBase) -> bool:
    return source.type not in WITHOUT_CHATS and getattr(source, "kind", "chat") == "chat"


def _words(source: SourceBase) -> str:
    return f"type {source.type!r}, kind {source.kind!r}" if hasattr(source, "kind") else f"type {source.type!r}"

"""Where special tokens stand in a vocabulary.

    codegen25    0 … n-1  BPE tokens        n  <|endoftext|>       then contracts.special_tokens.added_tokens
    starcoder    0  <|endoftext|>   1 … 18  StarCoder's tokens     then BPE tokens

With GPT-2's 50,256 ordinary tokens and 881 masks the first are CodeGen2.5's published ids; the second are StarCoder's, up to the
ordinary tokens. Both split text into words by GPT-2's pattern; with StarCoder's each digit is a word of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from contracts.errors import InputError
from contracts.special_tokens import END_OF_TEXT, STARCODER, WHITESPACE_RUNS, Layout, layout_controls


@dataclass(frozen=True)
class Vocabulary:
    """A finished vocabulary: the tokenizer.json that anyone can load, and what code needs to know of it."""

    json: str
    size: int
    control_ids: dict[str, int]
    """Id of every control token; text never gives one of them."""


def lay_out(vocab: dict[str, int], merges: list[tuple[str, str]], masks: int, layout: Layout = "codegen25") -> Vocabulary:
    """The vocabulary of a freshly trained BPE.

    `vocab` maps byte-level tokens to ids 0…n-1. Special tokens that stand before or right behind them become ordinary entries that no
    merge leads to, as `<|endoftext|>` is in GPT-2's own vocabulary, so that the ids behind them follow without a gap.
    """
    controls = layout_controls(layout, masks)
    if layout == "codegen25":
        entries = {**vocab, END_OF_TEXT: len(vocab)}
    else:
        first = (END_OF_TEXT, *STARCODER)
        entries = {token: i for i, token in enumerate(first)} | {token: i + len(first) for token, i in vocab.items()}
    tokenizer = Tokenizer(models.BPE(vocab=entries, merges=merges))
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = words if layout == "codegen25" else pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    if layout == "codegen25":
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False, special=True)])
        tokenizer.add_tokens([AddedToken(run, normalized=False) for run in WHITESPACE_RUNS])
    return finish(tokenizer, controls)


def without_control_tokens(tokenizer_json: str) -> str:
    """The same tokenizer for text: control tokens are no longer recognised, so their literal text is only text. Ids stay as they are."""
    fields: dict[str, Any] = json.loads(tokenizer_json)
    _hold_ids(fields["model"]["vocab"], fields["added_tokens"])
    fields["added_tokens"] = [token for token in fields["added_tokens"] if not token["special"]]
    fields["post_processor"] = None  # none of ours: what begins and ends a document is the shard stage's business
    fields["truncation"] = fields["padding"] = None
    return json.dumps(fields, ensure_ascii=False)


def _hold_ids(vocab: dict[str, int], added: list[dict[str, Any]]) -> None:
    """Where an added token for text stands behind a special one, entries of the vocabulary that hold the ids up to it.

    `tokenizers` closes gaps in the ids of added tokens when it loads them, so without the special ones the others would move up.
    """
    last = max((token["id"] for token in added if not token["special"]), default=-1)
    within = [token for token in added if token["id"] <= last and token["content"] not in vocab]
    if any(token["special"] for token in within):
        vocab |= {_UNSPOKEN.format(token["id"]) if token["special"] else token["content"]: token["id"] for token in within}


_UNSPOKEN = "\u00ff\u00ff{}"
"""An entry that no text gives: in the byte-level alphabet U+00FF is the byte 0xFF, which UTF-8 has not got."""


def finish(tokenizer: Tokenizer, given: tuple[str, ...]) -> Vocabulary:
    """With the given control tokens, appended where they are missing. Raises InputError for ids with gaps."""
    known = tokenizer.get_vocab()
    # A token of the right name that is not marked special would be recognised in text: mark all of them.
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in given if t in known])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in given if t not in known])
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    text = tokenizer.to_str()
    if Tokenizer.from_str(text).get_vocab(with_added_tokens=True) != vocab:
        raise InputError(
            f"The vocabulary ({len(vocab)} tokens, highest id {max(vocab.values())}) has gaps in its ids, which `tokenizers` closes "
            "when it loads the file: the ids of added tokens would shift. Number its tokens without gaps."
        )
    return Vocabulary(text, max(vocab.values()) + 1, {token: vocab[token] for token in given})


HARD_TEXT = (
    'def f(x):\n\treturn  "é漢字🙂\u200b\x00\r\n" # <|endoftext|><mask_1>\n\n\n   y = 1234567 + 3.14e-10; it\'s CamelCase_and_snake'
    + "".join(map(chr, range(256)))
)
"""Text on which careless tokenizers lose something, and on which unequal ones differ."""

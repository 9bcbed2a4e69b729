"""Taking over a tokenizer.json from elsewhere: what it must be, and the control tokens that it lacks.

Text must come back byte for byte, have the same ids each time, and never be a control token. What decides that is looked at in the file
itself: no text of ours would meet every way to lose a byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from tokenizers import Tokenizer

from contracts.errors import InputError
from contracts.special_tokens import Layout, layout_controls
from tokenizer.layout import HARD_TEXT, Vocabulary, finish, without_control_tokens
from tokenizer.ranks import printable
from tokenizer.token_bytes import BYTE_OF

MOST_IDS = 2**24
"""Ids that a vocabulary may have: as many as tokenizer.vocab_size may ask for."""

NEVER = frozenset([0xC0, 0xC1, *range(0xF5, 0x100)])
"""Bytes that are in no UTF-8."""

KEEPING = ("ByteLevel", "Digits", "Punctuation", "Sequence", "Split", "UnicodeScripts")
"""Pre-tokenizers that keep every character, unless their behavior is "Removed"."""


def adopt(text: str, where: str, masks: int, layout: Layout = "codegen25") -> Vocabulary:
    """The vocabulary of an existing tokenizer.json; control tokens that it lacks are appended behind its last id.

    Raises InputError if it is not a byte-level BPE that gives back every byte it is given, or cannot have the same ids for text when
    control tokens are not recognised.
    """
    fields = _fields(text, where)
    try:
        _check_model(fields["model"], where)
        _check_losses(fields, where)
        _check_numbers(fields, where)
        _check_added(fields, where)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        words = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{where} is not a tokenizer.json that `tokenizers` can load: a field is not as it should be ({words})."
        ) from None
    vocabulary = finish(_loaded(text, where), layout_controls(layout, masks))
    text_only = _loaded(without_control_tokens(vocabulary.json), where)
    _check_ids(vocabulary, text_only, where)
    _check_back(text_only, where)
    _check_specials(json.loads(vocabulary.json), text_only, where)
    _check_newline(text_only, where)
    return vocabulary


def _fields(text: str, where: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(text)
        model = fields["model"]
        kind = model.get("type", "BPE")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{where} is not a tokenizer.json that `tokenizers` can load: {error}") from None
    if kind != "BPE":
        raise InputError(f"{where} is a {kind} model. Spanmill needs a byte-level BPE, such as GPT-2's or StarCoder's.")
    if not isinstance(model.get("vocab"), dict) or not isinstance(model.get("merges"), list):
        raise InputError(f"{where} is not a tokenizer.json that `tokenizers` can load: its model has no vocab and merges.")
    return fields


def _loaded(text: str, where: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # `tokenizers` raises bare Exception, and what is none when its Rust side panics
        raise InputError(f"{where} is not a tokenizer.json that `tokenizers` can load: {error}") from None


def _refuse(where: str, why: str, remedy: str) -> NoReturn:
    raise InputError(f"{where} cannot be taken over: {why}. {remedy}")


def _check_model(model: dict[str, Any], where: str) -> None:
    if model.get("dropout"):
        _refuse(where, f"it leaves merges out at random (model.dropout = {model['dropout']})", "Set model.dropout to null.")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            _refuse(where, f"it writes {model[name]!r} into its tokens (model.{name})", "Spanmill needs a byte-level BPE.")
    missing = [f"0x{byte:02X}" for byte, token in enumerate(printable()) if byte not in NEVER and token not in model["vocab"]]
    if missing:
        shown = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        _refuse(where, f"it has no token for {len(missing)} bytes ({shown})", "Train it with all of them (initial_alphabet).")


def _check_losses(fields: dict[str, Any], where: str) -> None:
    """What would take characters away before the model sees them."""
    normalizer = fields.get("normalizer")
    if normalizer and normalizer.get("normalizers") != []:
        _refuse(
            where,
            f"it changes text (normalizer {normalizer.get('type')})",
            "Set normalizer to null if your text may stay as it is.",
        )
    for step in _steps(fields.get("pre_tokenizer")):
        if step.get("type") not in KEEPING or step.get("behavior") == "Removed":
            shown = json.dumps(step, ensure_ascii=False)[:100]
            _refuse(where, f"it may leave characters out (pre_tokenizer {shown})", "Spanmill needs all text to come back.")
    for token in fields.get("added_tokens", []):
        if not token["special"] and (token["lstrip"] or token["rstrip"]):
            _refuse(
                where, f"its added token {token['content']!r} swallows white space beside it", "Set its lstrip and rstrip to false."
            )


def _steps(pre_tokenizer: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if pre_tokenizer:
        yield pre_tokenizer
        for step in pre_tokenizer.get("pretokenizers", []):
            yield from _steps(step)


def _check_numbers(fields: dict[str, Any], where: str) -> None:
    """`tokenizers` numbers what is added by counting, so ids must have neither gaps nor doubles."""
    named: dict[int, str] = {}
    added = {token["content"]: token["id"] for token in fields.get("added_tokens", [])}
    for token, index in (fields["model"]["vocab"] | added).items():
        if not 0 <= index < MOST_IDS:
            _refuse(where, f"the token {token!r} has the id {index}", f"Ids from 0 to {MOST_IDS - 1:,} are allowed.")
        if index in named:
            _refuse(where, f"the tokens {named[index]!r} and {token!r} both have the id {index}", "Give each an id of its own.")
        named[index] = token
    if max(named) >= len(named):
        raise InputError(
            f"{where}: the vocabulary ({len(named)} tokens, highest id {max(named)}) has gaps in its ids, which `tokenizers` closes when "
            "it adds tokens: they would get ids of others. Number its tokens without gaps."
        )


def _check_added(fields: dict[str, Any], where: str) -> None:
    """Added tokens for text stand for their very characters, but decoders take those of the byte alphabet for bytes."""
    for token in fields.get("added_tokens", []):
        content = token["content"]
        if not token["special"] and _spelled(content) != content.encode():
            shown = f"its added token {content!r} stands for text, but is decoded as the bytes {_spelled(content)!r}"
            _refuse(where, shown, "Remove it from added_tokens.")


def _spelled(content: str) -> bytes:
    """What a decoder makes of a token."""
    return b"".join(bytes([BYTE_OF[character]]) if character in BYTE_OF else character.encode() for character in content)


def _check_ids(vocabulary: Vocabulary, text_only: Tokenizer, where: str) -> None:
    """Every token for text must have the id it has in the whole tokenizer."""
    fields = json.loads(vocabulary.json)
    ids = fields["model"]["vocab"] | {token["content"]: token["id"] for token in fields["added_tokens"] if not token["special"]}
    moved = [token for token, index in ids.items() if text_only.token_to_id(token) != index]
    if moved:
        token = moved[0]
        raise InputError(
            f"{where}: without its control tokens {len(moved)} tokens for text have other ids: {token!r} has {ids[token]} and would "
            f"have {text_only.token_to_id(token)}. Put added tokens that are not special before those that are."
        )


def _check_newline(text_only: Tokenizer, where: str) -> None:
    """Headers end with a newline, which readers know by the id of that byte."""
    ids, expected = text_only.encode("\n", add_special_tokens=False).ids, text_only.token_to_id("\u010a")
    if ids != [expected]:
        raise InputError(
            f"{where}: a newline by itself is encoded as {ids} and not as the token of that byte (id {expected}). Remove the added "
            "token that stands for it."
        )


def _check_back(text_only: Tokenizer, where: str) -> None:
    back = text_only.decode(text_only.encode(HARD_TEXT, add_special_tokens=False).ids, skip_special_tokens=False)
    if back != HARD_TEXT:
        raise InputError(
            f"{where} does not give back the text it encodes. Spanmill needs a byte-level BPE without a normalizer, such as GPT-2's or "
            "StarCoder's."
        )


def _check_specials(fields: dict[str, Any], text_only: Tokenizer, where: str) -> None:
    """No special token, ours or another's, may be what text is merged to."""
    vocab: Mapping[str, int] = fields["model"]["vocab"]
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in fields["model"]["merges"])
    merged = {vocab.get("".join(pair)) for pair in pairs} | {vocab.get(byte) for byte in printable()}
    for token in fields["added_tokens"]:
        content, index = token["content"], token["id"]
        texts = {content, _spelled(content).decode(errors="replace")} if token["special"] else ()
        if texts and (index in merged or any(index in text_only.encode(each, add_special_tokens=False).ids for each in texts)):
            raise InputError(
                f"{where}: the text {content!r} is encoded as the control token itself (id {index}), because the ordinary vocabulary "
                "holds it. Remove it and the merges that lead to it from the vocabulary."
            )

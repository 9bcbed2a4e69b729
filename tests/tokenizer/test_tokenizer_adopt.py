"""What a tokenizer.json from elsewhere must be to be taken over."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import AddedToken, Tokenizer, models
from train_in_memory import train

from contracts.errors import InputError
from contracts.special_tokens import control_tokens
from tokenizer.adopt import adopt
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, lay_out

Change = Callable[[dict[str, Any]], Any]


@cache
def ordinary() -> str:
    """A byte-level BPE without added tokens."""
    made = json.loads(train(iter(["def f(x):\n    return x + 1\n" * 50]), TokenizerSettings(vocab_size=600, masks=4)).json)
    del made["model"]["vocab"]["<|endoftext|>"]
    return json.dumps({**made, "added_tokens": []})


@cache
def vocabulary() -> Vocabulary:
    texts = ["def f(x):\n    return x + 1\n\n\nclass A:\n\tdef g(self):\n", "The quick brown fox. Él niño, 漢字, 🙂.\n"]
    return train(iter(texts * 60), TokenizerSettings(vocab_size=700, masks=40))


def arrow(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def changed(change: Change) -> str:
    fields = copy.deepcopy(json.loads(ordinary()))
    change(fields)
    return json.dumps(fields)


def with_added(*tokens: AddedToken, special: bool = False) -> str:
    whole = Tokenizer.from_str(ordinary())
    (whole.add_special_tokens if special else whole.add_tokens)(list(tokens))
    return str(whole.to_str())


def renumbered(highest: int) -> Change:
    """Gives the last token another id."""

    def change(fields: dict[str, Any]) -> None:
        vocab = fields["model"]["vocab"]
        vocab[max(vocab, key=vocab.__getitem__)] = highest

    return change


def without_byte(fields: dict[str, Any]) -> None:
    vocab = fields["model"]["vocab"]
    last = max(vocab, key=vocab.__getitem__)
    vocab[last], vocab["spare"] = vocab.pop("A"), vocab[last]


def a_hole(fields: dict[str, Any]) -> None:
    vocab = fields["model"]["vocab"]
    fields["model"]["vocab"] = {token: index + (index >= 260) for token, index in vocab.items()}


def in_vocabulary(special: str) -> Change:
    """A special token that no merge leads to, but a word that is looked up whole does."""

    def change(fields: dict[str, Any]) -> None:
        index = len(fields["model"]["vocab"])
        fields["model"] |= {"ignore_merges": True, "vocab": {**fields["model"]["vocab"], special: index}}
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        fields["added_tokens"] = [{"id": index, "content": special, "special": True, **flags}]

    return change


def split(behavior: str) -> Change:
    def change(fields: dict[str, Any]) -> None:
        step = {"type": "Split", "pattern": {"String": "x"}, "behavior": behavior, "invert": False}
        fields["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [step, fields["pre_tokenizer"]]}

    return change


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(lambda f: f.update(normalizer={"type": "NFC"})), r"it changes text \(normalizer NFC\)\. Set normalizer to null"),
        (changed(lambda f: f["model"].update(dropout=0.1)), r"merges out at random \(model\.dropout = 0\.1\)\. Set model\.dropout"),
        (changed(lambda f: f["model"].update(continuing_subword_prefix="##")), r"it writes '##' into its tokens"),
        (changed(split("Removed")), r"it may leave characters out \(pre_tokenizer .*Removed"),
        (
            changed(lambda f: f.update(pre_tokenizer={"type": "Whitespace"})),
            r"it may leave characters out \(pre_tokenizer .*Whitespace",
        ),
        (changed(without_byte), r"it has no token for 1 bytes \(0x41\)\. Train it with all of them"),
        (changed(a_hole), r"has gaps in its ids.*Number its tokens without gaps"),
        (changed(renumbered(10**6)), "has gaps in its ids"),
        (changed(renumbered(2**32 - 6)), r"has the id 4294967290\. Ids from 0 to 16,777,215 are allowed"),
        (changed(renumbered(260)), r"both have the id 260\. Give each an id of its own"),
        (with_added(AddedToken("foo", lstrip=True)), "its added token 'foo' swallows white space beside it"),
        (with_added(AddedToken("foo", rstrip=True)), "its added token 'foo' swallows white space beside it"),
        (with_added(AddedToken("return"), special=True), "the text 'return' is encoded as the control token itself"),
        (
            with_added(AddedToken("\u0120self")),
            "its added token '\u0120self' stands for text, but is decoded as the bytes b' self'",
        ),
        (with_added(AddedToken("\u0142")), "is decoded as the bytes"),
        (changed(in_vocabulary("\u0120zzz")), "is encoded as the control token itself"),
        (changed(lambda f: f.update(added_tokens=None)), "a field is not as it should be"),
        (changed(lambda f: f.update(added_tokens=[{"content": "x"}])), "a field is not as it should be"),
        (changed(lambda f: f.update(normalizer="NFC")), "a field is not as it should be"),
        ("[]", "is not a tokenizer.json"),
        ('{"model": {"type": "BPE"}}', "its model has no vocab and merges"),
    ],
)
def test_what_would_lose_or_change_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adopt(text, "given.json", 10)


@pytest.mark.parametrize(
    "text",
    [
        ordinary(),
        changed(lambda f: f.update(normalizer={"type": "Sequence", "normalizers": []})),
        changed(split("Isolated")),
        with_added(AddedToken("<tool>"), AddedToken("   \n")),
        with_added(AddedToken("<|im_start|>", lstrip=True, rstrip=True), special=True),
    ],
)
def test_what_keeps_text_is_taken_over(text: str) -> None:
    made = adopt(text, "given.json", 10)
    ids = Encoder(made.json, "tokenizers")(pa.array(["é <tool> \u0301\n   \n<|im_start|> x<sep>"], pa.large_string())).ids.tolist()
    assert not set(ids) & set(made.control_ids.values())
    assert Tokenizer.from_str(made.json).decode(ids, skip_special_tokens=False) == "é <tool> \u0301\n   \n<|im_start|> x<sep>"


def test_an_existing_tokenizer_gets_the_control_tokens_it_lacks() -> None:
    ordinary = json.loads(vocabulary().json)["model"]["vocab"]
    del ordinary["<|endoftext|>"]
    plain = Tokenizer.from_str(lay_out(ordinary, [], 4).json)
    made = adopt(plain.to_str(), "given.json", 10)
    assert len(made.control_ids) == len(control_tokens(10)) + 1
    assert len(set(made.control_ids.values())) == len(made.control_ids)
    again = adopt(made.json, "given.json", 10)
    assert again.control_ids == made.control_ids


@pytest.mark.parametrize("text", ["{}", "not json", '{"version": "1.0"}'])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"given\.json is not a tokenizer\.json"):
        adopt(text, "given.json", 10)


@pytest.mark.parametrize("ignore_merges", [False, True])
def test_added_tokens_behind_special_ones_keep_their_ids(ignore_merges: bool) -> None:
    whole = Tokenizer.from_str(vocabulary().json)
    whole.add_tokens([AddedToken("<tool_call>", normalized=False)])
    whole.add_special_tokens([AddedToken("<|im_start|>", normalized=False)])
    whole.add_tokens([AddedToken("</tool_call>", normalized=False)])
    fields = json.loads(whole.to_str())
    fields["model"]["ignore_merges"] = ignore_merges
    made = adopt(json.dumps(fields), "given.json", 50)  # ten masks that the file lacks come last
    text = "é <tool_call>\n    x</tool_call><|im_start|><sep><mask_50> \u00ff\u00ff" + "".join(
        f" {i} \u00ff\u00ff{i}" for i in range(made.size)
    )
    fast, reference = (Encoder(made.json, engine)(arrow(text)).ids.tolist() for engine in ("gigatoken", "tokenizers"))
    assert fast == reference
    assert {whole.token_to_id("<tool_call>"), whole.token_to_id("</tool_call>")} <= set(fast)
    assert not {*made.control_ids.values(), whole.token_to_id("<|im_start|>")} & set(fast)
    assert Tokenizer.from_str(made.json).decode(fast, skip_special_tokens=False) == text


def test_tokens_whose_ids_cannot_be_held_are_refused() -> None:
    fields = json.loads(vocabulary().json)
    vocab, behind = fields["model"]["vocab"], max(token["id"] for token in fields["added_tokens"]) + 1
    first = min(token["id"] for token in fields["added_tokens"] if token["special"] and token["content"] not in vocab)
    taken = next(token for token, index in vocab.items() if index == 260)
    del vocab[taken]
    fields["model"]["merges"] = []
    vocab[f"\u00ff\u00ff{first}"] = 260
    fields["added_tokens"].append({**fields["added_tokens"][-1], "id": behind, "content": "<tool_call>", "special": False})
    with pytest.raises(InputError, match=r"would have \d+\. Put added tokens that are not special before"):
        adopt(json.dumps(fields), "given.json", 40)


def test_an_added_token_for_a_newline_is_refused() -> None:
    whole = Tokenizer.from_str(vocabulary().json)
    whole.add_tokens([AddedToken("\n", normalized=False)])
    with pytest.raises(InputError, match="a newline by itself is encoded as"):
        adopt(whole.to_str(), "given.json", 40)


def test_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="is a Unigram model"):
        adopt(Tokenizer(models.Unigram([("a", 0.0)], unk_id=0)).to_str(), "given.json", 10)


def test_an_end_of_text_that_is_not_marked_special_is_marked() -> None:
    fields = json.loads(vocabulary().json)
    for token in fields["added_tokens"]:
        token["special"] = False
    made = adopt(json.dumps(fields), "given.json", 10)
    for engine in ("gigatoken", "tokenizers"):
        ids = Encoder(made.json, engine)(arrow("<|endoftext|><sep><mask_1>")).ids
        assert not set(made.control_ids.values()) & set(ids.tolist())


def test_a_control_token_that_merges_lead_to_is_refused() -> None:
    fields = json.loads(vocabulary().json)
    vocab = fields["model"]["vocab"]
    del vocab["<|endoftext|>"]
    merges = [["<", "s"], ["<s", "e"], ["<se", "p"], ["<sep", ">"]]
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    fields["model"] |= {"vocab": vocab, "merges": merges}
    fields["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    fields["added_tokens"] = []
    with pytest.raises(InputError, match="'<sep>' is encoded as the control token itself"):
        adopt(json.dumps(fields), "given.json", 10)

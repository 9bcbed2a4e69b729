from __future__ import annotations

import json
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from contracts.errors import InputError
from contracts.special_tokens import PUBLISHED_MASKS, WHITESPACE_RUNS, added_tokens, control_tokens
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, adopt, lay_out
from tokenizer.train import train

TEXTS = [
    "def f(x):\n    return x + 1\n\n\nclass A:\n\tdef g(self):\n\t\treturn self.x\n" * 3,
    "The quick brown fox jumps over the lazy dog. Él niño, 漢字, 🙂.\n" * 5,
    'int main() { for (int i = 0; i < 10; ++i) printf("%d\\n", i); }\n' * 5,
]
SPELLED = st.lists(
    st.sampled_from([*control_tokens(40), "<|endoftext|>", *WHITESPACE_RUNS[:3], "<", "|>", "\n", "x", " "]), max_size=12
).map("".join)


@cache
def vocabulary() -> Vocabulary:
    return train(iter(TEXTS * 20), TokenizerSettings(vocab_size=700, masks=40))


@cache
def encoders() -> tuple[Encoder, Encoder]:
    return Encoder(vocabulary().json, "gigatoken"), Encoder(vocabulary().json, "tokenizers")


def arrow(*texts: str) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def test_published_ids() -> None:
    """With GPT-2's 50,256 ordinary ids and 881 masks, every id is the one of CodeGen2.5."""
    alphabet = {f"t{i}": i for i in range(50_256)}
    made = lay_out(alphabet, [], PUBLISHED_MASKS)
    ids = Tokenizer.from_str(made.json).get_vocab(with_added_tokens=True)
    assert made.size == 51_200
    published = {
        "<|endoftext|>": 50256, " " * 31: 50257, " " * 2: 50286, "\t" * 9: 50287, "\t\t": 50294, "<fim_prefix>": 50295,
        "<fim_middle>": 50296, "<fim_suffix>": 50297, "<fim_pad>": 50298, "<reponame>": 50312, "<dummy_0>": 50313,
        "<sep>": 50317, "<eom>": 50318, "<mask_881>": 50319, "<mask_2>": 51198, "<mask_1>": 51199,
    }  # fmt: skip
    assert {name: ids[name] for name in published} == published


def test_training_does_not_depend_on_order_or_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{text}{i}" for i, text in enumerate(TEXTS * 40)]
    settings = TokenizerSettings(vocab_size=800, masks=32)
    one = train(iter(texts), settings).json
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    assert train(iter(texts[::-1]), settings).json == one


def test_whitespace_runs_are_left_to_the_layout() -> None:
    model = json.loads(vocabulary().json)["model"]["vocab"]
    assert not [token for token in model if set(token) in ({"Ġ"}, {"ĉ"}) and len(token) > 1]
    ids = encoders()[0](arrow("\n" + " " * 12 + "x")).ids
    assert ids[1] == Tokenizer.from_str(vocabulary().json).token_to_id(" " * 12)


@given(st.text(max_size=200) | SPELLED)
@example("")
@example("<|endoftext|>")
@example(" " * 100 + "\t" * 100 + "x")
@example("a" * 5000)
@example("\r\n \u2028\u0085\x00\x1c")
@example("".join(map(chr, range(0xD800))))
def test_both_engines_give_the_same_ids_and_the_text_back(text: str) -> None:
    fast, reference = (encoder(arrow(text)) for encoder in encoders())
    assert fast.ids.tolist() == reference.ids.tolist()
    assert Tokenizer.from_str(vocabulary().json).decode(fast.ids.tolist(), skip_special_tokens=False) == text


@given(SPELLED)
def test_text_never_becomes_a_control_token(text: str) -> None:
    controls = set(vocabulary().control_ids.values())
    assert not controls & set(encoders()[0](arrow(text)).ids.tolist())


def test_documents_are_encoded_one_by_one_and_slices_are_honoured() -> None:
    texts = arrow(*TEXTS, "", "x")
    whole = encoders()[0](texts)
    assert whole.offsets[-1] == len(whole.ids)
    sliced = encoders()[0](texts.slice(1, 3))
    assert sliced.ids.tolist() == whole.ids[whole.offsets[1] : whole.offsets[4]].tolist()
    assert (sliced.offsets == whole.offsets[1:5] - whole.offsets[1]).all()
    assert len(encoders()[0](texts.slice(0, 0)).ids) == 0


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


def test_a_tokenizer_that_loses_text_is_refused() -> None:
    fields = json.loads(vocabulary().json)
    fields["normalizer"] = {"type": "Lowercase"}
    with pytest.raises(InputError, match="does not give back the text"):
        adopt(json.dumps(fields), "given.json", 10)


def test_a_vocabulary_with_gaps_is_refused() -> None:
    fields = json.loads(vocabulary().json)
    fields["model"]["vocab"]["<|endoftext|>"] += 5
    fields["added_tokens"] = []
    with pytest.raises(InputError, match="gaps in its ids"):
        adopt(json.dumps(fields), "given.json", 10)


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


def test_documents_are_not_cut_where_an_added_token_takes_what_is_behind_it() -> None:
    for token, places in (("<a>", "spaces"), ("漢 b", "nowhere"), (AddedToken("<b>", rstrip=True), "nowhere"), ("   \n", "words")):
        whole = Tokenizer.from_str(vocabulary().json)
        whole.add_tokens([token if isinstance(token, AddedToken) else AddedToken(token, normalized=False)])
        assert Encoder(whole.to_str(), "tokenizers").places == places


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


def test_a_tokenizer_that_the_fast_engine_does_not_know_is_refused_with_the_remedy() -> None:
    fields = json.loads(vocabulary().json)
    fields["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": False}, fields["pre_tokenizer"]],
    }
    with pytest.raises(InputError, match=r'tokenizer\.engine = "tokenizers"'):
        Encoder(json.dumps(fields), "gigatoken")
    assert len(Encoder(json.dumps(fields), "tokenizers")(arrow("x 123")).ids) == 5


def test_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="no text to train"):
        train(iter([]), TokenizerSettings(vocab_size=700, masks=40))


@pytest.mark.parametrize("values", [{"vocab_size": 512, "masks": 400}, {"weights": {"a": -1.0}}])
def test_impossible_settings_are_refused(values: dict) -> None:
    with pytest.raises(ValueError, match=r"at least 256 are needed|must be a number of 0 or more"):
        TokenizerSettings(**values)


def test_default_masks_scale_with_the_vocabulary() -> None:
    assert TokenizerSettings().mask_count == 881
    assert TokenizerSettings().ordinary == 50_256
    assert TokenizerSettings(vocab_size=8192).mask_count == 140
    assert len(added_tokens(881)) == 943


def test_ids_equal_those_of_tokenizers_on_real_files(corpora) -> None:  # type: ignore[no-untyped-def]
    import pyarrow.parquet as pq

    texts = [
        pq.read_table(path, columns=["content"])["content"].to_pylist()[:12]
        for path in sorted(corpora.glob("small/*/*.parquet"))
        if path.parent.name != "nl"
    ]
    column = arrow(*(text for some in texts for text in some if text))
    fast, reference = (encoder(column) for encoder in encoders())
    assert np.array_equal(fast.ids, reference.ids)
    assert np.array_equal(fast.offsets, reference.offsets)

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from train_in_memory import train

from contracts.errors import InputError
from contracts.special_tokens import PUBLISHED_MASKS, WHITESPACE_RUNS, added_tokens, control_tokens
from tokenizer.config import TokenizerSettings
from tokenizer.encode import Encoder
from tokenizer.layout import Vocabulary, lay_out

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


def test_documents_are_not_cut_where_that_could_tear_an_added_token() -> None:
    for token, places in (("<a>", "spaces"), ("漢 b", "nowhere"), ("   \n", "words")):
        whole = Tokenizer.from_str(vocabulary().json)
        whole.add_tokens([AddedToken(token, normalized=False)])
        assert Encoder(whole.to_str(), "tokenizers").places == places


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

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from contracts.errors import ConfigError
from contracts.settings import build
from trainer import loss
from trainer.config import TrainSettings
from trainer.devices import choose_device, choose_dtype
from trainer.loss import ChunkedCrossEntropy
from trainer.model import Attention, Cache, Llama, Rope, document_mask

VOCAB = 97
SMALL = {"dim": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_hidden": 48}


def model(**changes: object) -> Llama:
    return Llama(TrainSettings(**{**SMALL, **changes}), VOCAB)  # type: ignore[arg-type]


def test_codegen25_has_its_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Llama, "_initialise", lambda self: None)  # there is nothing to fill on the meta device
    with torch.device("meta"):
        llama = Llama(TrainSettings(dim=4096, layers=32, heads=32, tie_embeddings=False), 51_200)
    assert llama.settings.hidden == 11_008
    assert llama.size == 6_895_702_016
    assert llama.state_dict()["model.layers.31.mlp.gate_proj.weight"].shape == (11_008, 4096)


def test_parameter_names_are_those_of_llama_for_causal_lm() -> None:
    names = {name.replace(".0.", ".N.") for name in model(layers=1, tie_embeddings=False).state_dict()}
    block = {f"self_attn.{part}_proj" for part in "qkvo"} | {f"mlp.{part}_proj" for part in ("gate", "up", "down")}
    block |= {"input_layernorm", "post_attention_layernorm"}
    outside = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    assert names == {f"model.layers.N.{part}.weight" for part in block} | outside


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = model(seed=4).state_dict()
    torch.manual_seed(2)
    two, three = model(seed=4).state_dict(), model(seed=5).state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not torch.equal(one["lm_head.weight"], three["lm_head.weight"])
    assert math.isclose(one["lm_head.weight"].std().item(), 0.02, rel_tol=0.05)


def test_rotation_is_llamas() -> None:
    positions = torch.tensor([[0, 3, 7]])
    turned = Rope.at(positions, 4, 100.0).turn(torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 3, 4))
    for slot, position in enumerate([0, 3, 7]):
        for i, wavelength in enumerate([1.0, 10.0]):
            x, y = [(1.0, 3.0), (2.0, 4.0)][i]
            cos, sin = math.cos(position / wavelength), math.sin(position / wavelength)
            assert turned[0, 0, slot, i].item() == pytest.approx(x * cos - y * sin, rel=1e-5)
            assert turned[0, 0, slot, i + 2].item() == pytest.approx(y * cos + x * sin, rel=1e-5)


def test_attention_is_the_textbooks() -> None:
    attention, x = Attention(TrainSettings(**SMALL), 0), torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    rope = Rope.at(torch.arange(6)[None].expand(2, -1), 8, 10_000.0)
    query = rope.turn(attention.q_proj(x).view(2, 6, 4, 8).transpose(1, 2))
    key = rope.turn(attention.k_proj(x).view(2, 6, 2, 8).transpose(1, 2)).repeat_interleave(2, 1)
    value = attention.v_proj(x).view(2, 6, 2, 8).transpose(1, 2).repeat_interleave(2, 1)
    scores = (query @ key.transpose(2, 3) / math.sqrt(8)).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf)
    expected = attention.o_proj((scores.softmax(-1) @ value).transpose(1, 2).reshape(2, 6, 32))
    assert torch.allclose(attention(x, rope, None, None), expected, atol=1e-6)


def test_packed_segments_give_the_logits_they_give_alone() -> None:
    llama, ids = model(), torch.arange(12)[None] * 7 % VOCAB
    segment = torch.tensor([[0] * 5 + [1] * 4 + [2] * 3])
    positions = torch.tensor([[*range(5), *range(4), *range(3)]])
    packed = llama(ids, positions, document_mask(segment))
    for first, last in ((0, 5), (5, 9), (9, 12)):
        alone = llama(ids[:, first:last], torch.arange(last - first)[None])
        assert torch.allclose(packed[:, first:last], alone, atol=1e-6)


def test_the_mask_is_causal_within_segments() -> None:
    segment = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]])
    mask = document_mask(segment)
    for b, i, j in itertools.product(range(2), range(5), range(5)):
        assert mask[b, 0, i, j].item() == (j <= i and bool(segment[b, i] == segment[b, j]))


def test_prefixes_see_themselves_whole() -> None:
    segment = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 2]])
    prefix = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0]], dtype=torch.bool)
    mask = document_mask(segment, prefix)
    for b, i, j in itertools.product(range(2), range(6), range(6)):
        together = bool(segment[b, i] == segment[b, j])
        assert mask[b, 0, i, j].item() == (together and (j <= i or bool(prefix[b, i] and prefix[b, j])))
    assert torch.equal(document_mask(segment, torch.zeros_like(prefix)), document_mask(segment))


def test_no_target_is_seen_from_within_its_prefix() -> None:
    llama, positions = model(), torch.arange(8)[None]
    segment, prefix = torch.zeros(1, 8, dtype=torch.int64), torch.arange(8)[None] < 4
    ids = torch.arange(8)[None] * 5 % VOCAB
    changed = ids.clone()
    changed[0, 5] = 1
    before, after = (llama(each, positions, document_mask(segment, prefix)) for each in (ids, changed))
    assert torch.equal(before[:, :5], after[:, :5])
    changed = ids.clone()
    changed[0, 3] = 1
    first = [llama(each, positions, document_mask(segment, prefix))[0, 0] for each in (ids, changed)]
    assert not torch.equal(*first), "the first token must see the last of its prefix"


def test_cached_decoding_equals_one_pass() -> None:
    llama, ids = model(), torch.arange(9)[None] * 5 % VOCAB
    positions = torch.arange(9)[None]
    whole, cache = llama(ids, positions), Cache(2)
    pieces = [llama(ids[:, :4], positions[:, :4], cache=cache)]
    pieces += [llama(ids[:, t : t + 1], positions[:, t : t + 1], cache=cache) for t in range(4, 9)]
    assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-6)


@pytest.mark.parametrize("tokens", [1, 20, 23])
def test_chunked_loss_is_cross_entropy(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setitem(loss.CHUNK_ELEMENTS, "cpu", 10 * VOCAB)  # 10 tokens a chunk: whole, even and ragged
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, 16, generator=generator, requires_grad=True)
    weight = torch.randn(VOCAB, 16, generator=generator, requires_grad=True)
    target = torch.randint(VOCAB, (tokens,), generator=generator)
    scaled, nll = ChunkedCrossEntropy.apply(hidden, weight, target, 0.25, torch.float32)
    got = torch.autograd.grad(3 * scaled, (hidden, weight))
    expected = F.cross_entropy(hidden @ weight.T, target, reduction="none")
    wanted = torch.autograd.grad(3 * 0.25 * expected.sum(), (hidden, weight))
    assert torch.allclose(nll, expected, atol=1e-5)
    assert torch.allclose(scaled, 0.25 * expected.sum(), atol=1e-5)
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 6, "micro_batch_size": 4}, "not a multiple of micro_batch_size 4"),
        ({"dim": 30, "heads": 4}, "times an even number"),
        ({"dim": 12, "heads": 4}, "times an even number"),
        ({"heads": 3, "kv_heads": 2}, "multiple of kv_heads"),
        ({"min_learning_rate": 1.0}, "above learning_rate"),
        ({"stepps": 3}, "Did you mean 'steps'"),
        ({"dtype": "int8"}, "dtype"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(TrainSettings, changes, "recipe")


def test_betas_may_be_a_list_as_in_toml() -> None:
    assert build(TrainSettings, {"betas": [0.9, 0.99]}, "recipe").betas == (0.9, 0.99)


def test_a_device_that_is_not_there_is_refused() -> None:
    for name in ("cuda:99", "abacus"):
        with pytest.raises(ConfigError, match=f"device '{name}' cannot be used .* 'auto'"):
            choose_device(name)
    assert choose_dtype("float32", torch.device("cpu")) is torch.float32

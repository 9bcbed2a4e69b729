"""The Llama of CodeGen2.5. Parameters bear the names of transformers' LlamaForCausalLM, so `load_state_dict` goes either way.

B rows, T tokens, D dim, H query heads, K key/value heads, E = D / H, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from trainer.config import TrainSettings


class Rope(NamedTuple):
    """Rotation of each token's queries and keys: cos and sin, float32[B, 1, T, E]."""

    cos: Tensor
    sin: Tensor

    @staticmethod
    def at(positions: Tensor, head_dim: int, theta: float) -> Rope:
        """Rotations for int64[B, T] positions; wavelengths 2π · theta^(2i / E)."""
        exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
        angle = positions[..., None].float() / theta**exponent
        angle = torch.cat((angle, angle), dim=-1)[:, None]
        return Rope(angle.cos(), angle.sin())

    def turn(self, x: Tensor) -> Tensor:
        """[B, H, T, E] rotated. Pairs are (i, i + E/2), as transformers has them."""
        low, high = x.chunk(2, dim=-1)
        return (x * self.cos + torch.cat((-high, low), dim=-1) * self.sin).to(x.dtype)


class Cache:
    """Keys and values of the tokens so far, one pair of [B, K, t, E] a layer."""

    def __init__(self, layers: int) -> None:
        self.pairs: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the new tokens' keys and values; all of them back."""
        before = self.pairs[layer]
        if before is not None:
            key, value = torch.cat((before[0], key), dim=2), torch.cat((before[1], value), dim=2)
        self.pairs[layer] = key, value
        return key, value


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped key/value heads."""

    def __init__(self, settings: TrainSettings, layer: int) -> None:
        super().__init__()
        self.layer, self.heads, self.kv_heads = layer, settings.heads, settings.key_value_heads
        self.head_dim = settings.dim // settings.heads
        self.q_proj = nn.Linear(settings.dim, settings.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(settings.dim, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(settings.dim, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(settings.heads * self.head_dim, settings.dim, bias=False)

    def forward(self, x: Tensor, rope: Rope, mask: Tensor | None, cache: Cache | None) -> Tensor:
        """[B, T, D] to [B, T, D]; `mask` bool[B, 1, T, T], or None for causal (a cache may then only be extended by one token)."""
        query = rope.turn(self._split(self.q_proj(x), self.heads))
        key, value = rope.turn(self._split(self.k_proj(x), self.kv_heads)), self._split(self.v_proj(x), self.kv_heads)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        causal = mask is None and query.shape[2] > 1
        grouped = self.kv_heads != self.heads
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, self.head_dim).transpose(1, 2)


class SwiGLU(nn.Module):
    """Gated feed-forward layer (arXiv 2002.05202)."""

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(settings.dim, settings.hidden, bias=False)
        self.up_proj = nn.Linear(settings.dim, settings.hidden, bias=False)
        self.down_proj = nn.Linear(settings.hidden, settings.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """Attention and feed-forward layer, each behind a norm and beside a residual path."""

    def __init__(self, settings: TrainSettings, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(settings, layer)
        self.mlp = SwiGLU(settings)
        self.input_layernorm = nn.RMSNorm(settings.dim, eps=settings.norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(settings.dim, eps=settings.norm_eps)

    def forward(self, x: Tensor, rope: Rope, mask: Tensor | None, cache: Cache | None) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, blocks and last norm: `model.` in the names of transformers."""

    def __init__(self, settings: TrainSettings, vocab_size: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, settings.dim)
        self.layers = nn.ModuleList(Block(settings, layer) for layer in range(settings.layers))
        self.norm = nn.RMSNorm(settings.dim, eps=settings.norm_eps)


class Llama(nn.Module):
    """The model, with initial weights that depend on the settings alone."""

    def __init__(self, settings: TrainSettings, vocab_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.model = Decoder(settings, vocab_size)
        self.lm_head = nn.Linear(settings.dim, vocab_size, bias=False)
        if settings.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._initialise()

    def forward(self, input_ids: Tensor, positions: Tensor, mask: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Logits [B, T, V]; arguments as for `hidden`."""
        logits: Tensor = self.lm_head(self.hidden(input_ids, positions, mask, cache))
        return logits

    def hidden(self, input_ids: Tensor, positions: Tensor, mask: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """What the output matrix is applied to, [B, T, D], for int64[B, T] ids and positions.

        `mask` is bool[B, 1, T, T] as from `document_mask`, or None for causal.
        """
        rope = Rope.at(positions, self.settings.dim // self.settings.heads, self.settings.rope_theta)
        x = self.model.embed_tokens(input_ids)
        for block in self.model.layers:
            x = block(x, rope, mask, cache)
        out: Tensor = self.model.norm(x)
        return out

    def _initialise(self) -> None:
        generator = torch.Generator().manual_seed(self.settings.seed)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=self.settings.init_std, generator=generator)

    @property
    def size(self) -> int:
        """Number of parameters, a tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())


def document_mask(segment: Tensor, prefix: Tensor | None = None) -> Tensor:
    """bool[B, 1, T, T] from the tokens' segments int[B, T]: a token sees itself and what precedes it in its segment.

    Tokens of one segment that bool[B, T] `prefix` marks, which are its first, also see one another (prefix language modelling).
    Made once a batch, outside the layers. A byte for each pair: 0.25 MB a row at T = 512, 4 MB at 2,048.
    """
    same = segment[:, None, :, None] == segment[:, None, None, :]
    if prefix is None:
        return same.tril()
    # What a token may see beyond itself lies in the prefix; so does the token then, since the prefix comes first.
    return same.tril() | (same & prefix[:, None, None, :])

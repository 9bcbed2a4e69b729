"""Settings of a training run. Imports no torch, so that a recipe can be checked where none is installed.

The model is CodeGen2.5's, which is Llama's (config.json of Salesforce/codegen25-7b-multi), at any size. The paper and the card give
no learning rate, batch size or schedule; those defaults are GPT-3's and Llama's (arXiv 2005.14165, 2302.13971) or our choice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from contracts.settings import Settings

MLP_MULTIPLE = 256
"""Llama's rounding of 8/3 · dim; gives CodeGen2.5's 11,008 at 4,096."""


class TrainSettings(Settings):
    """One training run. The defaults are a model of 3.3M parameters at 8,192 ids, whose steps take 0.6 s on two Zen 4 cores."""

    steps: int = Field(default=200, ge=1)
    """Optimizer steps in all; the learning rate's schedule ends with them."""
    batch_size: int = Field(default=8, ge=1)
    """Rows a step. A row is context_length tokens."""
    micro_batch_size: int = Field(default=8, ge=1)
    """Rows that go through the model at once; divides batch_size. Gradients of a step are summed over its micro-batches, so
    this trades memory for speed and nothing else."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """`muon`: Muon for the matrices inside the blocks, AdamW for the rest; after 80 steps of the quickstart it had reached a held-out loss
    of 5.39 where AdamW alone had 6.21. `adamw`: AdamW for all, as CodeGen and Llama."""
    learning_rate: float = Field(default=6e-3, gt=0)
    """Peak. 6e-3 suits Muon and a few million parameters, 3e-3 AdamW alone; 3e-4 suits 7B (Llama, table 2)."""
    min_learning_rate: float = Field(default=6e-4, ge=0)
    """At the last step: a tenth of the peak, as GPT-3 and Llama."""
    warmup_steps: int = Field(default=20, ge=0)
    """Linear warm-up. Llama: 2,000 of 250,000 or more."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices only. GPT-3, Llama, CodeGen: 0.1."""
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    """AdamW's. GPT-3 and Llama: 0.9, 0.95."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest norm of a step's gradient. GPT-3, Llama, CodeGen: 1.0."""
    dim: int = Field(default=192, ge=2)
    """Width. CodeGen2.5-7B: 4,096."""
    layers: int = Field(default=4, ge=1)
    """CodeGen2.5-7B: 32."""
    heads: int = Field(default=3, ge=1)
    """Query heads; dim / heads must be even. CodeGen2.5-7B: 32, of 128."""
    kv_heads: int = Field(default=0, ge=0)
    """Key and value heads, a divisor of heads; 0 stands for as many as heads, as in CodeGen2.5."""
    mlp_hidden: int = Field(default=0, ge=0)
    """Width of the feed-forward layer; 0 stands for 8/3 · dim rounded up to a multiple of 256. CodeGen2.5-7B: 11,008."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary positions' wavelengths. CodeGen2.5: 10,000."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """CodeGen2.5: 1e-6."""
    init_std: float = Field(default=0.02, gt=0)
    """Standard deviation of all initial matrices. CodeGen2.5: 0.02."""
    tie_embeddings: bool = True
    """One matrix for embedding and output. CodeGen2.5 has two; in a model this small the second would be half of all parameters."""
    seed: int = Field(default=0, ge=0)
    """Of the initial weights and of the order of rows."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Relative share of rows by source; empty for proportional to what was made."""
    attention: Literal["document", "causal"] = "document"
    """`document`: a token sees its own segment only, positions start anew with each. `causal`: it sees all of the row before it, and
    prefixes of prefix language modelling are read from left to right like everything else."""
    device: str = "auto"
    """As torch names it; `auto` takes cuda where there is one, then mps, then cpu."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products; weights stay float32. `auto`: bfloat16 where the device computes in it (CUDA from Ampere on, CPUs with
    AVX512-BF16 or AMX), which was 1.6 times as fast as float32 on two Zen 4 cores."""
    threads: int = Field(default=0, ge=0)
    """CPU threads; 0 leaves it to torch. Losses are bit-identical between runs only at the same number."""
    compile: bool = False
    """torch.compile: a minute or more at the start, for faster steps. Pays on a GPU."""
    eval_every: int = Field(default=50, ge=1)
    """Steps between evaluations on the held-out rows; one follows the last step too."""
    eval_rows: int = Field(default=64, ge=0)
    """About how many rows are held out, over all sources in proportion to their size, at most a tenth of each."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints; one follows the last step too."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the newest stay on disk."""

    @model_validator(mode="after")
    def _fits(self) -> TrainSettings:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}")
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise ValueError(f"dim {self.dim} must be heads ({self.heads}) times an even number")
        if self.heads % self.key_value_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}")
        return self

    @property
    def key_value_heads(self) -> int:
        """`kv_heads`, resolved."""
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        """`mlp_hidden`, resolved."""
        return self.mlp_hidden or -(-8 * self.dim // (3 * MLP_MULTIPLE)) * MLP_MULTIPLE

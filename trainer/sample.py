"""Text from a trained run: fill a hole, or go on from a beginning.

    infill    prefix <mask_1> suffix <|endoftext|> <sep> <mask_1>  ──▶  middle <eom>         (as on CodeGen2's model card)
              <fim_prefix> prefix <fim_suffix> suffix <fim_middle> ──▶  middle <|endoftext|> (StarCoder's, for models of `fim`)
    complete  prefix                                              ──▶  rest <|endoftext|>

Control ids are put in by code. Text is encoded with special tokens switched off, so a "<mask_1>" in it stays eight characters, and
no control token but the one that ends the answer can be drawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from contracts.errors import ConfigError, StageError
from contracts.settings import build
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask
from trainer.checkpoint import Checkpoint, require_newest
from trainer.config import TrainSettings
from trainer.devices import choose_device
from trainer.model import Cache, Llama

Sentinels = Literal["codegen2", "starcoder"]

FIM = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")

INFILL_TOKENS = 5
"""Control tokens of an infill prompt."""


@dataclass
class Sampler:
    """A model with its tokenizer, in evaluation on one device."""

    model: Llama
    tokenizer: Tokenizer
    special_ids: dict[str, int]
    context_length: int
    device: torch.device

    @staticmethod
    def load(run_dir: Path, device: str = "auto") -> Sampler:
        """The run's newest checkpoint. Raises StageError if it, or the tokenizer it was trained with, is not there."""
        saved = require_newest(run_dir / "train" / "checkpoints")
        settings = build(TrainSettings, saved.settings, "checkpoint")
        model = Llama(settings, saved.vocab_size)
        model.load_state_dict(saved.model)
        place = choose_device(device)
        tokenizer = load_tokenizer(run_dir / "tokenizer" / "tokenizer.json", saved)
        return Sampler(model.to(place).eval(), tokenizer, saved.special_ids, saved.context_length, place)

    def infill(
        self,
        prefix: str,
        suffix: str,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
        sentinels: Sentinels | None = None,
    ) -> str:
        """What belongs between prefix and suffix, up to the end of the answer or `max_tokens`.

        Text that does not fit the context is left out where it is furthest from the hole; a suffix cut so loses its
        `<|endoftext|>` too, since training shows that token only where a document really ends. Temperature 0 takes the likeliest.
        `sentinels` are those that the model was trained with; by default CodeGen2's where the vocabulary has them. Raises ConfigError
        for some that it has not.
        """
        room = self._room(max_tokens + INFILL_TOKENS)
        before, after = self.encode(prefix), self.encode(suffix)
        kept_before, kept_after = share_room(len(before), len(after), room)
        head, tail = before[len(before) - kept_before :], after[:kept_after]
        if self._sentinels(sentinels) == "starcoder":
            first, second, third = (self.special_ids[name] for name in FIM)
            prompt, stop = [first, *head, second, *tail, third], END_OF_TEXT
        else:
            hole = self.special_ids[mask(1)]
            end = [self.special_ids[END_OF_TEXT]] if kept_after == len(after) else []
            prompt, stop = [*head, hole, *tail, *end, self.special_ids[SEP], hole], END_OF_MASK
        return self.decode(self.generate(prompt, self.special_ids[stop], max_tokens, temperature, seed))

    def _sentinels(self, asked: Sentinels | None) -> Sentinels:
        needed: dict[Sentinels, tuple[str, ...]] = {"codegen2": (mask(1), SEP, END_OF_MASK), "starcoder": FIM}
        there = [name for name, tokens in needed.items() if all(token in self.special_ids for token in tokens)]
        if (asked and asked not in there) or not there:
            raise ConfigError(
                f"The vocabulary has no control tokens to fill in with: {' '.join(needed[asked or 'codegen2'])}. It has those of: "
                f"{', '.join(there) or 'none'}."
            )
        return asked or there[0]

    def complete(self, prefix: str, max_tokens: int = 128, temperature: float = 0.0, seed: int = 0) -> str:
        """What follows the prefix, up to `<|endoftext|>` or `max_tokens`; of a long prefix the end is kept.

        Raises ConfigError for an empty prefix.
        """
        room = self._room(max_tokens)
        prompt = self.encode(prefix)[-room:]
        if not prompt:
            raise ConfigError(
                "An empty prefix cannot be completed: no token comes before a document's first. Give at least one character."
            )
        return self.decode(self.generate(prompt, self.special_ids[END_OF_TEXT], max_tokens, temperature, seed))

    def encode(self, text: str) -> list[int]:
        """Ids of text; whatever looks like a control token is text too."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids. A character cut off by `max_tokens` shows as U+FFFD."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text

    @torch.inference_mode()
    def generate(self, prompt: list[int], stop: int, max_tokens: int, temperature: float, seed: int) -> list[int]:
        """Ids after the prompt, without the stop id. Prefills once, then one token at a time on the cache."""
        generator = torch.Generator().manual_seed(seed)
        cache, banned = Cache(self.model.settings.layers), self._banned(stop)
        drawn: list[int] = []
        tokens = torch.tensor([prompt], device=self.device)
        positions = torch.arange(len(prompt), device=self.device)[None]
        while len(drawn) < max_tokens:
            hidden = self.model.hidden(tokens, positions, cache=cache)[:, -1]
            logits = self.model.lm_head(hidden)[0].float().cpu().masked_fill(banned, -torch.inf)
            token = draw(logits, temperature, generator)
            if token == stop:
                break
            drawn.append(token)
            tokens = torch.tensor([[token]], device=self.device)
            positions = positions[:, -1:] + 1
        return drawn

    def _banned(self, stop: int) -> Tensor:
        """bool[V]: control tokens but `stop`, and ids without a token."""
        banned = torch.ones(self.model.lm_head.out_features, dtype=torch.bool)
        banned[list(self.tokenizer.get_vocab(with_added_tokens=True).values())] = False
        banned[list(self.special_ids.values())] = True
        banned[stop] = False
        return banned

    def _room(self, reserved: int) -> int:
        if not 0 < reserved < self.context_length:
            raise ConfigError(
                f"max_tokens leaves no room for a prompt: {reserved} of {self.context_length} tokens of context are reserved. "
                f"Ask for at most {self.context_length - INFILL_TOKENS - 1}."
            )
        return self.context_length - reserved


def load_tokenizer(path: Path, saved: Checkpoint) -> Tokenizer:
    """The tokenizer a checkpoint was trained with, special tokens switched off. Raises StageError for none, or for another."""
    if not path.exists():
        raise StageError(f"{path} does not exist; sampling needs the run's tokenizer. Run the tokenizer stage.")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != saved.tokenizer_sha256:
        raise StageError(
            f"{path} has sha256 {digest[:12]}…, the model was trained with {saved.tokenizer_sha256[:12]}…. "
            "Restore that tokenizer, or train again."
        )
    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def share_room(before: int, after: int, room: int) -> tuple[int, int]:
    """How many of the tokens before and after a hole fit `room`: half each, and what one side does not need goes to the other."""
    kept_after = min(after, max(room // 2, room - before))
    return min(before, room - kept_after), kept_after


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """One id from float32[V] logits; the likeliest at temperature 0."""
    if temperature <= 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=0), 1, generator=generator))

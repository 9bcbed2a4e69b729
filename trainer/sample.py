"""Text from a trained run: fill a hole, or go on from a beginning.

    infill    prefix <mask_1> suffix <|endoftext|> <sep> <mask_1>  ──▶  middle <eom>       (or with other sentinels: sentinels.py)
    complete  prefix                                               ──▶  rest <|endoftext|>

Control ids are put in by code. Text is encoded with special tokens switched off, so a "<mask_1>" in it stays eight characters, and
no control token but the one that ends the answer can be drawn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from contracts.errors import ConfigError, StageError
from contracts.settings import build
from contracts.special_tokens import END_OF_TEXT, SEP, mask
from trainer.checkpoint import Checkpoint, require_newest
from trainer.config import TrainSettings
from trainer.devices import choose_device
from trainer.model import Cache, Llama
from trainer.sentinels import END, FIM, Learned, Sentinels

INFILL_TOKENS = 5
"""Control tokens of an infill prompt."""

LINES_SHOWN = 6
"""Of the text before and behind an answer."""


@dataclass(frozen=True)
class Answer:
    """What the model wrote."""

    text: str
    """Without the token that ends it. A character cut off by `max_tokens` shows as U+FFFD."""
    notes: list[str]
    """What a user should know of it: which sentinels were taken and why, and whether it was cut off."""


@dataclass
class Sampler:
    """A model with its tokenizer, in evaluation on one device."""

    model: Llama
    tokenizer: Tokenizer
    special_ids: dict[str, int]
    context_length: int
    device: torch.device
    learned: Learned = field(default_factory=Learned)

    @staticmethod
    def load(run_dir: Path, device: str = "auto") -> Sampler:
        """The run's newest checkpoint. Raises StageError if it, or the tokenizer it was trained with, is not there."""
        saved = require_newest(run_dir / "train" / "checkpoints")
        settings = build(TrainSettings, saved.settings, "checkpoint")
        model = Llama(settings, saved.vocab_size)
        model.load_state_dict(saved.model)
        place = choose_device(device)
        learned = Learned(saved.objectives, saved.shards.get("settings", {}).get("shard", {}).get("fim", {}))
        tokenizer = load_tokenizer(run_dir / "tokenizer" / "tokenizer.json", saved)
        return Sampler(model.to(place).eval(), tokenizer, saved.special_ids, saved.context_length, place, learned)

    def infill(
        self,
        prefix: str,
        suffix: str,
        max_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
        sentinels: Sentinels | None = None,
    ) -> Answer:
        """What belongs between prefix and suffix, up to the end of the answer or `max_tokens`.

        Text that does not fit the context is left out where it is furthest from the hole; a suffix cut so loses its
        `<|endoftext|>` too, since training shows that token only where a document really ends. Temperature 0 takes the likeliest.
        `sentinels` are by default those that the model was trained with. Raises ConfigError if it was trained with none, or for some that
        the vocabulary has not.
        """
        chosen, why = self.learned.choose(sentinels, self.special_ids)
        room = self._room(max_tokens + INFILL_TOKENS)
        before, after = self.encode(prefix), self.encode(suffix)
        kept_before, kept_after = share_room(len(before), len(after), room)
        head, tail = before[len(before) - kept_before :], after[:kept_after]
        if chosen == "starcoder":
            first, second, third = (self.special_ids[name] for name in FIM)
            prompt = [first, second, *tail, third, *head] if self.learned.suffix_first else [first, *head, second, *tail, third]
        else:
            hole = self.special_ids[mask(1)]
            end = [self.special_ids[END_OF_TEXT]] if kept_after == len(after) else []
            prompt = [*head, hole, *tail, *end, self.special_ids[SEP], hole]
        return self._answer(prompt, END[chosen], max_tokens, temperature, seed, [why])

    def complete(self, prefix: str, max_tokens: int = 128, temperature: float = 0.0, seed: int = 0) -> Answer:
        """What follows the prefix, up to `<|endoftext|>` or `max_tokens`; of a long prefix the end is kept.

        Raises ConfigError for an empty prefix.
        """
        room = self._room(max_tokens)
        prompt = self.encode(prefix)[-room:]
        if not prompt:
            raise ConfigError(
                "An empty prefix cannot be completed: no token comes before a document's first. Give at least one character."
            )
        return self._answer(prompt, END_OF_TEXT, max_tokens, temperature, seed, [])

    def _answer(self, prompt: list[int], stop: str, max_tokens: int, temperature: float, seed: int, notes: list[str]) -> Answer:
        drawn, ended = self.generate(prompt, self.special_ids[stop], max_tokens, temperature, seed)
        cut = [] if ended else [f"stopped after {len(drawn):,} tokens without {stop}: --max-tokens lets it write more"]
        return Answer(self.decode(drawn), [*notes, *cut])

    def encode(self, text: str) -> list[int]:
        """Ids of text; whatever looks like a control token is text too."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids. What is no whole character shows as U+FFFD."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text

    @torch.inference_mode()
    def generate(self, prompt: list[int], stop: int, max_tokens: int, temperature: float, seed: int) -> tuple[list[int], bool]:
        """Ids after the prompt, without the stop id, and whether that came. Prefills once, then one token at a time on the cache."""
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
                return drawn, True
            drawn.append(token)
            tokens = torch.tensor([[token]], device=self.device)
            positions = positions[:, -1:] + 1
        return drawn, False

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


def in_place(before: str, answer: str, after: str) -> str:
    """An answer in its place: `prefix … «middle» … suffix`, LINES_SHOWN lines of each side, without control characters: for a terminal."""
    head, tail = before.splitlines(keepends=True), after.splitlines(keepends=True)
    shown = [
        "…\n" if len(head) > LINES_SHOWN else "",
        *head[-LINES_SHOWN:],
        f"«{answer}»",
        *tail[:LINES_SHOWN],
        "…" if len(tail) > LINES_SHOWN else "",
    ]
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in "".join(shown))


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """One id from float32[V] logits; the likeliest at temperature 0."""
    if temperature <= 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=0), 1, generator=generator))

"""Which control tokens mark the hole of an infill prompt: those that the model was trained with.

codegen2    prefix <mask_1> suffix <|endoftext|> <sep> <mask_1>   ──▶  middle <eom>           (as on CodeGen2's model card)
starcoder   <fim_prefix> prefix <fim_suffix> suffix <fim_middle>  ──▶  middle <|endoftext|>   (fim, PSM)
            <fim_prefix> <fim_suffix> suffix <fim_middle> prefix  ──▶  middle <|endoftext|>   (fim, SPM: only if spm_rate was 1)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.errors import ConfigError
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, SEP, mask

Sentinels = Literal["codegen2", "starcoder"]

FIM = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")

NEEDED: dict[Sentinels, tuple[str, ...]] = {"codegen2": (mask(1), SEP, END_OF_MASK), "starcoder": FIM}
"""Control tokens of each; the first that is possible is taken."""

END: dict[Sentinels, str] = {"codegen2": END_OF_MASK, "starcoder": END_OF_TEXT}
"""What ends the answer."""


@dataclass(frozen=True)
class Learned:
    """What the shards of a training taught of filling in."""

    objectives: Sequence[str] = ()
    """Those that had examples; empty where it is not known."""
    fim: Mapping[str, Any] = field(default_factory=dict)
    """The recipe's section `shard.fim`."""

    @property
    def sentinels(self) -> dict[Sentinels, str]:
        """Those that it was trained with, and the objectives that did."""
        by_objective: dict[str, Sentinels] = {"span_corruption": "codegen2", "fim": self.fim.get("sentinels", "starcoder")}
        found: dict[Sentinels, list[str]] = {}
        for objective, sentinels in by_objective.items():
            if objective in self.objectives:
                found.setdefault(sentinels, []).append(objective.replace("_", " "))
        return {sentinels: " and ".join(found[sentinels]) for sentinels in NEEDED if sentinels in found}

    @property
    def suffix_first(self) -> bool:
        """Whether examples of fim always began with the suffix."""
        return bool(self.fim.get("spm_rate") == 1)

    def choose(self, asked: Sentinels | None, vocabulary: Collection[str]) -> tuple[Sentinels, str]:
        """The sentinels to fill in with, and words on why. Raises ConfigError if there are none, or none of those asked for."""
        there = [name for name, tokens in NEEDED.items() if all(token in vocabulary for token in tokens)]
        if not there or (asked and asked not in there):
            raise ConfigError(
                f"The vocabulary has no control tokens to fill in with: {' '.join(NEEDED[asked or 'codegen2'])}. It has those of: "
                f"{', '.join(there) or 'none'}."
            )
        trained: dict[Sentinels, str] = self.sentinels
        chosen: Sentinels = asked if asked else [*trained, *there][0]
        if not self.objectives:
            why = "nothing is known of what the model was trained with"
        elif asked and asked not in trained:
            why = f"the model was never trained with them, but with {', '.join(trained) or 'no sentinels at all'}"
        elif not trained:
            raise ConfigError(
                f"Nothing taught this model to fill in: the objectives of its shards are {', '.join(self.objectives)}. Leave --suffix out "
                f"to let it go on from the prefix; or try all the same, with --sentinels {there[0]}."
            )
        else:
            why = f"the model was trained with them, by {trained[chosen]}"
        return chosen, f"sentinels: {chosen} ({NEEDED[chosen][0]}); {why}"

"""What takes a step: Muon for the matrices inside the blocks, AdamW for embeddings and norms; or AdamW for all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter

from trainer.config import TrainSettings
from trainer.model import Llama


class Optimizers:
    """Several optimizers that step together, each over parameters of its own."""

    def __init__(self, *members: torch.optim.Optimizer) -> None:
        self.members = members

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all members, to set their learning rates."""
        return [group for member in self.members for group in member.param_groups]

    def step(self) -> None:
        """One step of each."""
        for member in self.members:
            member.step()

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for member in self.members:
            member.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """State of each, by its place."""
        return {str(place): member.state_dict() for place, member in enumerate(self.members)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        for place, member in enumerate(self.members):
            member.load_state_dict(state[str(place)])


def make_optimizer(model: Llama, settings: TrainSettings) -> Optimizers:
    """The optimizers that the settings name; matrices decay, norms do not.

    Muon (Jordan 2024; torch.optim.Muon) orthogonalises each matrix's update. Its rate is scaled to the size of AdamW's updates
    (Moonlight, arXiv 2502.16982), so that one learning rate serves both.
    """
    inner = [p for name, p in model.named_parameters() if p.dim() == 2 and ".layers." in name]
    chosen = {id(p) for p in inner} if settings.optimizer == "muon" else set()
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(_groups(rest, settings.weight_decay), lr=settings.learning_rate, betas=settings.betas)
    if settings.optimizer == "adamw":
        return Optimizers(adamw)
    rate, decay = settings.learning_rate, settings.weight_decay
    return Optimizers(torch.optim.Muon(inner, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"), adamw)


def _groups(parameters: Iterable[Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices, which decay, and the rest, which do not."""
    parameters = list(parameters)
    matrices = [p for p in parameters if p.dim() > 1]
    others = [p for p in parameters if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

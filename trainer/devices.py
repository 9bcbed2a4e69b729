"""Where a run computes, in what precision, and how it is made repeatable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from contracts.errors import ConfigError
from trainer.config import TrainSettings


def choose_device(name: str) -> torch.device:
    """The device asked for; "auto" takes cuda, then mps, then cpu. Raises ConfigError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used ({reason}). Set train.device to 'auto', 'cpu' or 'cuda'.") from None
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype asked for; "auto" is bfloat16 where the device has instructions for it, else float32."""
    if name == "auto":
        name = "bfloat16" if _computes_bfloat16(device) else "float32"
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False


@contextlib.contextmanager
def repeatable(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Thread count, and on the CPU deterministic kernels, for as long as the run lasts."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(settings.threads or threads)
    torch.use_deterministic_algorithms(deterministic or device.type == "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)

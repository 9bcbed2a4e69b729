"""Fixtures of the trainer's tests."""

from __future__ import annotations

import inspect
import json.decoder
import json.encoder
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from small_runs import make_run


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models run fastest on one thread, and tests then leave the other cores alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64 + 1 tokens from two sources, vocabulary of 512. Read-only: train in a copy (`fresh_run`)."""
    modules = (json.decoder, json.encoder, textwrap, inspect)
    code = ["".join(inspect.getsource(module)) for module in modules]
    prose = [inspect.getdoc(function) or "" for module in modules for _, function in inspect.getmembers(module, callable)]
    return make_run(tmp_path_factory.mktemp("tiny"), {"code": code, "prose": [text for text in prose if text]}, 512, 64)


@pytest.fixture
def fresh_run(tiny_run: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies of `tiny_run` to train in, by name."""

    def copy(name: str = "run") -> Path:
        return Path(shutil.copytree(tiny_run, tmp_path / name))

    return copy

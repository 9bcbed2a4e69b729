from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.schemas import OBJECTIVES
from contracts.special_tokens import layout_controls
from trainer.config import TrainSettings
from trainer.sample import Sampler
from trainer.sentinels import Learned, Sentinels
from trainer.train import train

EVERYTHING = layout_controls("codegen25", 8)


@pytest.mark.parametrize(
    ("objectives", "fim", "chosen", "why"),
    [
        (["causal", "span_corruption"], {}, "codegen2", "trained with them, by span corruption"),
        (["fim"], {"sentinels": "starcoder"}, "starcoder", "trained with them, by fim"),
        (["causal", "fim"], {}, "starcoder", "trained with them, by fim"),
        (["fim"], {"sentinels": "codegen2"}, "codegen2", "trained with them, by fim"),
        (["span_corruption", "fim"], {"sentinels": "codegen2"}, "codegen2", "by span corruption and fim"),
        (["span_corruption", "fim"], {"sentinels": "starcoder"}, "codegen2", "by span corruption"),
        ([], {}, "codegen2", "nothing is known of what the model was trained with"),
    ],
)
def test_sentinels_are_those_that_were_trained(objectives: list[str], fim: dict[str, str], chosen: str, why: str) -> None:
    found, words = Learned(objectives, fim).choose(None, EVERYTHING)
    assert found == chosen
    assert words.endswith(why)


@pytest.mark.parametrize(
    ("objectives", "asked", "words"),
    [
        (["span_corruption"], "starcoder", "starcoder (<fim_prefix>); the model was never trained with them, but with codegen2"),
        (["fim"], "codegen2", "codegen2 (<mask_1>); the model was never trained with them, but with starcoder"),
        (["causal"], "codegen2", "codegen2 (<mask_1>); the model was never trained with them, but with no sentinels at all"),
    ],
)
def test_what_was_never_trained_is_said(objectives: list[str], asked: Sentinels, words: str) -> None:
    assert Learned(objectives).choose(asked, EVERYTHING) == (asked, f"sentinels: {words}")


def test_a_model_that_never_filled_in_is_not_asked_to() -> None:
    with pytest.raises(
        ConfigError, match=r"objectives of its shards are causal, chat\. Leave --suffix out .* --sentinels codegen2"
    ):
        Learned(["causal", "chat"]).choose(None, EVERYTHING)


def test_vocabularies_without_the_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no control tokens to fill in with: <mask_1> <sep> <eom>. It has those of: starcoder"):
        Learned(["fim"]).choose("codegen2", layout_controls("starcoder", 0))
    with pytest.raises(ConfigError, match="It has those of: none"):
        Learned().choose(None, ["<|endoftext|>"])


def test_a_checkpoint_knows_what_the_shards_taught(tiny_run: Path, tmp_path: Path) -> None:
    """By the manifest of the shards: of the vocabulary's two kinds of sentinels a run with fim alone learned one."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    path = run / "shard" / "manifest.json"
    values = json.loads(path.read_text())
    counts = {name: {"examples": int(name in ("causal", "fim"))} for name in OBJECTIVES[1:]}
    values["statistics"] = {"strata": {source: {"objectives": counts} for source in ("code", "prose")}}
    values["config"] = {"fim": {"sentinels": "starcoder", "spm_rate": 0.25}}
    path.write_text(json.dumps(values))
    train(run, TrainSettings(steps=1, batch_size=2, micro_batch_size=2, dim=16, layers=1, heads=2, warmup_steps=0, device="cpu"))
    answer = Sampler.load(run, "cpu").infill("def f(", "):\n", max_tokens=4)
    assert answer.notes[0] == "sentinels: starcoder (<fim_prefix>); the model was trained with them, by fim"

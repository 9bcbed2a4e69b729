from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from contracts.errors import ShardError, StageError
from contracts.manifest import Manifest
from contracts.schemas import OBJECTIVES
from contracts.special_tokens import END_OF_TEXT
from sharding.loader import Loader
from sharding.order import hold_out
from sharding.shards import open_shards
from trainer.checkpoint import load_newest
from trainer.config import TrainSettings
from trainer.tally import Tally, token_bytes, unigram_entropy
from trainer.train import Progress, learning_rate, train

Fresh = Callable[[str], Path]

TINY = TrainSettings(
    steps=8, batch_size=4, micro_batch_size=2, dim=32, layers=1, heads=2, mlp_hidden=64, warmup_steps=2, eval_every=4,
    eval_rows=8, checkpoint_every=3, keep_checkpoints=2, threads=1, dtype="float32", device="cpu",
)  # fmt: skip


def changed(**values: object) -> TrainSettings:
    return TrainSettings.model_validate({**TINY.model_dump(), **values})


def stop_after(step: int) -> Callable[[Progress], None]:
    def progress(report: Progress) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return progress


def outputs(run: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    saved = load_newest(run / "train" / "checkpoints")
    assert saved is not None
    return (run / "train" / "log.jsonl").read_text(), (run / "train" / "manifest.json").read_text(), saved.model


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_learns_and_commits(fresh_run: Fresh) -> None:
    run, seen = fresh_run("run"), []
    summary = train(run, changed(steps=150, learning_rate=1e-2, eval_every=150), seen.append)
    folder = run / "train"
    manifest = Manifest.from_json((folder / "manifest.json").read_text(), "manifest")
    assert summary.eval_losses["all"] < summary.unigram_entropy - 0.2
    assert f"span corruption {summary.eval_losses['span_corruption']:.3f} (unigram entropy" in summary.words()
    assert manifest.stage == "train"
    assert manifest.statistics["eval_losses"] == summary.eval_losses
    assert manifest.statistics["unigram_entropy"] == summary.unigram_entropy
    assert manifest.totals == {"steps": 150, "tokens": 150 * 4 * 64, "parameters": summary.parameters}
    assert manifest.upstream == {"shard": open_shards(str(run / "shard")).manifest.digest}
    assert [entry.path for entry in manifest.files] == ["log.jsonl", "checkpoints/step-000147.pt", "checkpoints/step-000150.pt"]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == list(range(1, 151))
    assert {"all", "causal", "span_corruption", "source/code", "source/prose", "bits_per_byte"} <= set(log[-1]["eval"])
    assert [report.step for report in seen] == list(range(1, 151))
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("attention", ["document", "causal"])
def test_stop_and_resume_is_an_unbroken_run_bit_for_bit(fresh_run: Fresh, attention: str) -> None:
    whole, broken = fresh_run("whole"), fresh_run("broken")
    settings = changed(attention=attention)
    train(whole, settings)
    for step in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            train(broken, settings, stop_after(step))
        assert not (broken / "train" / "manifest.json").exists()
    train(broken, settings)
    one, other = outputs(whole), outputs(broken)
    assert one[0] == other[0]
    assert all(torch.equal(value, other[2][name]) for name, value in one[2].items())
    assert json.loads(one[1])["statistics"] == json.loads(other[1])["statistics"]


def test_a_run_is_the_same_every_time(fresh_run: Fresh) -> None:
    one, other = fresh_run("one"), fresh_run("other")
    train(one, TINY)
    train(other, TINY)
    for name in ("manifest.json", "log.jsonl", "loss.png", "checkpoints/step-000008.pt"):
        assert (one / "train" / name).read_bytes() == (other / "train" / name).read_bytes(), name


def test_a_damaged_checkpoint_is_passed_over(fresh_run: Fresh) -> None:
    whole, damaged = fresh_run("whole"), fresh_run("damaged")
    train(whole, TINY)
    with pytest.raises(KeyboardInterrupt):
        train(damaged, TINY, stop_after(5))
    newest = damaged / "train" / "checkpoints" / "step-000005.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    train(damaged, TINY)
    assert outputs(damaged)[0] == outputs(whole)[0]


def test_a_checkpoint_is_never_a_program(fresh_run: Fresh, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "pwned"),))

    run = fresh_run("run")
    (run / "train" / "checkpoints").mkdir(parents=True)
    torch.save({"step": Evil()}, run / "train" / "checkpoints" / "step-000001.pt")
    assert load_newest(run / "train" / "checkpoints") is None
    assert not (tmp_path / "pwned").exists()


def test_other_settings_are_named_and_refused(fresh_run: Fresh) -> None:
    run = fresh_run("run")
    train(run, TINY)
    with pytest.raises(
        StageError, match=r"step 8: train\.learning_rate was 0\.006, now 0\.01\. Set it back; or train anew: remove .*/train"
    ):
        train(run, changed(learning_rate=0.01))
    (run / "train" / "manifest.json").unlink()
    with pytest.raises(
        StageError, match=r"step 8: train\.learning_rate was 0\.006, now 0\.01, train\.seed was 0, now 1\. Set them back"
    ):
        train(run, changed(learning_rate=0.01, seed=1))


def test_a_training_cannot_be_extended_and_says_why(fresh_run: Fresh) -> None:
    run = fresh_run("run")
    train(run, TINY)
    with pytest.raises(
        StageError, match=r"train\.steps was 8, now 12\. The learning rate comes down .* one of 8, .* Set it back"
    ) as error:
        train(run, changed(steps=12))
    assert error.value.exit_code == 1


def test_a_finished_training_is_left_as_it_is(fresh_run: Fresh) -> None:
    run, said, steps = fresh_run("run"), [], []
    train(run, TINY, say=said.append)
    files = contents(run / "train")
    summary = train(run, changed(checkpoint_every=1, keep_checkpoints=1, device="nowhere"), steps.append, said.append)
    assert contents(run / "train") == files
    assert said == ["train", "train is up to date"]
    assert steps == []
    assert summary.eval_losses == json.loads((run / "train" / "manifest.json").read_text())["statistics"]["eval_losses"]


@pytest.mark.parametrize("lost", ["manifest.json", "loss.png", "log.jsonl"])
def test_what_a_finished_training_lost_is_written_again_as_it_was(fresh_run: Fresh, lost: str) -> None:
    run, said = fresh_run("run"), []
    train(run, TINY)
    files = contents(run / "train")
    (run / "train" / lost).unlink()
    if lost == "log.jsonl":  # of which nothing else holds what it held
        with pytest.raises(StageError, match=r"does not hold the first 8 steps. Restore it, or remove .*/train"):
            train(run, TINY)
        return
    train(run, TINY, say=said.append)
    assert said == ["train goes on at step 8"]
    assert contents(run / "train") == files


def test_other_shards_are_refused_on_resume(fresh_run: Fresh) -> None:
    run = fresh_run("run")
    train(run, TINY)
    path = run / "shard" / "manifest.json"
    values = json.loads(path.read_text())
    values["files"][0]["xxh3_64"] = "0" * 16
    path.write_text(json.dumps(values))
    with pytest.raises(
        ShardError, match=r"/train was trained on other shards than those in .*/shard: .* Remove .*/train to train anew"
    ):
        train(run, TINY)


def test_without_shards_there_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="Run the shard stage"):
        train(tmp_path, TINY)


def test_ctrl_c_saves_at_the_end_of_the_step(fresh_run: Fresh) -> None:
    run = fresh_run("run")

    def press(report: Progress) -> None:
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(run, TINY, press)
    assert signal.getsignal(signal.SIGINT) is before
    saved = load_newest(run / "train" / "checkpoints")
    assert saved is not None
    assert (saved.step, saved.consumed_samples) == (4, 16)


def test_micro_batches_do_not_change_the_result(fresh_run: Fresh) -> None:
    losses = [train(fresh_run(f"micro{size}"), changed(micro_batch_size=size, steps=4)).train_losses["all"] for size in (1, 2, 4)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    settings = changed(steps=101, warmup_steps=10, learning_rate=1.0, min_learning_rate=0.1)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_tallies_are_means_over_targets(tiny_run: Path) -> None:
    loader = Loader(open_shards(str(tiny_run / "shard")), batch_size=6)
    batch = loader.batch(3)  # holds padding and both objectives
    nll = np.random.default_rng(0).random(int(batch.loss_mask.sum()), np.float32)
    tally = Tally(loader.sources, np.full(512, 2.0))
    whole = np.zeros(batch.loss_mask.shape)
    whole[batch.loss_mask] = nll
    first = int(batch.loss_mask[:2].sum())
    tally.add(nll[:first], batch.rows(0, 2))
    tally.add(nll[first:], batch.rows(2, 6))
    losses = tally.losses()
    assert losses["all"] == pytest.approx(nll.mean(), rel=1e-6)
    assert losses["bits_per_byte"] == pytest.approx(nll.mean() / np.log(2) / 2, rel=1e-6)
    for kind in ("causal", "span_corruption"):
        chosen = batch.loss_mask & (batch.kind[:, 1:] == OBJECTIVES.index(kind))
        assert losses[kind] == pytest.approx(whole[chosen].mean(), rel=1e-6)
    for number, source in enumerate(loader.sources):
        chosen = batch.loss_mask & (batch.source == number)[:, None]
        if chosen.any():
            assert losses[f"source/{source}"] == pytest.approx(whole[chosen].mean(), rel=1e-6)
    assert tally.targets == len(nll)


def test_unigram_entropy_counts_targets_only(tiny_run: Path) -> None:
    loader = Loader(open_shards(str(tiny_run / "shard")), batch_size=4)
    batches = [loader.batch(0), loader.batch(1)]
    targets = [token for batch in batches for token in batch.input_ids[:, 1:][batch.loss_mask].tolist()]
    shares = [targets.count(token) / len(targets) for token in set(targets)]
    assert unigram_entropy(batches, 512) == pytest.approx(-sum(share * np.log(share) for share in shares))
    assert unigram_entropy([], 512) is None


def test_unigram_entropy_is_that_of_the_held_out_rows_however_long_one_trains(fresh_run: Fresh) -> None:
    summaries = [train(fresh_run(f"{steps}"), changed(steps=steps, eval_every=1)) for steps in (1, 8)]
    held_out = hold_out(open_shards(str(fresh_run("shards") / "shard")).rows_for_evaluation(), TINY.eval_rows)
    loader = Loader(open_shards(str(fresh_run("again") / "shard")), held_out=held_out)
    expected = unigram_entropy([loader.held_out_batch(source) for source in loader.sources], 512)
    assert [summary.unigram_entropy for summary in summaries] == [expected, expected]


def test_without_held_out_rows_no_unigram_entropy_is_made_up(fresh_run: Fresh) -> None:
    summary = train(fresh_run("run"), changed(eval_rows=0, steps=2, warmup_steps=1))
    assert summary.unigram_entropy is None
    assert summary.words().endswith("held-out loss not measured")


def test_token_bytes_are_those_of_the_text(tiny_run: Path) -> None:
    path = tiny_run / "tokenizer" / "tokenizer.json"
    sizes, tokenizer = token_bytes(path, 512), Tokenizer.from_file(str(path))
    assert sizes is not None
    text = "def f(x):\n        return  'é漢字'\t\t\t# \x00"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert sizes[ids].sum() == len(text.encode())
    assert sizes[tokenizer.token_to_id(END_OF_TEXT)] == 0
    assert token_bytes(tiny_run / "none.json", 512) is None


def test_the_settings_need_no_torch() -> None:
    code = "import sys, trainer.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from beam_runner import cli
from contracts.errors import ConfigError, StageError
from contracts.special_tokens import END_OF_MASK, END_OF_TEXT, PAD, SEP, mask
from tokenizer.layout import without_control_tokens
from trainer.config import TrainSettings
from trainer.sample import Sampler, draw, in_place, share_room
from trainer.sentinels import Learned
from trainer.train import train

HOSTILE = "x = '<|endoftext|><mask_1>' # <eom> <sep><fim_pad> é漢  \t\t end"


@pytest.fixture(scope="module")
def trained(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("sample") / "run"))
    settings = TrainSettings(
        steps=12, batch_size=4, micro_batch_size=4, dim=32, layers=1, heads=2, mlp_hidden=64, threads=1, device="cpu"
    )
    train(run, settings)
    return run


@pytest.fixture(scope="module")
def shared(trained: Path) -> Sampler:
    """Loaded once; not to be altered."""
    return Sampler.load(trained, "cpu")


@pytest.fixture
def sampler(trained: Path) -> Sampler:
    return Sampler.load(trained, "cpu")


class Recorder:
    """Stands in for `Sampler.generate` to see the prompt and stop id it is given."""

    def __init__(self, sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prompt: list[int] = []
        self.stop = -1
        monkeypatch.setattr(sampler, "generate", self)

    def __call__(self, prompt: list[int], stop: int, *rest: object) -> tuple[list[int], bool]:
        self.prompt, self.stop = prompt, stop
        return [], True


def test_text_never_becomes_a_control_token(sampler: Sampler, trained: Path) -> None:
    ids = sampler.encode(HOSTILE)
    assert not set(ids) & set(sampler.special_ids.values())
    assert sampler.decode(ids) == HOSTILE
    text_only = Tokenizer.from_str(without_control_tokens((trained / "tokenizer" / "tokenizer.json").read_text()))
    assert ids == text_only.encode(HOSTILE, add_special_tokens=False).ids  # as the corpus was encoded


@given(text=st.text(max_size=40))
def test_text_comes_back(shared: Sampler, text: str) -> None:
    assert shared.decode(shared.encode(text)) == text


def test_the_infill_prompt_is_the_cards(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, special = Recorder(sampler, monkeypatch), sampler.special_ids
    assert sampler.infill("def f(", "):\n", max_tokens=8).text == ""
    hole = special[mask(1)]
    card = [*sampler.encode("def f("), hole, *sampler.encode("):\n"), special[END_OF_TEXT], special[SEP], hole]
    assert seen.prompt == card
    assert seen.stop == special[END_OF_MASK]


def test_the_infill_prompt_of_starcoder(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, special = Recorder(sampler, monkeypatch), sampler.special_ids
    sampler.infill("def f(", "):\n", max_tokens=8, sentinels="starcoder")
    first, second, third = (special[f"<fim_{name}>"] for name in ("prefix", "suffix", "middle"))
    assert seen.prompt == [first, *sampler.encode("def f("), second, *sampler.encode("):\n"), third]
    assert seen.stop == special[END_OF_TEXT]


def test_the_infill_prompt_is_that_of_what_was_trained(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, special = Recorder(sampler, monkeypatch), sampler.special_ids
    before, after = sampler.encode("def f("), sampler.encode("):\n")
    first, second, third = (special[f"<fim_{name}>"] for name in ("prefix", "suffix", "middle"))
    sampler.learned = Learned(["causal", "fim"], {"sentinels": "starcoder", "spm_rate": 0.5})
    notes = sampler.infill("def f(", "):\n", max_tokens=8).notes
    assert seen.prompt == [first, *before, second, *after, third]
    assert notes == ["sentinels: starcoder (<fim_prefix>); the model was trained with them, by fim"]
    sampler.learned = Learned(["fim"], {"sentinels": "starcoder", "spm_rate": 1.0})
    sampler.infill("def f(", "):\n", max_tokens=8)
    assert seen.prompt == [first, second, *after, third, *before]


def test_sentinels_that_the_vocabulary_lacks_are_refused(sampler: Sampler) -> None:
    sampler.special_ids = {name: token for name, token in sampler.special_ids.items() if not name.startswith("<mask_")}
    with pytest.raises(ConfigError, match=r"no control tokens to fill in with: <mask_1> <sep> <eom>. It has those of: starcoder"):
        sampler.infill("a", "b", max_tokens=8, sentinels="codegen2")


def test_a_long_prompt_keeps_what_is_next_to_the_hole(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, special, hole = Recorder(sampler, monkeypatch), sampler.special_ids, sampler.special_ids[mask(1)]
    before, after = "a = 1\n" * 40, "b = 2\n" * 40
    sampler.infill(before, after, max_tokens=16)
    left, right = seen.prompt[: seen.prompt.index(hole)], seen.prompt[seen.prompt.index(hole) + 1 : -2]
    assert len(seen.prompt) + 16 <= sampler.context_length
    assert left == sampler.encode(before)[-len(left) :]
    assert right == sampler.encode(after)[: len(right)]
    assert len(left) + len(right) == sampler.context_length - 16 - 5
    assert special[END_OF_TEXT] not in seen.prompt
    sampler.complete(before, max_tokens=16)
    assert seen.prompt == sampler.encode(before)[-(sampler.context_length - 16) :]
    assert seen.stop == special[END_OF_TEXT]


@given(before=st.integers(0, 50), after=st.integers(0, 50), room=st.integers(0, 60))
def test_room_is_shared_and_used(before: int, after: int, room: int) -> None:
    left, right = share_room(before, after, room)
    assert 0 <= left <= before
    assert 0 <= right <= after
    assert left + right == min(before + after, room)
    assert left >= min(before, room - room // 2 - 1)
    assert right >= min(after, room // 2)


def test_control_tokens_are_never_drawn(sampler: Sampler) -> None:
    with torch.no_grad():
        for token in sampler.special_ids.values():
            sampler.model.lm_head.weight[token] *= 50  # make them by far the likeliest
    stop = sampler.special_ids[END_OF_MASK]
    drawn, _ = sampler.generate(sampler.encode("def f(x):"), stop, 40, 1.0, seed=1)
    assert not set(drawn) & set(sampler.special_ids.values())
    banned = sampler._banned(stop)
    assert not banned[stop]
    assert banned[sampler.special_ids[PAD]]


def test_the_stop_token_ends_the_answer(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = sampler.special_ids[END_OF_TEXT]
    planned = iter([*sampler.encode("ok"), stop, 1, 2])
    monkeypatch.setattr("trainer.sample.draw", lambda *_: next(planned))
    answer = sampler.complete("def f(", max_tokens=20)
    assert (answer.text, answer.notes) == ("ok", [])


def test_an_answer_that_was_cut_off_says_so(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = sampler.encode("x")[0]
    monkeypatch.setattr("trainer.sample.draw", lambda *_: letter)
    answer = sampler.complete("def f(", max_tokens=3)
    assert answer.text == "xxx"
    assert answer.notes == ["stopped after 3 tokens without <|endoftext|>: --max-tokens lets it write more"]
    filled = sampler.infill("def f(", "):\n", max_tokens=3)
    assert filled.notes[1:] == ["stopped after 3 tokens without <eom>: --max-tokens lets it write more"]


def test_an_answer_is_shown_in_its_place() -> None:
    before, after = "".join(f"line {n}\n" for n in range(9)) + "def f(", "):\n    pass\n"
    shown = in_place(before, "a, \x1b[31mb", after)
    assert shown == "…\nline 4\nline 5\nline 6\nline 7\nline 8\ndef f(«a, \ufffd[31mb»):\n    pass\n"
    assert in_place("a", "b", "") == "a«b»"
    assert in_place("", "b", "\n" * 9) == "«b»" + "\n" * 6 + "…"


def test_the_cache_changes_nothing(sampler: Sampler) -> None:
    stop = sampler.special_ids[END_OF_TEXT]
    prompt = sampler.encode("import json\n")
    fast, _ = sampler.generate(prompt, stop, 12, 0.0, 0)
    slow = list(prompt)
    with torch.inference_mode():
        for _ in range(12):
            logits = sampler.model(torch.tensor([slow]), torch.arange(len(slow))[None])[0, -1]
            slow.append(draw(logits.masked_fill(sampler._banned(stop), -torch.inf), 0.0, torch.Generator()))
    assert fast == slow[len(prompt) :][: len(fast)]
    assert len(fast) > 0


def test_sampling_repeats_with_its_seed(sampler: Sampler) -> None:
    texts = [sampler.infill("def f(", "):\n", 16, temperature=1.0, seed=seed).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_frequencies_follow_the_temperature() -> None:
    generator, logits = torch.Generator().manual_seed(0), torch.tensor([0.0, 1.0])
    share = sum(draw(logits, 0.5, generator) for _ in range(2000)) / 2000
    assert share == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item(), abs=0.03)
    assert draw(logits, 0.0, generator) == 1


def test_what_cannot_be_sampled_is_refused(sampler: Sampler, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"leaves no room for a prompt: 65 of 64 .* at most 58"):
        sampler.infill("a", "b", max_tokens=60)
    with pytest.raises(ConfigError, match="empty prefix"):
        sampler.complete("", max_tokens=5)
    with pytest.raises(StageError, match="no readable checkpoint"):
        Sampler.load(tmp_path)
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    path = other / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(StageError, match="was trained with"):
        Sampler.load(other)
    path.unlink()
    with pytest.raises(StageError, match="Run the tokenizer stage"):
        Sampler.load(other)


def test_the_command_prints_the_middle_alone_or_in_its_place(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("def f(")
    (tmp_path / "s").write_text("):\n")
    arguments = ["sample", str(trained), "--prefix", str(tmp_path / "p"), "--suffix", str(tmp_path / "s"), "--max-tokens", "4"]
    bare, same, shown = (CliRunner().invoke(cli, [*arguments, *more]) for more in ([], ["--bare"], ["--in-place"]))
    assert bare.exit_code == 0, bare.output
    assert bare.stdout == same.stdout  # what is not a terminal gets the middle alone
    assert shown.stdout == f"def f(«{bare.stdout[:-1]}»):\n\n"
    assert bare.stderr.startswith("sentinels: codegen2 (<mask_1>); ")

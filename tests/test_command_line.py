from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    "run",
    "survey",
    "curate",
    "signatures",
    "dedup",
    "tokenizer",
    "shard",
    "train",
    "workers",
    "settings",
    "stats",
    "verify",
    "trace",
    "forget",
    "sample",
)
RUNNER = [sys.executable, str(ROOT / "beam_runner.py")]


def spanmill(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUNNER, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def write_tree(folder: Path, files: int = 30) -> Path:
    folder.mkdir()
    (folder / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    for i in range(files):
        body = "".join(f"def name{i}_{j}(value):\n    return value * {i * j}\n\n\n" for j in range(20))
        (folder / f"m{i}.py").write_text(f"# SPDX-License-Identifier: MIT\n{body}")
    return folder


def recipe(folder: Path) -> str:
    path = folder / "recipe.toml"
    tree = write_tree(folder / "tree")
    path.write_text(
        f'[[source]]\ntype = "tree"\nname = "code"\npath = "{tree}"\n'
        "[tokenizer]\nvocab_size = 600\nmasks = 32\n"
        "[shard]\ncontext_length = 64\n[shard.span_corruption]\nmax_spans = 3\n"
        "[train]\nsteps = 3\nbatch_size = 2\nmicro_batch_size = 2\ndim = 16\nlayers = 1\nheads = 2\neval_every = 3\n"
    )
    return str(path)


def test_help_lists_the_line_in_order_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, beam_runner\n"
        "try: beam_runner.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'apache_beam', 'torch', 'pyarrow', 'numba', 'numpy', 'matplotlib', 'pydantic', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    places = [done.stdout.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_every_command_has_help() -> None:
    for name in COMMANDS:
        done = spanmill(name, "--help")
        assert done.returncode == 0
        assert "Usage: spanmill" in done.stdout


def test_the_dataflow_template_knows_the_stages_in_order() -> None:
    launch = runpy.run_path(str(ROOT / "deploy" / "dataflow" / "launch.py"))
    metadata = json.loads((ROOT / "deploy" / "dataflow" / "metadata.json").read_text())
    (parameter,) = (each for each in metadata["parameters"] if each["name"] == "stage")
    stages = COMMANDS[COMMANDS.index("survey") : COMMANDS.index("train")]
    assert launch["STAGES"] == stages
    assert parameter["regexes"] == [f"^({'|'.join(stages)})$"]
    in_words = f"{', '.join(stages[:-1])} {{}} {stages[-1]}"
    assert in_words.format("or") in parameter["helpText"]
    assert in_words.format("and") in metadata["description"]
    assert ", ".join(f"`{stage}`" for stage in stages) in (ROOT / "docs" / "running.md").read_text()


def test_the_whole_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = spanmill("run", "--config", recipe(tmp_path), "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert "30 documents in = " in done.stderr
    assert "Documents by source" in done.stdout
    for path in (
        "shard/code/00000.arrow",
        "train/loss.png",
        "report/mixture.png",
        "tokenizer/tokenizer.json",
        "report/statistics.json",
        "signatures/manifest.json",
    ):
        assert (out / path).stat().st_size > 0
    assert spanmill("verify", str(out)).returncode == 0
    found = json.loads(spanmill("stats", str(out), "--json").stdout)
    assert found["sources"]["code"]["in"] == 30
    (tmp_path / "p.py").write_text("def name")
    (tmp_path / "s.py").write_text("    return value\n")
    filled = spanmill(
        "sample", str(out), "--prefix", str(tmp_path / "p.py"), "--suffix", str(tmp_path / "s.py"), "--max-tokens", "5"
    )
    assert filled.returncode == 0, filled.stderr
    assert "<eom>" not in filled.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--output", "x", "--confg", "y"], "Did you mean --config?"),
        (["run", "--output", "x", "--runer=SparkRunner"], "Did you mean --runner?"),
        (["run", "--output", "x", "stray"], "unknown argument 'stray'"),
        (["run"], "Missing option '--output'"),
        (["run", "--ouput", "x"], "Did you mean --output?"),
        (["train", "--ouput", "x"], "--output"),
        (["settings", "tokeniser"], "Did you mean 'tokenizer'?"),
        (["run", "--output", "x", "--config", "none.toml"], "There is no recipe 'none.toml'"),
        (["run", "--output", "x", "--set", "dedup.treshold=1"], "Did you mean 'dedup.threshold'?"),
        (["run", "--output", "x", "--set", "train.stepz=1"], "Did you mean 'steps'?"),
        (["curate", "--output", "x", "--set", "source=[]", "--set", "tokenizer.weights={}"], "names no source"),
        (["crate"], "No such command 'crate'"),
        (["run", "--output", "x", "--no-wait"], "curate, signatures, dedup, tokenizer, shard one by one"),
        (["curate", "--config", "r.toml", "--output", "x", "--runner=Nope"], "Nope"),
        (["curate", "--config", "r.toml", "--output", "nosuch://x"], "nosuch"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(
        f'[[source]]\ntype = "tree"\nname = "a"\npath = "{ROOT / "examples"}"\nlicense_policy = "keep_unknown"\n'
    )
    done = spanmill(*arguments)
    assert words in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["r.toml"], "a command that made nothing leaves nothing"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shard", "--output", "x"], "Run `spanmill curate` first"),
        (["signatures", "--output", "x"], "Run `spanmill curate` first"),
        (["dedup", "--output", "x"], "Run `spanmill curate` first"),
        (["stats", "x"], "no finished stage"),
        (["verify", "x"], "no finished stage"),
    ],
)
def test_what_is_missing_is_named_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = spanmill(*arguments)
    assert words in done.stderr
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_run_of_which_nothing_is_kept_stops_there(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.py").write_text("x = 1\n")
    config = tmp_path / "r.toml"
    config.write_text(f'[[source]]\ntype = "tree"\nname = "a"\npath = "{tmp_path / "tree"}"\n')
    done = spanmill("run", "--quiet", "--config", str(config), "--output", str(tmp_path / "run"))
    assert done.returncode == 1
    assert "Warning: of 1 documents of the source 'a' none was kept: the filter license dropped 1" in done.stderr
    assert "Error: None of 1 documents was kept" in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["curate", "survey"]


def test_a_run_may_end_with_any_stage(tmp_path: Path) -> None:
    config = recipe(tmp_path)
    for until, last in (("survey", "survey"), ("curate", "curate"), ("signatures", "signatures")):
        done = spanmill("run", "--until", until, "--config", config, "--output", str(tmp_path / "run"))
        assert done.returncode == 0, done.stderr
        made = {path.parent.name for path in (tmp_path / "run").glob("*/manifest.json")}
        assert last in made
        assert done.stderr.count("survey") == 1, "said once"
    assert made == {"survey", "curate", "signatures"}


def test_settings_are_explained() -> None:
    done = spanmill("settings", "shard.fim")
    assert done.returncode == 0
    assert done.stdout.startswith("[shard.fim]\n")


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    done = spanmill("curate", "--config", recipe(tmp_path), "--output", str(blocker / "run"))
    assert done.returncode == 1
    assert "Cannot write" in done.stderr
    assert "--output" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_ctrl_c_ends_cleanly_says_how_to_resume_and_leaves_no_process(tmp_path: Path, mode: str) -> None:
    out, config = tmp_path / "run", recipe(tmp_path)
    command = [*RUNNER, "run", "--until", "shard", "--config", config, "--output", str(out), f"--direct_running_mode={mode}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_default_interrupt)
    while not (out / "dedup" / ".progress").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Stopped. What is done is kept" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(process.pid)
    assert spanmill("run", "--until", "shard", "--config", config, "--output", str(out)).returncode == 0


def test_kill_9_leaves_no_worker_behind_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out, config = tmp_path / "run", recipe(tmp_path)
    command = [*RUNNER, "curate", "--config", config, "--output", str(out), "--set", "part_bytes=1000"]
    mode = "--direct_running_mode=multi_processing"
    process = subprocess.Popen([*command, mode], stderr=subprocess.DEVNULL, start_new_session=True)
    while not any("parts" in folder and found for folder, _, found in os.walk(out)) and process.poll() is None:
        time.sleep(0.01)
    assert len(_alive(process.pid)) > 1, "the run had no worker processes to leave behind"
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _alive(process.pid) == []
    assert spanmill(*command[2:]).returncode == 0


def test_two_runs_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    from pipelines.storage import locked

    with locked(str(tmp_path / "run")):
        done = spanmill("curate", "--config", recipe(tmp_path), "--output", str(tmp_path / "run"))
    assert done.returncode == 1
    assert "Another run is at work" in done.stderr


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _alive(session: int) -> list[str]:
    """Processes of a session that are still running."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session and "Z" not in (entry / "stat").read_text().split()[2]:
                    found.append(entry.name)
            except (OSError, FileNotFoundError):
                continue
    return found

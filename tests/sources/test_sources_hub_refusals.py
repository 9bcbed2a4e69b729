"""What the hub refuses becomes an InputError that says what to do, whoever meets it: the listing, the survey or a reader."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_client import forget, log_in
from hub_server import Dataset, Fault, HubServer
from source_reading import plan, read_all, read_part
from test_sources_hub import HUB_PATH, NAME, files_of, source, starcoderdata

from contracts.errors import InputError
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.stores import located
from pipelines.sources.tree import TreeSettings
from pipelines.storage.options import EVERYWHERE


@pytest.fixture
def data(hub: HubServer, tmp_path: Path) -> Dataset:
    """StarCoderData, open to all. Known accounts: "good" has accepted its terms, "other" has not."""
    hub.tokens = {"good": {NAME}, "other": set()}
    data = hub.dataset(NAME)
    data.commit(starcoderdata(tmp_path / "original"))
    return data


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    words = str(caught.value)
    assert "\n" not in words
    return words


@pytest.mark.parametrize("before_lists", [False, True], ids=["contents are gated", "lists are gated too"])
def test_gated_and_nobody_is_logged_in(hub: HubServer, data: Dataset, before_lists: bool) -> None:
    data.gated, data.lists_are_gated = True, before_lists
    words = refusal(lambda: read_all(source(HUB_PATH)))
    assert words.endswith(
        f"The data set 'bigcode/starcoderdata' is gated: accept its terms at {hub.url}/datasets/bigcode/starcoderdata, then `hf auth "
        f"login` (or set HF_TOKEN) {EVERYWHERE}, with the account that accepted them, and run the same command again."
    )


@pytest.mark.parametrize("before_lists", [False, True], ids=["contents are gated", "lists are gated too"])
def test_gated_and_the_terms_are_not_accepted(
    hub: HubServer, data: Dataset, before_lists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.gated, data.lists_are_gated = True, before_lists
    log_in(monkeypatch, "other")
    words = refusal(lambda: read_all(source(HUB_PATH)))
    assert (
        "is gated, and the account of this token has not been let in (Access to dataset bigcode/starcoderdata is restricted"
        in words
    )
    assert f"Open {hub.url}/datasets/bigcode/starcoderdata with that account, accept the terms" in words


def test_a_worker_without_the_token_that_the_submitter_has(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    data.gated = True
    log_in(monkeypatch, "good")
    parts = plan(source(HUB_PATH))
    monkeypatch.delenv("HF_TOKEN")
    forget()
    assert f"`hf auth login` (or set HF_TOKEN) {EVERYWHERE}" in refusal(lambda: read_part(source(HUB_PATH), parts[0]))


def test_a_token_that_the_hub_does_not_know(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, "expired")
    words = refusal(lambda: source(HUB_PATH).list_inputs())
    assert "The hub refuses the token (Invalid credentials in Authorization header)" in words
    assert f"make a new one at {hub.url}/settings/tokens" in words


def test_a_token_without_the_right_to_read_contents(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, "other")
    told = "Please enable access to public gated repositories in your fine-grained token settings"
    hub.fail("/resolve/", Fault(status=403, headers={"X-Error-Message": told}, times=-1))
    words = refusal(lambda: read_all(source(HUB_PATH)))
    assert f"The hub forbids reading the data set 'bigcode/starcoderdata' ({told}). Give the token the right" in words


@pytest.mark.parametrize("token", ["", "other"])
@pytest.mark.parametrize("as_for_https", [False, True])
def test_a_data_set_that_is_not_there(
    hub: HubServer, data: Dataset, token: str, as_for_https: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To nobody in particular the hub says 401 without a code, which the client understands of https URLs only."""
    if as_for_https:
        import huggingface_hub.utils._http as http

        monkeypatch.setattr(http, "REPO_API_REGEX", http.re.compile("^http://"))
    if token:
        log_in(monkeypatch, token)
    words = refusal(lambda: source("hf://datasets/bigcode/starcoderdta").list_inputs())
    assert f"The hub ({hub.url}) knows no such thing as the data set 'bigcode/starcoderdta', or " in words
    assert ("this token may not see it" if token else f"`hf auth login` (or set HF_TOKEN) {EVERYWHERE}") in words
    assert "Check the spelling of OWNER/NAME" in words
    assert "Data sets are named hf://datasets/bigcode/starcoderdata, with" in refusal(
        lambda: source("hf://bigcode/starcoderdata").list_inputs()
    )


def test_a_private_data_set_is_as_good_as_none(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    data.private = True
    assert "it is private and nobody is logged in" in refusal(lambda: source(HUB_PATH).list_inputs())
    log_in(monkeypatch, "good")
    assert read_all(source(HUB_PATH)).documents.num_rows == 180


@pytest.mark.parametrize("path", ["hf://datasets/starcoderdata", "hf://datasets", "hf://datasets/big code/x", "hf://"])
def test_a_path_that_names_no_data_set(hub: HubServer, path: str) -> None:
    assert "A data set is named as hf://datasets/OWNER/NAME" in refusal(lambda: source(path).list_inputs())
    assert hub.count("") == 0


def test_a_revision_that_is_not_there(hub: HubServer, data: Dataset) -> None:
    words = refusal(lambda: source(f"{HUB_PATH}@nightly").list_inputs())
    assert "no branch, tag or commit 'nightly' of the data set 'bigcode/starcoderdata'" in words


def test_a_commit_that_was_squashed_away_after_the_survey(hub: HubServer, data: Dataset, tmp_path: Path) -> None:
    parts = plan(source(HUB_PATH))
    (old,) = data.commits
    data.commits.clear()
    data.commit({**files_of(tmp_path / "original"), "NEWS.md": b"squashed"})
    forget()
    words = refusal(lambda: read_part(source(HUB_PATH), parts[0]))
    assert f"no branch, tag or commit '{old}'" in words
    assert "squashed away: name another after '@', or none for the newest state" in words


def test_a_folder_and_a_file_that_are_not_there(hub: HubServer, data: Dataset) -> None:
    assert "There is no input at" in refusal(lambda: source(f"{HUB_PATH}/cobol").list_inputs())
    assert "There is no input at" in refusal(lambda: source(f"{HUB_PATH}/cobol/*.parquet").list_inputs())
    tree = TreeSettings(name="t", path=f"{HUB_PATH}/cobol").open()
    assert "There is no input below" in refusal(tree.list_inputs)
    missing = source(HUB_PATH).list_inputs()[0].replace("/go/", "/cobol/")
    words = refusal(lambda: source(HUB_PATH).survey(missing))
    assert "It is not in the data set 'bigcode/starcoderdata' at " in words


def test_the_hub_is_switched_off(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set. Unset it" in refusal(lambda: source(HUB_PATH).list_inputs())
    assert clock.waits == []


def test_nothing_is_quarantined_for_a_refusal(hub: HubServer, data: Dataset) -> None:
    """A survey that hid it would lose every document of the data set."""
    listed = source(HUB_PATH).list_inputs()
    data.gated = True
    for path in listed:
        refusal(lambda path=path: source(HUB_PATH).survey(path))  # type: ignore[misc]


def test_a_tree_does_not_lose_its_licences_for_a_refusal(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.dataset("me/code").commit({"LICENSE": b"text", "a.py": b"print(1)"})
    tree = TreeSettings(name="t", path="hf://datasets/me/code").open()
    parts = plan(tree)
    hub.fail("/LICENSE", Fault(status=403, times=-1))
    assert "The hub forbids reading the data set 'me/code'" in refusal(lambda: read_part(tree, parts[0]))


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a process of its own, since fsspec remembers what it has imported."""
    script = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from pipelines.sources.jsonl import JsonlSettings\n"
        "try: JsonlSettings(name='s', path='hf://datasets/me/it').open().list_inputs()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("InputError The input 'hf://datasets/me/it' cannot be opened: ")
    assert "Here and on every worker: pip install 'spanmill[hub]'" in done.stdout


def test_a_scheme_that_nobody_knows() -> None:
    assert "cannot be opened: Protocol not known: hff" in refusal(lambda: located("hff://datasets/me/it"))
    assert "Protocol not known" in refusal(lambda: JsonlSettings(name="s", path="hff://x/y").open().list_inputs())


def test_bugs_stay_bugs(hub: HubServer, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.hub.pinned", lambda fs, path: builtins.len(3))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        source(HUB_PATH).list_inputs()

"""Reading data sets of the hub through huggingface_hub's own file system, from a hub on this machine."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_client import forget
from hub_server import Fault, HubServer
from source_reading import Found, plan, read_all, read_part, write_code

from contracts.errors import InputError
from pipelines.sources.base import Part, Source
from pipelines.sources.jsonl import JsonlSettings
from pipelines.sources.starcoderdata import StarCoderDataSettings
from pipelines.sources.tree import TreeSettings

NAME = "bigcode/starcoderdata"
HUB_PATH = f"hf://datasets/{NAME}"
LINES = [json.dumps({"text": f"text {i}"}).encode() + b"\n" for i in range(20)]


def starcoderdata(folder: Path) -> dict[str, bytes]:
    """Three languages in StarCoderData's layout, written to a folder; its files."""
    for language in ("python", "rust", "go"):
        for i in range(2):
            texts = [f"<reponame>me/{language}<gh_stars>{n}\n{language} {i} {n} " + "x" * 200 for n in range(30)]
            write_code(folder / language / f"train-{i:05d}-of-00002.parquet", texts, group=10)
    (folder / "README.md").write_text("---\nlicense: other\n---\n")
    return files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def source(path: str, **settings: Any) -> Source:
    return StarCoderDataSettings(name="code", path=path, **settings).open()


def without_places(parts: list[Part]) -> list[Part]:
    """What of parts may decide anything."""
    return [replace(part, inputs=tuple(replace(each, path="", xxh3="") for each in part.inputs)) for part in parts]


def same(one: Found, two: Found) -> bool:
    return bool(one.documents.equals(two.documents) and one.lost.equals(two.lost))


def test_a_data_set_of_the_hub_is_read_as_its_local_copy(hub: HubServer, tmp_path: Path) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    for part_bytes in (10**3, 10**8):
        assert without_places(plan(source(HUB_PATH), part_bytes)) == without_places(plan(source(str(tmp_path)), part_bytes))
    found = read_all(source(HUB_PATH))
    assert found.documents.num_rows == 180
    assert set(found.column("language")) == {"python", "rust", "go"}
    assert same(found, read_all(source(str(tmp_path))))
    assert {each.token for each in hub.seen} == {""}


def test_a_mirror_made_by_the_hubs_own_client_gives_the_same_documents(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the words for an exhausted limit of requests promise. Xet is left out, which the server here does not speak."""
    from huggingface_hub import snapshot_download

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    hub.dataset(NAME).commit(starcoderdata(tmp_path / "original"))
    snapshot_download(NAME, repo_type="dataset", endpoint=hub.url, local_dir=tmp_path / "mirror")
    assert same(read_all(source(HUB_PATH)), read_all(source(str(tmp_path / "mirror"))))


def test_listing_a_large_data_set_takes_a_request_a_thousand_entries(hub: HubServer) -> None:
    files = {f"lang{i:02d}/train-{n:05d}-of-00060.parquet": b"%d %d" % (i, n) for i in range(60) for n in range(60)}
    sha = hub.dataset(NAME).commit(files)
    found = source(HUB_PATH).list_inputs()
    assert found == [f"{HUB_PATH}@{sha}/{path}" for path in sorted(files)]
    assert [each.path.partition("?")[0].removeprefix("/api/datasets/") for each in hub.seen] == [
        f"{NAME}",  # for the commit
        f"{NAME}/revision/{sha}",  # the file system's own
        *[f"{NAME}/tree/{sha}"] * 4,  # 3,600 files and 60 folders
    ]
    assert "expand=false" in hub.seen[-1].path.lower()


def test_what_the_survey_and_a_reader_ask_of_the_hub(hub: HubServer, tmp_path: Path) -> None:
    """The survey reads footers only, since the hub tells the digests; a part costs two requests a block of 8 to 16 MiB."""
    files = starcoderdata(tmp_path)
    hub.dataset(NAME).commit(files)
    listed = source(HUB_PATH).list_inputs()
    hub.seen.clear()
    parts = source(HUB_PATH).split([source(HUB_PATH).survey(path) for path in listed], 10**8)
    assert (hub.count("/api/"), hub.count("/resolve/"), hub.count("/lfs/")) == (0, 6, 6)
    hub.seen.clear()
    forget()
    for part in parts:
        read_part(source(HUB_PATH), part)
    assert (hub.count("/revision/"), hub.count("/tree/")) == (1, 3)
    assert hub.count("/resolve/") == hub.count("/lfs/") <= 12
    assert hub.count("") == hub.count("/api/|/resolve/|/lfs/")


def test_threads_of_a_process_ask_once(hub: HubServer, tmp_path: Path) -> None:
    """The client has a file system a thread; each would list the folders for itself."""
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    listed = source(HUB_PATH).list_inputs()
    hub.seen.clear()
    forget()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(source(HUB_PATH).survey, listed))
    assert [each.path for each in found] == listed
    assert (hub.count("/revision/"), hub.count("/tree/"), hub.count("/resolve/")) == (1, 3, 6)


def test_no_commit_gets_into_a_label(hub: HubServer, tmp_path: Path) -> None:
    hub.dataset("me/flat").commit(files_of(write_code(tmp_path / "a.parquet", ["x"]).parent))
    assert read_all(source("hf://datasets/me/flat")).column("language") == ["flat"]


def test_the_store_is_sent_no_token(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.dataset(NAME, gated=True, lists_are_gated=True).commit(starcoderdata(tmp_path))
    hub.tokens = {"good": {NAME}}
    monkeypatch.setenv("HF_TOKEN", "good")
    assert read_all(source(HUB_PATH)).documents.num_rows == 180
    assert {each.token for each in hub.requests("/lfs/")} == {""}
    assert {each.token for each in hub.requests("/api/|/resolve/")} == {"good"}


def test_readers_stay_at_the_commit_that_was_listed(hub: HubServer, tmp_path: Path) -> None:
    data = hub.dataset(NAME)
    old = data.commit(starcoderdata(tmp_path / "old"))
    parts = plan(source(HUB_PATH))
    whole = [read_part(source(HUB_PATH), part) for part in parts]
    write_code(tmp_path / "new" / "python" / "train-00000-of-00002.parquet", ["another"] * 30, group=10)
    new = data.commit(files_of(tmp_path / "new"))
    forget()
    assert all(same(read_part(source(HUB_PATH), part), before) for part, before in zip(parts, whole, strict=True))
    assert read_all(source(HUB_PATH)).texts() == ["another"] * 30
    assert source(f"{HUB_PATH}@{old}").list_inputs()[0].startswith(f"{HUB_PATH}@{old}/go/")
    assert source(HUB_PATH).list_inputs() == [f"{HUB_PATH}@{new}/python/train-00000-of-00002.parquet"]


@pytest.mark.parametrize("place", ["@dev", "@refs/convert/parquet", "@refs%2Fconvert%2Fparquet"])
def test_branches_are_held_at_their_commit(hub: HubServer, tmp_path: Path, place: str) -> None:
    data = hub.dataset(NAME)
    data.commit({"README.md": b"nothing here"})
    sha = data.commit(starcoderdata(tmp_path), branch=place[1:].replace("%2F", "/"))
    found = source(f"{HUB_PATH}{place}").list_inputs()
    assert len(found) == 6
    assert found[0] == f"{HUB_PATH}@{sha}/go/train-00000-of-00002.parquet"


@pytest.mark.parametrize(("place", "count"), [("/data", 3), ("/data/*.jsonl", 2), ("/data/a.jsonl", 1), ("/*/?.jsonl*", 3)])
def test_folders_globs_and_files(hub: HubServer, place: str, count: int) -> None:
    packed = gzip.compress(b"".join(LINES), mtime=0)
    hub.dataset("me/it").commit(
        {"data/a.jsonl": b"".join(LINES), "data/b.jsonl": LINES[0], "data/c.jsonl.gz": packed, "x.txt": b""}
    )
    settings = JsonlSettings(name="s", path=f"hf://datasets/me/it{place}", license_policy="keep_unknown")
    assert len(settings.open().list_inputs()) == count
    assert set(read_all(settings.open()).texts()) >= {"text 0"}


def test_files_are_known_by_the_same_digest_whoever_computes_it(hub: HubServer, tmp_path: Path) -> None:
    """The hub keeps the sha256 of large files only; small ones are read for it."""
    files = {"a.jsonl": b"".join(LINES), "b.jsonl.gz": gzip.compress(LINES[0], mtime=0)}
    hub.dataset("me/it").commit(files)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    far = {each.path.rpartition("/")[2]: each for part in plan(jsonl("hf://datasets/me/it")) for each in part.inputs}
    near = {each.path.rpartition("/")[2]: each for part in plan(jsonl(str(tmp_path))) for each in part.inputs}
    assert {name: each.digest for name, each in far.items()} == {name: each.digest for name, each in near.items()}
    assert (bool(far["a.jsonl"].xxh3), bool(far["b.jsonl.gz"].xxh3)) == (True, False)


def jsonl(path: str) -> Source:
    return JsonlSettings(name="s", path=path).open()


def test_what_is_read_whole_is_checked_against_the_hubs_digest(hub: HubServer, clock: Any) -> None:
    hub.dataset("me/it").commit({"b.jsonl.gz": gzip.compress(b"".join(LINES), mtime=0)})
    (part,) = plan(jsonl("hf://datasets/me/it"))
    assert len(read_part(jsonl("hf://datasets/me/it"), part).texts()) == 20
    hub.fail("/lfs/", Fault(alter=True, times=-1))
    with pytest.raises(InputError, match="changed while the run was reading it: digest "):
        read_part(jsonl("hf://datasets/me/it"), part)


def test_altered_row_groups_stop_the_run(hub: HubServer, tmp_path: Path) -> None:
    """They are no damage of the data set, whose digest the hub told."""
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    parts = plan(source(HUB_PATH))
    hub.fail("/lfs/", Fault(alter=True, times=-1))
    with pytest.raises(InputError, match="changed while the run was reading it: digest "):
        [read_part(source(HUB_PATH), part) for part in parts]


def test_a_tree_on_the_hub(hub: HubServer, tmp_path: Path) -> None:
    from identify.vendor.licenses import LICENSES

    mit = dict(LICENSES)["MIT"].encode()
    files = {f"pkg{i}/{kind}/f{n}.py": b"print(%d)" % n for i in range(5) for kind in ("src", "tests") for n in range(3)}
    files |= {"LICENSE": mit, "README.md": b"# r", ".github/x.py": b"hidden"}
    hub.dataset("me/code").commit(files)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    far, near = (TreeSettings(name="t", path=path).open() for path in ("hf://datasets/me/code", str(tmp_path)))
    found = read_all(far)
    assert same(found, read_all(near))
    assert set(found.column("licenses")[0]) == {"MIT"}
    assert hub.count("/tree/") <= 2


def test_the_endpoint_and_token_of_the_environment(hub: HubServer, tmp_path: Path) -> None:
    """As workers get them that are told nothing else."""
    hub.dataset(NAME, gated=True).commit(starcoderdata(tmp_path))
    hub.tokens = {"good": {NAME}}
    script = (
        "from pipelines.sources.starcoderdata import StarCoderDataSettings\n"
        f"source = StarCoderDataSettings(name='code', path={HUB_PATH!r}, languages=['go']).open()\n"
        "for part in source.split([source.survey(path) for path in source.list_inputs()], 10**8):\n"
        "    print(sum(each.documents.num_rows for each in source.read(part)), flush=True)\n"
        "import os; os._exit(0)\n"  # a process that ends while pyarrow's threads let go of the file is aborted, once in some 250 times
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "good", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("60\n", "")

"""A hub that is busy, breaks off or is away: reading goes on where it stopped, or ends with words on what to do.

Versions of huggingface_hub differ in what they try again, and in whose waits they heed; what comes out of it must not.
"""

from __future__ import annotations

import gzip
import random
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hub_client import forget
from hub_server import Fault, HubServer
from source_reading import plan, read_all, read_part, write_code
from test_sources_hub import HUB_PATH, NAME, jsonl, source, starcoderdata

from contracts.errors import InputError
from pipelines.sources import stores
from pipelines.sources.inputs import open_input

BIG = random.Random(0).randbytes(20_000_000)
INFO, TREE, RESOLVE, STORE = "/api/datasets/[^/]+/[^/]+($|[?]|/revision/)", "/tree/", "/resolve/", "/lfs/"


@pytest.fixture
def big(hub: HubServer) -> str:
    """A file of several blocks."""
    sha = hub.dataset("me/big").commit({"big.bin": BIG})
    return f"hf://datasets/me/big@{sha}/big.bin"


def ranges(hub: HubServer) -> list[tuple[int, int]]:
    """Of the bytes that the store was asked for: [start, stop)."""
    found = [re.fullmatch(r"bytes=(\d+)-(\d+)", each.range) for each in hub.requests(STORE)]
    return [(int(each[1]), int(each[2]) + 1) for each in found if each]


def read_big(path: str) -> bool:
    with open_input(path) as file:
        return file.read() == BIG


def test_blocks_are_read_once_and_in_order(hub: HubServer, big: str) -> None:
    assert read_big(big)
    asked = ranges(hub)
    assert asked[0][0] == 0
    assert asked[-1][1] == len(BIG)
    assert all(before[1] == after[0] for before, after in pairwise(asked))
    assert len(asked) == 2
    assert sum(each.sent for each in hub.seen if each.path.startswith("/lfs/")) == len(BIG)


@pytest.mark.parametrize("cut", [0, 1, 3_000_000])
def test_a_connection_cut_in_a_body_costs_one_block(hub: HubServer, big: str, clock: Any, cut: int) -> None:
    """The client asks for the same range again; the reader never starts anew."""
    hub.fail("/lfs/", Fault(times=1))
    hub.fail("/lfs/", Fault(cut_after=cut, times=2))
    assert read_big(big)
    asked = ranges(hub)
    assert [start for start, _ in asked] == [0, asked[0][1], asked[0][1], asked[0][1]]
    assert clock.waits == [1, 2]


def test_what_the_client_gives_up_on_goes_on_where_it_stopped(hub: HubServer, big: str, clock: Any) -> None:
    """Which is when it has asked 6 times; then the file is opened again there."""
    hub.fail("/lfs/", Fault(times=1))
    hub.fail("/lfs/", Fault(cut_after=1000, times=13))
    assert read_big(big)
    first = ranges(hub)[0][1]
    assert [start for start, _ in ranges(hub)] == [0] + 14 * [first]
    assert clock.now <= stores.READING


@pytest.mark.parametrize("short_by", [1, 5_000_000])
def test_bodies_that_end_early_and_do_not_say_so(hub: HubServer, big: str, clock: Any, short_by: int) -> None:
    hub.fail("/lfs/", Fault(short_by=short_by, times=2))
    assert read_big(big)


def test_bodies_that_are_empty_for_good(hub: HubServer, big: str, clock: Any) -> None:
    hub.fail("/lfs/", Fault(times=1))
    hub.fail("/lfs/", Fault(short_by=len(BIG), times=-1))
    with pytest.raises(
        InputError, match=r"cannot be reached, or fails: StoppedShortError: the file ends after \d+ of 20000000 bytes"
    ):
        read_big(big)
    assert clock.now <= stores.READING


@pytest.mark.parametrize("place", [INFO, TREE, RESOLVE, STORE], ids=["info", "tree", "resolve", "store"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "7"}, times=2),
        Fault(status=429, headers={"RateLimit": '"api";r=0;t=30', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, times=2),
        Fault(status=500, times=2),
        Fault(status=503, headers={"Retry-After": "3"}, times=2),
        Fault(hang_up=True, times=2),
    ],
    ids=["429 Retry-After", "429 RateLimit", "500", "503 Retry-After", "hang up"],
)
def test_failures_that_pass(hub: HubServer, tmp_path: Path, clock: Any, place: str, fault: Fault) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    hub.fail(place, replace(fault))
    assert read_all(source(HUB_PATH, languages=["go"])).documents.num_rows == 60
    asked = {"7": 8.0, "3": 4.0}.get(fault.headers.get("Retry-After", ""), 31.0 if "RateLimit" in fault.headers else None)
    assert clock.waits in ([asked] * 2, [1, 2])
    if asked and place == INFO:  # which we ask again for, and not the client
        assert clock.waits == [asked] * 2


def test_a_reader_survives_every_place_failing(hub: HubServer, tmp_path: Path, clock: Any) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    parts = plan(source(HUB_PATH))
    for place in (INFO, TREE, RESOLVE, STORE):
        hub.fail(place, Fault(status=503, times=2))
        hub.fail(place, Fault(hang_up=True, times=2))
    forget()
    assert sum(read_part(source(HUB_PATH), part).documents.num_rows for part in parts) == 180


@pytest.mark.parametrize("place", [INFO, TREE], ids=["info", "tree"])
def test_a_hub_that_is_away_while_somebody_waits(hub: HubServer, tmp_path: Path, clock: Any, place: str) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    hub.fail(place, Fault(status=503, times=-1))
    with pytest.raises(InputError, match=r"cannot be reached, or fails: .*503.* run the same command again: what is done is kept"):
        source(HUB_PATH).list_inputs()
    assert 20 < clock.now <= stores.LISTING + 23


def test_a_hub_that_is_away_for_readers(hub: HubServer, tmp_path: Path, clock: Any) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    parts = plan(source(HUB_PATH))
    hub.fail("", Fault(hang_up=True, times=-1))
    with pytest.raises(InputError, match=rf"The hub \({hub.url}\) cannot be reached, or fails: RemoteProtocolError"):
        read_part(source(HUB_PATH), parts[0])
    assert 300 < clock.now <= stores.READING + 23


@pytest.mark.parametrize("fault", [Fault(status=403, times=-1), Fault(hang_up=True, times=-1), Fault(status=500, times=-1)])
def test_row_groups_that_cannot_be_had_are_no_damage(hub: HubServer, tmp_path: Path, clock: Any, fault: Fault) -> None:
    """The footer comes, what it tells of does not: Arrow hands the error of the file on as it is."""
    write_code(tmp_path / "python" / "a.parquet", [random.Random(i).randbytes(50_000).hex() for i in range(20)], group=2)
    hub.dataset(NAME).commit({"python/a.parquet": (tmp_path / "python" / "a.parquet").read_bytes()})
    parts = plan(source(HUB_PATH))
    hub.fail("/lfs/", Fault(times=1))
    hub.fail("/lfs/", fault)
    with pytest.raises(InputError, match=r"The hub .*(forbids reading|cannot be reached, or fails)"):
        read_part(source(HUB_PATH), parts[0])


def test_no_server_at_all(hub: HubServer, monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    monkeypatch.setitem(__import__("fsspec").config.conf, "hf", {"endpoint": "http://127.0.0.1:9"})
    forget()
    with pytest.raises(InputError, match=r"The hub \(http://127.0.0.1:9\) cannot be reached, or fails: ConnectError"):
        source(HUB_PATH).list_inputs()


def test_a_stalled_answer_is_a_read_timeout(hub: HubServer, big: str, monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    hub.fail("/lfs/", Fault(stall=True, times=2))
    assert read_big(big)
    assert clock.waits == [1, 2]


LIMITED = {"RateLimit": '"resolvers";r=0;t=250', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'}


@pytest.mark.parametrize("place", [INFO, TREE, RESOLVE, STORE], ids=["info", "tree", "resolve", "store"])
def test_a_limit_of_requests_that_stays_used_up(hub: HubServer, tmp_path: Path, clock: Any, place: str) -> None:
    """We grant the wait that the hub asks for once, if the client has not waited before."""
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    hub.fail(place, Fault(status=429, headers=LIMITED, times=-1))
    with pytest.raises(InputError) as caught:
        read_all(source(HUB_PATH))
    words = str(caught.value)
    assert "The hub's limit of requests is used up (" in words
    assert "3000" in words
    assert "fewer workers" in words
    assert "`hf auth login` (or set HF_TOKEN) on this machine and on every worker" in words
    assert f"`hf download {NAME} --repo-type dataset --local-dir FOLDER`" in words
    assert set(clock.waits) == {251.0}
    assert len(clock.waits) <= (1 if place == INFO else 5)


def test_a_wait_beyond_all_patience_is_not_begun(hub: HubServer, tmp_path: Path, clock: Any) -> None:
    hub.dataset(NAME).commit(starcoderdata(tmp_path))
    hub.fail(INFO, Fault(status=429, headers={"Retry-After": "86400"}, times=-1))
    with pytest.raises(InputError, match="limit of requests is used up"):
        source(HUB_PATH).list_inputs()
    assert clock.waits == []


def test_outages_change_no_output(hub: HubServer, clock: Any) -> None:
    """A compressed file is read in many small steps."""
    lines = b"".join(b'{"text": "%s"}\n' % (b"%d " % i * 100) for i in range(20_000))
    hub.dataset("me/it").commit({"a.jsonl.gz": gzip.compress(lines, mtime=0)})
    (part,) = plan(jsonl("hf://datasets/me/it"))
    whole = read_part(jsonl("hf://datasets/me/it"), part)
    hub.fail("/lfs/", Fault(cut_after=100_000, times=8))
    hub.fail("/lfs/", Fault(short_by=10_000, times=1))
    assert read_part(jsonl("hf://datasets/me/it"), part).documents.equals(whole.documents)

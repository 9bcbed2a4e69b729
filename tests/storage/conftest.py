"""A folder on each kind of storage, and the same behind a proxy that fails on demand."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from faults import Proxy, proxied
from servers import create_gcs_bucket, create_s3_bucket, gcs_server, s3_server
from stores import BUCKET, STORES, Store, base_of, options

from pipelines.storage import options as storage_options
from pipelines.storage.systems import STORES as STORES_OPTIONS


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is looked for in its files or asked of its cloud."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """Addresses by protocol. Without the stores' clients and servers a test is skipped; .venv-engines has them."""
    for package in ("s3fs", "gcsfs", "moto", "gcp_storage_emulator"):
        pytest.importorskip(package, reason=f"no {package}: `make test-engines` runs this")
    with s3_server() as s3, gcs_server() as gs:
        create_s3_bucket(s3, BUCKET)
        create_gcs_bucket(gs, BUCKET)
        yield {"s3": s3, "gs": gs}


@pytest.fixture(scope="session")
def proxies(servers: dict[str, str]) -> Iterator[dict[str, Proxy]]:
    """Proxies by protocol."""
    with proxied(servers["s3"]) as s3, proxied(servers["gs"]) as gs:
        yield {"s3": s3, "gs": gs}


@pytest.fixture(params=["local", "memory", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A folder on a sound storage."""
    kind = request.param
    given = options(kind, request.getfixturevalue("servers")[kind]) if kind in STORES else {}
    storage_options.apply(given)
    yield Store(kind, base_of(kind, tmp_path), options=given)
    storage_options.apply({})
    if kind == "memory":
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, servers: dict[str, str]) -> None:
    """Between tries, the stores' clients and we wait hardly at all."""

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.001)

    hurry = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    for module in ("aiobotocore.endpoint", "gcsfs.retry", "s3fs.core"):
        monkeypatch.setattr(importlib.import_module(module), "asyncio", hurry)
    monkeypatch.setattr("pipelines.storage.systems.PAUSE", 0.001)


@pytest.fixture(params=STORES)
def faulty(
    request: pytest.FixtureRequest, tmp_path: Path, proxies: dict[str, Proxy], hasty: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """A folder on a store behind a proxy; files are sent in small parts."""
    kind = request.param
    proxy = proxies[kind]
    proxy.clear()
    monkeypatch.setitem(STORES_OPTIONS[kind], "chunksize", 5 * 2**20)  # the least that S3 allows
    given = options(kind, proxy.url, patient=False)
    storage_options.apply(given)
    yield Store(kind, base_of(kind, tmp_path), proxy, given)
    proxy.clear()
    storage_options.apply({})

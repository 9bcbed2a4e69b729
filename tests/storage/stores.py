"""Where a test of the storage may put things."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

from faults import Proxy

from pipelines.storage import options as storage_options

BUCKET = "spanmill-test"

STORES = ("s3", "gs")

_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """Where a test may put things."""

    kind: str
    base: str
    """A folder or URL of its own."""
    proxy: Proxy | None = None
    options: dict[str, dict[str, object]] = field(default_factory=dict)
    """Applied in this process; for those who start others."""

    @property
    def faulty(self) -> Proxy:
        assert self.proxy
        return self.proxy

    def with_patience(self) -> Store:
        """The same with clients that try again as they do by default."""
        given = options(self.kind, self.faulty.url)
        storage_options.apply(given)
        return replace(self, options=given)


def options(kind: str, url: str, patient: bool = True) -> dict[str, dict[str, object]]:
    """Options of file systems for a server; `patient`: whether S3's client itself tries again."""
    if kind == "s3":
        retries = {} if patient else {"config_kwargs": {"retries": {"total_max_attempts": 1}, "read_timeout": 5}}
        return {"s3": {"endpoint_url": url, "client_kwargs": {"region_name": "us-east-1"}, **retries}}
    if kind == "gs":
        return {"gs": {"endpoint_url": url, "token": "anon", "project": "test"}}
    return {}


def base_of(kind: str, tmp_path: Path) -> str:
    """A folder of this kind that no other test has."""
    name = f"run{next(_numbers)}"
    return {"local": str(tmp_path / name), "memory": f"memory://{name}"}.get(kind, f"{kind}://{BUCKET}/{name}")

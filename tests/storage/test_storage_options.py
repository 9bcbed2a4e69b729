"""The recipe's section `storage`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from pydantic import Field

from contracts.errors import ConfigError
from contracts.settings import Settings, build
from pipelines.storage import options as storage_options
from pipelines.storage.options import DEFAULTS, StorageSettings


class Recipe(Settings):
    """As much of one as is needed."""

    storage: StorageSettings = Field(default_factory=StorageSettings, exclude=True)


def parsed(storage: Any) -> dict[str, dict[str, Any]]:
    return build(Recipe, {"storage": storage}, "recipe.toml").storage.options()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    storage_options.apply({})


def test_options_reach_file_systems() -> None:
    pytest.importorskip("s3fs", reason="no s3fs: `make test-engines` runs this")
    given = parsed({"s3": {"endpoint_url": "http://127.0.0.1:9000", "client_kwargs": {"region_name": "eu-central-1"}}})
    storage_options.apply(given)
    fs, name = fsspec.core.url_to_fs("s3://bucket/x")
    assert name == "bucket/x"
    assert fs.endpoint_url == "http://127.0.0.1:9000"
    assert fs.client_kwargs == {"region_name": "eu-central-1"}
    assert fsspec.core.url_to_fs("s3a://bucket/x")[0].endpoint_url == "http://127.0.0.1:9000", "an alias"


def test_the_last_options_count_and_none_are_left_over() -> None:
    storage_options.apply({"s3": {"endpoint_url": "http://a", "anon": True}, "hf": {"endpoint": "http://h"}})
    for _ in range(2):
        storage_options.apply({"s3": {"endpoint_url": "http://b"}})
    assert fsspec.config.conf["s3"] == {**DEFAULTS["s3"], "endpoint_url": "http://b"}
    assert fsspec.config.conf["hf"] == {}


def test_options_of_the_machine_stay_unless_the_recipe_says_otherwise() -> None:
    """From FSSPEC_S3_… or ~/.config/fsspec."""
    script = (
        "from pipelines import storage; from pipelines.storage import options as storage_options; import fsspec;"
        "c = fsspec.config.conf; print(c['s3']['anon'], c['s3']['profile']);"
        "storage_options.apply({'s3': {'anon': False}}); print(c['s3']['anon'], c['s3']['profile']);"
        "storage_options.apply({}); print(c['s3']['anon'], c['s3']['profile'])"
    )
    environment = {**os.environ, "FSSPEC_S3": '{"anon": true, "profile": "p"}'}
    printed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "p", "False", "p", "True", "p"]


@pytest.mark.parametrize("protocol", ["s3", "gs"])
def test_no_client_remembers_listings(protocol: str) -> None:
    package = {"s3": "s3fs", "gs": "gcsfs"}[protocol]
    pytest.importorskip(package, reason=f"no {package}: `make test-engines` runs this")
    options = {"gs": {"token": "anon"}}.get(protocol, {})
    storage_options.apply({protocol: options})
    fs, _ = fsspec.core.url_to_fs(f"{protocol}://bucket/x")
    fs.dircache["bucket"] = [{"name": "bucket/x", "size": 0, "type": "file"}]
    assert "bucket" not in fs.dircache


def test_google_is_asked_over_http_alone() -> None:
    """Its newer client asks over gRPC for the kind of bucket before each request, and appends to files in zonal ones."""
    pytest.importorskip("gcsfs", reason="no gcsfs: `make test-engines` runs this")
    storage_options.apply({"gs": {"token": "anon"}})
    fs, _ = fsspec.core.url_to_fs("gs://bucket/x")
    assert type(fs).__module__ == "gcsfs.core"
    assert type(fsspec.core.url_to_fs("gcs://bucket/x")[0]) is type(fs)


def test_what_is_in_no_table_is_no_option() -> None:
    assert parsed({}) == parsed({"s3": {}}) == {}


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    words = r"recipe\.toml: unknown setting 'storage\.s4'\. Did you mean 'storage\.s3'\? Known: storage\.abfs, .*storage\.gs"
    with pytest.raises(ConfigError, match=words):
        parsed({"s4": {}})


SECRETS: list[tuple[str, dict[str, Any]]] = [
    ("s3.key", {"s3": {"key": "k1ngdom"}}),
    ("s3.secret", {"s3": {"secret": "k1ngdom"}}),
    ("s3.token", {"s3": {"token": "k1ngdom"}}),
    ("s3.client_kwargs.aws_access_key_id", {"s3": {"client_kwargs": {"aws_access_key_id": "k1ngdom"}}}),
    ("s3.client_kwargs.aws_secret_access_key", {"s3": {"client_kwargs": {"aws_secret_access_key": "k1ngdom"}}}),
    ("s3.s3_additional_kwargs.SSECustomerKey", {"s3": {"s3_additional_kwargs": {"SSECustomerKey": "k1ngdom"}}}),
    ("s3.config_kwargs.x", {"s3": {"config_kwargs": {"x": ["AKIAK1NGDOMK1NGDOM"]}}}),
    ("s3.endpoint_url", {"s3": {"endpoint_url": "http://user:k1ngdom@host"}}),
    ("gs.token", {"gs": {"token": "/home/me/k1ngdom.json"}}),
    ("gs.token.private_key", {"gs": {"token": {"private_key": "k1ngdom"}}}),
    ("abfs.account_key", {"abfs": {"account_key": "k1ngdom"}}),
    ("abfs.sas_token", {"abfs": {"sas_token": "k1ngdom"}}),
    ("abfs.connection_string", {"abfs": {"connection_string": "k1ngdom"}}),
    ("abfs.x", {"abfs": {"x": "https://a.blob.core.windows.net/c?sv=1&sig=k1ngdom"}}),
    ("hf.token", {"hf": {"token": "k1ngdom"}}),
    ("hf.x", {"hf": {"x": "hf_k1ngdomk1ngdomk1ngdom"}}),
    ("http.client_kwargs.headers.Authorization", {"http": {"client_kwargs": {"headers": {"Authorization": "k1ngdom"}}}}),
    ("sftp.password", {"sftp": {"password": "k1ngdom"}}),
    ("sftp.x", {"sftp": {"x": "-----BEGIN OPENSSH PRIVATE KEY-----k1ngdom"}}),
]


@pytest.mark.parametrize(("place", "storage"), SECRETS, ids=[place for place, _ in SECRETS])
def test_credentials_are_refused_and_not_shown(place: str, storage: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(storage)
    words = str(raised.value)
    assert f"'storage.{place}' looks like a credential" in words
    assert "the submitting one and every worker, brings its own" in words
    assert "k1ngdom" not in words.lower()


def test_what_is_no_secret_is_taken() -> None:
    harmless: dict[str, dict[str, Any]] = {
        "s3": {"anon": True, "profile": "work", "s3_additional_kwargs": {"SSEKMSKeyId": "1234", "ServerSideEncryption": "aws:kms"}},
        "gs": {"token": "anon", "requester_pays": True, "project": "p"},
        "hf": {"token": False, "endpoint": "https://huggingface.co"},
        "sftp": {"host": "h", "key_filename": "/etc/ssh/id", "look_for_keys": True},
        "http": {"block_size": 2**20},
    }
    harmless["s3"]["config_kwargs"] = {"signature_version": "s3v4", "retries": {"mode": "adaptive"}}
    assert parsed(harmless) == harmless


def test_where_bytes_lie_is_in_no_manifest() -> None:
    recipe = build(Recipe, {"storage": {"s3": {"endpoint_url": "http://h"}}}, "")
    assert recipe.model_dump() == {}

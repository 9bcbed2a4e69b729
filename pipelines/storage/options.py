"""The recipe's section `storage`: options of file systems, for every machine that takes part in a run.

    [storage.s3]
    endpoint_url = "http://minio:9000"
    client_kwargs = { region_name = "eu-central-1" }

They travel with the job, so a worker needs none of the submitter's environment. They say where bytes lie, not which: they are no part
of a stage's identity or manifest. Credentials are refused here, since recipes are copied and shared; each machine has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
from pydantic import Field, model_validator

from contracts.errors import ConfigError
from contracts.settings import Settings

Options = dict[str, Any]
"""Named as the constructor of the fsspec class names them."""


class StorageSettings(Settings):
    """One table a protocol. The name of a protocol is the first of its aliases: `s3` is also `s3a`, `gs` is also `gcs`."""

    abfs: Options = Field(default_factory=dict)
    """Azure, package adlfs; also az:// and abfss://: `account_name`."""

    ftp: Options = Field(default_factory=dict)
    """`host`, `port`."""

    gs: Options = Field(default_factory=dict)
    """Google Cloud Storage, package gcsfs; also gcs://: `project`, `requester_pays`, `endpoint_url`; `token` may say "anon" or "cloud"."""

    hdfs: Options = Field(default_factory=dict)
    """`host`, `port`, `user`."""

    hf: Options = Field(default_factory=dict)
    """Hugging Face Hub, package huggingface_hub: `endpoint`."""

    http: Options = Field(default_factory=dict)
    """Reading only; also https://: `client_kwargs`, `block_size`."""

    s3: Options = Field(default_factory=dict)
    """S3 and what speaks like it, package s3fs; also s3a://: `endpoint_url`, `profile`, `anon`, `client_kwargs`, `config_kwargs`."""

    sftp: Options = Field(default_factory=dict)
    """Also ssh://: `host`, `port`, `username`."""

    smb: Options = Field(default_factory=dict)
    """`host`, `port`, `username`."""

    webhdfs: Options = Field(default_factory=dict)
    """`host`, `port`, `user`, `kerberos`."""

    @model_validator(mode="before")
    @classmethod
    def _holds_no_secret(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            refuse_secrets(values)
        return values

    def options(self) -> dict[str, Options]:
        """What `apply` takes: the tables that are not empty."""
        tables = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: dict(table) for name, table in tables.items() if table}


DEFAULTS: dict[str, Options] = {
    "gs": {"use_listings_cache": False},
    "s3": {"use_listings_cache": False, "max_concurrency": 1},
}
"""Both clients remember listings, and with them sizes and ETags, which other workers make untrue. With a concurrency above 1, s3fs asks
for the size of a file before it reads it whole: two requests for each receipt."""

_elsewhere: dict[str, Options] = {}
"""Options that fsspec had, from FSSPEC_* variables or ~/.config/fsspec, before any of ours."""


def prepare() -> None:
    """Makes file systems fit for the commit protocol, whatever the recipe says. Idempotent; `pipelines.storage` calls it."""
    # gcsfs would otherwise ask over gRPC which kind of bucket it has before each request: up to a minute each where gRPC does not get
    # through (private endpoints, emulators), and it writes to zonal buckets by appending, where readers see half a file.
    for protocol in ("gs", "gcs"):
        fsspec.register_implementation(protocol, "gcsfs.core.GCSFileSystem", clobber=True)
    for protocol in DEFAULTS.keys() - _elsewhere.keys():
        _set(protocol, {})


def apply(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Hands each protocol's options to all fsspec file systems that this process opens from now on.

    Idempotent; a second call with other options replaces what the first one set. To be called in the submitter and in every worker.
    """
    prepare()
    for protocol in _elsewhere.keys() | options.keys():
        _set(protocol, options.get(protocol, {}))


def _set(protocol: str, options: Mapping[str, Any]) -> None:
    conf = fsspec.config.conf
    before = _elsewhere.setdefault(protocol, dict(conf.get(protocol, {})))
    conf[protocol] = {**before, **DEFAULTS.get(protocol, {}), **options}


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Raises ConfigError if a name or value below `storage` looks like a credential. The value is never shown."""
    for place, value in _leaves(("storage",), values):
        if _is_secret(place, value):
            raise ConfigError(
                f"setting {'.'.join(place)!r} looks like a credential. A recipe is copied and shared, so it must hold none: each machine, "
                f"the submitting one and every worker, brings its own. {WHERE.get(place[1], WHERE[''])}"
            )


EVERYWHERE = "on this machine and on every worker"

HUB_LOGIN = "`hf auth login` (or set HF_TOKEN)"

WHERE = {
    "abfs": "For Azure: a managed identity, `az login`, or the AZURE_* variables of that process.",
    "gs": "For Google: the service account of the machine or pod, `gcloud auth application-default login`, or "
    "GOOGLE_APPLICATION_CREDENTIALS of that process.",
    "hf": f"For the Hub: {HUB_LOGIN}.",
    "s3": "For S3: a role of the machine or pod, ~/.aws/credentials with `profile`, or the AWS_* variables of that process.",
    "": "See the documentation of the file system for where it looks on the machine itself.",
}
"""Where each machine looks for credentials, by section."""

PACKAGES = {
    "abfs": "pip install adlfs",
    "gs": "pip install 'spanmill[gcs]'",
    "hf": "pip install 'spanmill[hub]'",
    "s3": "pip install 'spanmill[s3]'",
    "sftp": "pip install paramiko",
    "smb": "pip install smbprotocol",
}
"""How to get what a protocol needs, by section."""

_ALIASES = {"s3a": "s3", "gcs": "gs", "az": "abfs", "abfss": "abfs", "ssh": "sftp", "https": "http"}


def protocol_of(path: str) -> str:
    """Empty for a disk; the innermost of a chain such as simplecache::s3://bucket."""
    before, found, _ = path.rpartition("://")
    protocol = before.rpartition("::")[2] if found else ""
    return "" if protocol in ("file", "local") else protocol


def section_of(path: str) -> str:
    """The table below `storage` that is for this path: s3 for s3a://bucket."""
    protocol = protocol_of(path)
    return _ALIASES.get(protocol, protocol)


_SECRET_NAMES = re.compile(
    r"secret|passw|passphrase|token|credential|authorization|cookie|signature$|connectionstring|(account|access|api|private|customer)key"
    r"|^(key|auth|pkey|sas|pwd)$"
)
_SECRET_VALUES = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{12,}|-----BEGIN|\bhf_[A-Za-z0-9]{16,}|AccountKey=|SharedAccess|[?&](sig|X-Amz-Signature)=|://[^/@\s]*:[^/@\s]*@"
)
_MODES = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
"""What gcsfs calls a token and is none: ways to find one."""


def _is_secret(place: tuple[str, ...], value: Any) -> bool:
    if isinstance(value, bool) or value in ("", None):
        return False
    if place[1:] == ("gs", "token") and value in _MODES:
        return False
    names = (re.sub(r"[^a-z0-9]", "", step.lower()) for step in place)
    return any(map(_SECRET_NAMES.search, names)) or (isinstance(value, str) and bool(_SECRET_VALUES.search(value)))


def _leaves(place: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(place, value) of each value below `value`; items of a list have the place of the list."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves((*place, str(name)), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(place, inner)
    else:
        yield place, value

"""How the hub and its store of large files answer one request; see hub_server.py."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from hub_data import Dataset, Fault, Seen, Stored

if TYPE_CHECKING:
    from hub_server import HubServer

API = re.compile(r"^/api/(datasets|models|spaces)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|refs))?(?:/(.*))?$")
RESOLVE = re.compile(r"^/datasets/([^/]+/[^/]+)/resolve/(.+)$")


class AnswerError(Exception):
    """An answer other than 200, in the hub's words and headers."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Handler(BaseHTTPRequestHandler):
    """The hub."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement of its head

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def route(self) -> None:
        """Answers, or raises AnswerError."""
        url = urlsplit(self.path)
        if found := API.match(url.path):
            kind, name, what, place = found.groups()
            dataset = self._dataset(name if kind == "datasets" else "")
            revision, _, rest = (place or "main").partition("/")
            answers = {"tree": self._tree, "paths-info": self._paths_info, "refs": self._refs}
            answers.get(what, self._info)(dataset, unquote(revision), unquote(rest))
        elif found := RESOLVE.match(url.path):
            dataset = self._dataset(found[1])
            revision, _, rest = found[2].partition("/")
            self._resolve(dataset, unquote(revision), unquote(rest))
        else:
            raise AnswerError(404, "Sorry, we can't find the page you are looking for.")

    def _info(self, dataset: Dataset, revision: str, _: str) -> None:
        sha = self._commit(dataset, revision)
        info = {"id": dataset.name, "sha": sha, "private": dataset.private, "gated": "auto" if dataset.gated else False}
        if "expand" not in parse_qs(urlsplit(self.path).query):
            info["siblings"] = [{"rfilename": path} for path in dataset.commits[sha]]
        self._send_json(info)

    def _tree(self, dataset: Dataset, revision: str, folder: str) -> None:
        """Files and folders below a folder, in pages that a Link header chains."""
        if dataset.lists_are_gated:
            self._pass_gate(dataset)
        sha = self._commit(dataset, revision)
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        entries = _below(dataset.commits[sha], folder, query.get("recursive", "").lower() == "true")
        if not entries:
            raise AnswerError(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
        start = int(query.pop("cursor", "0"))
        stop = start + self.hub.page_size
        headers = {}
        if stop < len(entries):
            following = f"{self.hub.url}{urlsplit(self.path).path}?{urlencode({**query, 'cursor': stop})}"
            headers["Link"] = f'<{following}>; rel="next"'
        self._send_json(entries[start:stop], headers)

    def _paths_info(self, dataset: Dataset, revision: str, _: str) -> None:
        if dataset.lists_are_gated:
            self._pass_gate(dataset)
        tree = dataset.commits[self._commit(dataset, revision)]
        wanted = parse_qs(self.posted.decode()).get("paths", [])
        self._send_json([tree[path].entry(path) for path in wanted if path in tree])

    def _refs(self, dataset: Dataset, *_: str) -> None:
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in dataset.branches.items()]
        self._send_json({"branches": branches, "converts": [], "tags": []})

    def _resolve(self, dataset: Dataset, revision: str, path: str) -> None:
        """A plain file's bytes; for a large one a redirect to the store that carries all that HEAD asks for."""
        self._pass_gate(dataset)
        sha = self._commit(dataset, revision)
        stored = dataset.commits[sha].get(path)
        if stored is None:
            raise AnswerError(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": f'"{stored.blob_id}"'}
        if not stored.large:
            self._send_bytes(stored.content, headers)
            return
        linked = {"X-Linked-Size": str(len(stored.content)), "X-Linked-Etag": f'"{stored.sha256}"'}
        self._send(302, b"", {**headers, **linked, "Location": f"{self.hub.store_url}/lfs/{stored.sha256}?signature=abc"})

    def _dataset(self, name: str) -> Dataset:
        """Anonymous askers are not told whether a repository is not there or hidden."""
        if self.token and self.token not in self.hub.tokens:
            raise AnswerError(401, "Invalid credentials in Authorization header")
        dataset = self.hub.datasets.get(name)
        if dataset is None or (dataset.private and name not in self.hub.tokens.get(self.token, ())):
            known, unknown = (
                AnswerError(404, "Repository not found", "RepoNotFound"),
                AnswerError(401, "Invalid username or password."),
            )
            raise known if self.token else unknown
        return dataset

    def _pass_gate(self, dataset: Dataset) -> None:
        if not dataset.gated or dataset.name in self.hub.tokens.get(self.token, ()):
            return
        restricted = f"Access to dataset {dataset.name} is restricted"
        if not self.token:
            raise AnswerError(401, f"{restricted}. You must be authenticated to access it.", "GatedRepo")
        raise AnswerError(403, f"{restricted} and you are not in the authorized list.", "GatedRepo")

    def _commit(self, dataset: Dataset, revision: str) -> str:
        sha = dataset.at(revision)
        if sha is None:
            raise AnswerError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def _answer(self) -> None:
        self.posted = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.fault = self.hub.fault_of(self.path)
        self.record = self._recorded()
        try:
            if self.fault.hang_up:
                self.close_connection = True
                return
            if self.fault.status:
                self._send(self.fault.status, self.fault.body.encode(), self.fault.headers)
                return
            self.route()
        except AnswerError as answer:
            headers = {"X-Error-Message": answer.message, **({"X-Error-Code": answer.code} if answer.code else {})}
            self._send_json({"error": answer.message}, headers, answer.status)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _recorded(self) -> Seen:
        self.hub.seen.append(Seen(self.command, self.path, self.headers.get("Range", ""), self.token))
        return self.hub.seen[-1]

    def _send_json(self, value: object, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send_bytes(self, content: bytes, headers: dict[str, str]) -> None:
        """The content, or the one range asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._send(200, content, headers)
            return
        start, stop = int(asked[1]), min(int(asked[2] or len(content)) + 1, len(content))
        if start >= len(content):
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        self._send(206, content[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault: Fault = self.fault
        if status in (200, 206):
            body = body[: max(0, len(body) - fault.short_by)]
            body = body[:4] + b"\xff" * len(body[4:60]) + body[60:] if fault.alter else body
        self.record.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.stall:
            self.hub.released.wait(20)
        whole = fault.cut_after < 0 and not fault.stall
        sent = body if whole else body[: max(0, fault.cut_after)]
        self.wfile.write(sent)
        self.record.sent = len(sent)
        self.close_connection = self.close_connection or not whole


class StoreHandler(Handler):
    """The store of large files. Its URLs are signed, so it asks for no token."""

    def route(self) -> None:
        """Answers, or raises AnswerError."""
        stored: Stored | None = self.hub.large(urlsplit(self.path).path.removeprefix("/lfs/"))
        if stored is None:
            raise AnswerError(404, "NoSuchKey")
        self._send_bytes(stored.content, {"ETag": f'"{stored.sha256}"', "Accept-Ranges": "bytes"})


def _below(tree: dict[str, Stored], folder: str, recursive: bool) -> list[dict[str, object]]:
    """Entries of a listing: the folders first, as the hub lists them."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, object]] = {}
    folders: dict[str, dict[str, object]] = {}
    for path, stored in tree.items():
        if not path.startswith(prefix):
            continue
        steps = path[len(prefix) :].split("/")
        for depth in range(1, len(steps) if recursive else min(len(steps), 2)):
            name = prefix + "/".join(steps[:depth])
            folders[name] = {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
        if recursive or len(steps) == 1:
            found[path] = stored.entry(path)
    return [*folders.values(), *found.values()]

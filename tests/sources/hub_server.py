"""A hub on this machine: the part of the Hugging Face hub's HTTP protocol that reading a data set takes, and its failures.

Two servers on 127.0.0.1, each with a thread a connection. One answers as the hub does (repo info, tree listings in pages, paths-info,
refs, resolve); the other stands for the store of large files, which the hub redirects to, on another origin.

    with HubServer() as hub:
        hub.dataset("bigcode/starcoderdata").commit({"python/a.parquet": b"..."})
        hub.fail(r"/lfs/", Fault(cut_after=1000))          # the next request whose path matches
        hub.seen                                           # every request, in the order in which they came

What it does not do: Xet transfers (HfFileSystem reads ranges by plain HTTP even where Xet is installed), uploads, TLS. Without TLS
the client does not turn a bare 401 into RepositoryNotFoundError, as it does for https URLs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

from hub_data import Dataset, Fault, Seen, Stored
from hub_handler import Handler, StoreHandler


class HubServer:
    """See the module. A context manager."""

    def __init__(self, page_size: int = 1000) -> None:
        self.page_size = page_size
        self.datasets: dict[str, Dataset] = {}
        self.tokens: dict[str, set[str]] = {}
        """Names of the gated and private data sets that the holder of a token may read."""
        self.seen: list[Seen] = []
        self.released = threading.Event()
        """Ends the stalls."""
        self._faults: list[tuple[re.Pattern[str], Fault]] = []
        self._lock = threading.Lock()
        self._servers = [self._serve(Handler), self._serve(StoreHandler)]
        self.url, self.store_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def dataset(self, name: str, **settings: bool) -> Dataset:
        """A new data set; see Dataset for its settings."""
        self.datasets[name] = Dataset(name, **settings)
        return self.datasets[name]

    def fail(self, path: str, fault: Fault) -> None:
        """Requests whose path (with the query) the pattern finds meet the fault; the first added that is not used up counts."""
        self._faults.append((re.compile(path), fault))

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def fault_of(self, path: str) -> Fault:
        """The fault that a request meets, counted down; one that does nothing if there is none."""
        with self._lock:
            for pattern, fault in self._faults:
                if fault.times and pattern.search(path):
                    fault.times -= 1
                    return fault
        return Fault()

    def large(self, sha256: str) -> Stored | None:
        """A large file by its digest."""
        return next((each for each in self._stored() if each.large and each.sha256 == sha256), None)

    def count(self, pattern: str) -> int:
        """Requests so far whose path the pattern finds."""
        return len(self.requests(pattern))

    def requests(self, pattern: str) -> list[Seen]:
        """Requests so far whose path the pattern finds."""
        return [each for each in list(self.seen) if re.search(pattern, each.path)]

    def _stored(self) -> Iterator[Stored]:
        for dataset in self.datasets.values():
            for tree in dataset.commits.values():
                yield from tree.values()

    def _serve(self, handler: type[Handler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type(handler.__name__, (handler,), {"hub": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

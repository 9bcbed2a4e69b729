"""One background thread that works ahead. Threads suffice: reading a batch is page faults and copies, which release the GIL."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

POLL_SECONDS = 0.05
"""How soon the thread notices that nobody listens any more."""


@dataclass(frozen=True)
class _End:
    """Nothing follows; `error` says why, if it was not the end of the items."""

    error: BaseException | None


def prefetch(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same items, up to `depth` of them made ahead in a thread.

    An error of `items` is raised here, in its place in the order. The thread ends when the items do, or when the iterator that
    is returned here is closed or collected.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, stop), name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def _fill(items: Iterable[Item], ready: queue.Queue[Item | _End], stop: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not _put(ready, item, stop):
                return
    except BaseException as raised:
        error = raised
    _put(ready, _End(error), stop)


def _put(ready: queue.Queue[Item | _End], item: Item | _End, stop: threading.Event) -> bool:
    """Waits for room; False if the reader left meanwhile."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False

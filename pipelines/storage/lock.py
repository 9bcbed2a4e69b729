"""Keeping a second run out of a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from contracts.errors import OutputError
from pipelines.storage.errors import writing
from pipelines.storage.systems import file_system, is_disk, refuse_hub

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(run_dir: str) -> Iterator[None]:
    """Holds a run's folder for this process, on a local disk; the lock goes with the process, however it ends.

    A folder that was not there before, and in which nothing was made, is removed again.

    Raises OutputError if another process holds it, ConfigError for a URL that cannot be opened or written. Stores have no locks, so nothing
    keeps two runs out of one folder there. Two of the same recipe and corpus write the same bytes under the same names: they waste time,
    and one may stop with an error when the other commits a stage and removes the receipts; its next start finds the stage made. Two of
    different recipes have their receipts in different folders, but their files under the same names: the one that commits last is as its
    manifest says only if the other wrote nothing after it. `spanmill verify`, and every stage that reads another, compare files with the
    digests in the manifest and say so. Give each recipe a folder of its own.
    """
    refuse_hub(run_dir)
    with writing(run_dir):
        fs, name = file_system(run_dir)
    if fcntl is None or not is_disk(fs):
        yield
        return
    with writing(run_dir):
        ours = not os.path.isdir(name)
        os.makedirs(name, exist_ok=True)
        lock_path = os.path.join(name, ".lock")
        open(lock_path, "ab").close()
    with open(lock_path, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.stat(lock_path)  # it is gone if a run that made nothing has just ended
        except OSError:
            raise OutputError(f"Another run is at work in {run_dir}: wait for it to end, or choose another --output.") from None
        try:
            yield
        finally:
            if ours:
                _leave(name, lock_path)


def _leave(folder: str, lock_path: str) -> None:
    """Removes a folder in which nothing but the lock's file is."""
    with suppress(OSError):
        if os.listdir(folder) == [os.path.basename(lock_path)]:
            os.unlink(lock_path)
            os.rmdir(folder)

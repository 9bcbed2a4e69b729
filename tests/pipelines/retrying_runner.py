"""A runner that does what engines may do at their worst: every bundle runs two and a half times, twice of them at once.

    1. half of its elements, whose receipts are then taken away: a worker that died after it wrote and before it said so
    2. all of it, twice at the same time; the outputs of one are thrown away, as of a backup copy of a slow task

Chosen with --runner=retrying_runner.RetryingRunner; RECEIPTS names the folder below which receipts appear.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from apache_beam.runners.portability.fn_api_runner import execution
from apache_beam.runners.portability.fn_api_runner.fn_runner import BundleManager, FnApiRunner

RECEIPTS = "SPANMILL_TEST_RECEIPTS"

COUNTS = {"half": 0, "twice": 0, "receipts taken away": 0}
"""What was done, so that a test can tell that it was."""


class RetryingRunner(FnApiRunner):
    """See above."""

    def _get_bundle_manager(self, bundle_context_manager: execution.BundleContextManager) -> BundleManager:
        return _RetryingBundleManager(bundle_context_manager)


class _RetryingBundleManager(BundleManager):
    def process_bundle(self, inputs: Any, expected_outputs: Any, timers: Any, expected_timers: Any, dry_run: bool = False) -> Any:
        before = _receipts()
        half = {name: _Encoded(buffer.partition(2)[0]) for name, buffer in inputs.items()}
        self._once(half, expected_outputs, timers, expected_timers, dry_run=True)
        COUNTS["half"] += 1
        for path in _receipts() - before:
            path.unlink()
            COUNTS["receipts taken away"] += 1
        with ThreadPoolExecutor(1) as beside:
            backup = beside.submit(self._once, inputs, expected_outputs, timers, expected_timers, dry_run=True)
            result = self._once(inputs, expected_outputs, timers, expected_timers, dry_run=dry_run)
            backup.result()
        COUNTS["twice"] += 1
        return result

    def _once(self, inputs: Any, expected_outputs: Any, timers: Any, expected_timers: Any, dry_run: bool) -> Any:
        one = BundleManager(self.bundle_context_manager)
        return one.process_bundle(inputs, expected_outputs, timers, expected_timers, dry_run)


class _Encoded(list[bytes]):
    """Encoded elements, as bundle managers take them."""


def _receipts() -> set[Path]:
    names = (Path(folder, name) for folder, _, found in os.walk(os.environ[RECEIPTS]) if ".progress" in folder for name in found)
    return {path for path in names if path.stem.isdigit() and path.suffix == ".json" and path.parent.name != "work"}

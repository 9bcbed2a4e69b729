"""What a worker gets instead of a DoFn of ours: an envelope that any Python with Beam can take, and opens when there is work.

Java runners (Spark, Flink) wait for ever for a worker that fails while it unpickles a bundle or sets it up. A worker without Spanmill, or
with another version of it, must therefore fail later: while it does the bundle, which they report. So this class, alone of all, is
pickled by value; it names nothing of Spanmill.
"""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.internal.cloudpickle import cloudpickle


class Envelope(beam.DoFn):
    """A DoFn that holds another one pickled, and becomes it at the first element. Its `setup` is called then, too."""

    def __init__(self, content: beam.DoFn) -> None:
        super().__init__()
        self._sealed = pickle.dumps(content)
        self._opened: Any = None

    def process(self, element: Any) -> Iterator[Any]:
        """What the DoFn inside makes of it."""
        if self._opened is None:
            try:
                opened = pickle.loads(self._sealed)
            except Exception as error:
                raise RuntimeError(
                    f"the worker on {socket.gethostname()} cannot load its work: {type(error).__name__}: {error}"
                ) from None
            opened.setup()
            self._opened = opened
        yield from self._opened.process(element)


cloudpickle.register_pickle_by_value(sys.modules[__name__])

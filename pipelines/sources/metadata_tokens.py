"""The metadata that StarCoderData stores in front of a text.

    <reponame>NAME<filename>PATH<gh_stars>BUCKET        each of the three is there with probability 0.2, in this order;
    CODE                                                without any of them there is no first line either

Source: bigcode's preprocessing code; BUCKET is one of 0, 1-10, 10-100, 100-1000, 1000+.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrow_text import text_buffers
from contracts.special_tokens import MARKS_OF_KIND

_TOKENS = ("<reponame>", "<filename>", "<gh_stars>", *MARKS_OF_KIND["issue"], *MARKS_OF_KIND["commit"], *MARKS_OF_KIND["notebook"])

_VALUE = b"((?:(?!" + b"|".join(re.escape(token.encode()) for token in _TOKENS) + rb")[^\n]){1,4096})"
"""A name or path: on one line, and no token in it that may follow. 4,096 bytes is the longest path of Linux (PATH_MAX)."""

_METADATA = re.compile(
    rb"(?=<)(?:<reponame>" + _VALUE + rb")?(?:<filename>" + _VALUE + rb")?(?:<gh_stars>([0-9]+(?:-[0-9]+|\+)?))?\n"
)

_LONGEST = 2 * 4096 + 256


class Metadata(NamedTuple):
    """Columns of n documents."""

    text: pa.LargeStringArray
    repo: pa.StringArray
    path: pa.StringArray
    stars: pa.Int64Array


def take_metadata(text: pa.LargeStringArray, repo: pa.StringArray, path: pa.StringArray, stars: pa.Int64Array) -> Metadata:
    """The texts without the metadata at their very start, and the columns with what it said.

    A bucket fills `stars` only where the count is null and the bucket is a plain number, not a range such as "10-100".
    Cost: texts that do not begin with a token are only looked at for one byte; the others are copied.
    """
    data, offsets = text_buffers(text)
    starts = np.array(offsets[:-1])
    found: dict[str, dict[int, str]] = {"repo": {}, "path": {}, "stars": {}}
    for i in _beginning_with_bracket(offsets, data):
        head = data[starts[i] : min(starts[i] + _LONGEST, offsets[i + 1])].tobytes()
        if match := _METADATA.match(head):
            starts[i] += match.end()
            for name, value in zip(found, match.groups(), strict=True):
                if value is not None:
                    found[name][int(i)] = value.decode()
    if np.array_equal(starts, offsets[:-1]):
        return Metadata(text, repo, path, stars)
    counts = pa.array([int(found["stars"][i]) if _plain(found["stars"].get(i)) else None for i in range(len(text))], pa.int64())
    return Metadata(_from(text, starts), _replaced(repo, found["repo"]), _replaced(path, found["path"]), pc.coalesce(stars, counts))


def _beginning_with_bracket(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Rows whose first byte is "<"."""
    filled = np.flatnonzero(np.diff(offsets))
    rows: npt.NDArray[np.int64] = filled[data[offsets[filled]] == ord("<")]
    return rows


def _plain(bucket: str | None) -> bool:
    return bucket is not None and bucket.isdigit() and len(bucket) <= 18


def _replaced(column: pa.StringArray, found: dict[int, str]) -> pa.StringArray:
    values = pa.array([found.get(i) for i in range(len(column))], pa.string())
    return pc.coalesce(values, column)


def _from(text: pa.LargeStringArray, starts: npt.NDArray[np.int64]) -> pa.LargeStringArray:
    """Each text from `starts` (int64[n], positions in the data buffer) to its end."""
    data, offsets = text_buffers(text)
    view = memoryview(data.data)
    joined = b"".join([view[start:stop] for start, stop in zip(starts.tolist(), offsets[1:].tolist(), strict=True)])
    ends = np.concatenate([[0], np.cumsum(offsets[1:] - starts)]).astype(np.int64)
    return pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(ends), pa.py_buffer(joined))

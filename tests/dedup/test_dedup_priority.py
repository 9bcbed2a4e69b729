"""Sort keys against Python's order of tuples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.priority import KEY, MOST, license_places, priority_keys

NAMES = ["MIT", "Apache-2.0", "BSD-3-Clause", "GPL-3.0-only"]

values = st.sampled_from([-1, 0, 1, 255, 256, 2**31, 2**63 - 1]) | st.integers(-1, 2**63 - 1)
"""Of a criterion, larger is better: stars with -1 for unknown, lengths, places of licences."""
few_bytes = st.sampled_from([b"\0", b"\x01", b"\x7f", b"\x80", b"\xff"])
doc_ids = st.lists(few_bytes, min_size=16, max_size=16).map(b"".join) | st.sampled_from(
    [bytes(16), b"\xff" * 16, b"a" * 8 + bytes(8), bytes(8) + b"a" * 8, b"a" + bytes(15), bytes(15) + b"a"]
)
licenses = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)

Document = tuple[list[int], bytes, int]
"""criteria, doc_id, place of its reference among the references"""

OWN = 3
"""Stands for the place of what is no reference."""


def documents(criteria: int) -> st.SearchStrategy[list[Document]]:
    one = st.tuples(st.lists(values, min_size=criteria, max_size=criteria), doc_ids, st.integers(0, OWN))
    return st.lists(one, max_size=20, unique_by=lambda document: document[1])


def keys_of(found: list[Document]) -> npt.NDArray[np.bytes_]:
    """Made reference by reference and part by part, as the stage does."""
    keys = np.empty(len(found), KEY)
    for place in range(OWN + 1):
        mine = [at for at, document in enumerate(found) if document[2] == place]
        columns = [np.array(column, np.int64) for column in zip(*(found[at][0] for at in mine), strict=True)]
        ids = np.frombuffer(b"".join(found[at][1] for at in mine), np.uint8).reshape(-1, 16)
        keys[mine] = priority_keys(columns, ids, reference=True, place=place) if place < OWN else priority_keys(columns, ids)
    return keys


@given(found=st.integers(0, MOST).flatmap(documents))
def test_keys_sort_as_tuples_do(found: list[Document]) -> None:
    keys = keys_of(found)
    order = sorted(range(len(found)), key=lambda at: (found[at][2], [-value for value in found[at][0]], found[at][1]))
    assert np.argsort(keys).tolist() == order
    assert np.unique(keys).tolist() == keys[order].tolist()
    for cut in range(len(order)):
        assert np.searchsorted(keys[order], keys[order[cut]], side="right") == cut + 1


@given(found=st.integers(0, MOST).flatmap(documents))
def test_a_key_ends_with_the_doc_id(found: list[Document]) -> None:
    """Not by way of `tobytes` of a single key: numpy leaves out the zeros at its end."""
    keys = keys_of(found)
    assert [row.tobytes()[-16:] for row in keys.view(np.uint8).reshape(len(keys), KEY.itemsize)] == [
        document[1] for document in found
    ]


def test_references_come_before_all_others_in_their_order() -> None:
    zero, last = np.zeros((1, 16), np.uint8), np.full((1, 16), 255, np.uint8)
    best, worst = np.array([2**63 - 1]), np.array([-1])
    of_references = [priority_keys([worst], last, reference=True, place=place) for place in (0, 1, 255, 256)]
    better = [priority_keys([best], zero, reference=True, place=place) for place in (1, 255, 256)] + [priority_keys([best], zero)]
    assert all(one < other for one, other in zip(of_references, better, strict=True))


def test_no_documents() -> None:
    assert priority_keys([np.zeros(0, np.int64)], np.zeros((0, 16), np.uint8)).tolist() == []
    assert license_places([], {"MIT": 0}).tolist() == []


@given(every=st.lists(licenses, max_size=20), listed=st.permutations(NAMES).map(lambda names: names[:2]))
def test_license_places_order_documents_by_their_last_licence(every: list[list[str]], listed: list[str]) -> None:
    def rank(names: list[str]) -> int:
        """0, 1 … for the place of the last that is listed, then not listed, then unknown."""
        if not names:
            return len(listed) + 1
        return max(listed.index(name) if name in listed else len(listed) for name in names)

    places = license_places(every, {name: at for at, name in enumerate(listed)}).tolist()
    assert places == [len(listed) + 1 - rank(names) for names in every]


@pytest.mark.parametrize(
    ("names", "place"),
    [(["MIT"], 3), (["Apache-2.0"], 2), (["MIT", "Apache-2.0"], 2), (["MIT", "GPL-3.0-only"], 1), (["GPL-3.0-only"], 1), ([], 0)],
)
def test_license_places_of_one_document(names: list[str], place: int) -> None:
    assert license_places([names], {"MIT": 0, "Apache-2.0": 1}).tolist() == [place]

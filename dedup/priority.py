"""Which of two similar documents is the one to keep: the order in which the greedy rule visits documents.

A document's priority is compared criterion by criterion, in the order of the setting `priority`; doc_id decides last, so no two are
equal. Documents of reference corpora come before all others, those of the first before those of the second.

    stars    more first; unknown counts as fewer than none
    length   longer first, in bytes of UTF-8
    license  earlier in `license_order` first: the last of a document's licences counts, as all of them hold; then those not listed,
             then documents of no known licence
    source   earlier in `source_order` first; then those not listed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from dedup.arrays import Int64, Rows, UInt8

MOST: Final = 4
"""Criteria that a key has room for."""

KEY: Final = np.dtype("S56")
"""A sort key: eight bytes for the corpus, eight a criterion, sixteen of doc_id, all big-endian, so that keys compare as bytes."""


def priority_keys(criteria: Sequence[Int64], doc_id: UInt8, *, reference: bool = False, place: int = 0) -> Rows:
    """KEY[n]: sort keys, the smallest for the document to keep above all others.

    `criteria`: up to MOST of int64[n], larger is better, -1 or more; `doc_id` uint8[n, 16]. `place`: of a
    reference among the references, from 0.
    """
    columns = np.zeros((len(doc_id), 3 + MOST), ">u8")
    columns[:, 0] = place if reference else np.iinfo(np.int64).max
    for at, values in enumerate(criteria, start=1):
        columns[:, at] = np.iinfo(np.int64).max - values
    columns[:, 1 + MOST :] = np.ascontiguousarray(doc_id).view(">u8").reshape(len(doc_id), 2)
    return columns.view(KEY).reshape(len(doc_id))


def doc_ids(keys: Rows) -> Rows:
    """V16[n]: the doc_id of each sort key."""
    return np.ascontiguousarray(keys.view(np.uint8).reshape(len(keys), KEY.itemsize)[:, -16:]).view("V16").reshape(len(keys))


def license_places(licenses: Sequence[Sequence[str]], order: Mapping[str, int]) -> Int64:
    """int64[n]: criterion `license` of documents, larger is better. `order` gives the place of each listed licence, from 0."""
    last = len(order)
    places = [max((order.get(each, last) for each in every), default=last + 1) for every in licenses]
    return last + 1 - np.asarray(places, np.int64)

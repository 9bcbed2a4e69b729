"""The licence of an installed distribution, in SPDX's words, from its own metadata."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageMetadata
from typing import Final

from license_expression import ExpressionError

from pipelines.sources.licenses import UNRECOGNIZED, Licenses, licensing, recognize

_ANY_BSD: Final = ("BSD-2-Clause", "BSD-3-Clause")
"""What the words "BSD License" may mean under the OSI classifier; the four-clause licence was never OSI approved."""

_CLASSIFIERS: Final[dict[str, tuple[str, ...]]] = {
    "Academic Free License (AFL)": ("AFL-3.0",),
    "Apache Software License": ("Apache-2.0",),
    "Artistic License": ("Artistic-2.0",),
    "BSD License": _ANY_BSD,
    "Boost Software License 1.0 (BSL-1.0)": ("BSL-1.0",),
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": ("CC0-1.0",),
    "Eclipse Public License 1.0 (EPL-1.0)": ("EPL-1.0",),
    "Eclipse Public License 2.0 (EPL-2.0)": ("EPL-2.0",),
    "GNU Affero General Public License v3": ("AGPL-3.0-only",),
    "GNU Affero General Public License v3 or later (AGPLv3+)": ("AGPL-3.0-or-later",),
    "GNU General Public License (GPL)": ("GPL-1.0-or-later",),
    "GNU General Public License v2 (GPLv2)": ("GPL-2.0-only",),
    "GNU General Public License v2 or later (GPLv2+)": ("GPL-2.0-or-later",),
    "GNU General Public License v3 (GPLv3)": ("GPL-3.0-only",),
    "GNU General Public License v3 or later (GPLv3+)": ("GPL-3.0-or-later",),
    "GNU Lesser General Public License v2 (LGPLv2)": ("LGPL-2.0-only",),
    "GNU Lesser General Public License v2 or later (LGPLv2+)": ("LGPL-2.0-or-later",),
    "GNU Lesser General Public License v3 (LGPLv3)": ("LGPL-3.0-only",),
    "GNU Lesser General Public License v3 or later (LGPLv3+)": ("LGPL-3.0-or-later",),
    "GNU Library or Lesser General Public License (LGPL)": ("LGPL-2.0-or-later",),
    "Historical Permission Notice and Disclaimer (HPND)": ("HPND",),
    "ISC License (ISCL)": ("ISC",),
    "MIT License": ("MIT",),
    "MIT No Attribution License (MIT-0)": ("MIT-0",),
    "Mozilla Public License 1.1 (MPL 1.1)": ("MPL-1.1",),
    "Mozilla Public License 2.0 (MPL 2.0)": ("MPL-2.0",),
    "Python Software Foundation License": ("PSF-2.0",),
    "The Unlicense (Unlicense)": ("Unlicense",),
    "Universal Permissive License (UPL)": ("UPL-1.0",),
    "Zope Public License": ("ZPL-2.1",),
    "zlib/libpng License": ("Zlib",),
}
"""SPDX ids by the last step of a `License ::` classifier. A classifier without a version stands for the licence's usual one."""

_SAYS_NOTHING: Final = frozenset({"OSI Approved", "DFSG approved", "License"})

_FIELD: Final[dict[str, tuple[str, ...]]] = {
    "3-clause bsd license": ("BSD-3-Clause",),
    "apache": ("Apache-2.0",),
    "apache 2.0": ("Apache-2.0",),
    "apache license 2.0": ("Apache-2.0",),
    "apache license, version 2.0": ("Apache-2.0",),
    "apache software license": ("Apache-2.0",),
    "bsd": _ANY_BSD,
    "bsd 2-clause license": ("BSD-2-Clause",),
    "bsd 3-clause license": ("BSD-3-Clause",),
    "bsd license": _ANY_BSD,
    "isc license": ("ISC",),
    "mit license": ("MIT",),
    "new bsd license": ("BSD-3-Clause",),
    "psf": ("PSF-2.0",),
    "the mit license (mit)": ("MIT",),
}
"""SPDX ids by what `License` fields say that are no SPDX expressions, in small letters."""


def licenses_of(metadata: PackageMetadata, license_texts: Iterable[bytes]) -> Licenses:
    """License-Expression, else the classifiers, else the License field.

    Where these leave it open which licence is meant, a recognised licence file decides; if none does, all that may be meant must hold.
    """
    if expression := _value(metadata, "License-Expression"):
        return Licenses((expression,), "License-Expression of the distribution")
    stated = _classified(metadata) or _in_field(metadata)
    if stated.expressions and stated.expressions != _ANY_BSD:
        return stated
    texts = tuple(dict.fromkeys(recognize(text) for text in license_texts))
    if texts and UNRECOGNIZED not in texts:
        return Licenses(texts, "licence file of the distribution")
    return stated


def _classified(metadata: PackageMetadata) -> Licenses | None:
    steps = [line.split(" :: ") for line in metadata.get_all("Classifier", [])]
    names = [step[-1].strip() for step in steps if step[0] == "License"]
    names = [name for name in names if name not in _SAYS_NOTHING]
    found = tuple(dict.fromkeys(spdx for name in names for spdx in _CLASSIFIERS.get(name, (UNRECOGNIZED,))))
    return Licenses(found, "classifiers of the distribution") if found else None


def _in_field(metadata: PackageMetadata) -> Licenses:
    """The first line of the License field, if it is known; many distributions put the whole text there."""
    lines = _value(metadata, "License").strip().splitlines()
    words = lines[0].strip() if lines else ""
    found = _FIELD.get(words.lower()) or ((words,) if _is_expression(words) else ())
    return Licenses(found, "License field of the distribution")


def _value(metadata: PackageMetadata, key: str) -> str:
    return next(iter(metadata.get_all(key) or []), "")


def _is_expression(words: str) -> bool:
    if not words or len(words) > 200:
        return False
    try:
        licensing().parse(words, validate=True)
    except ExpressionError:
        return False
    return True

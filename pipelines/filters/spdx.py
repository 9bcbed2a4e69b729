"""Judging SPDX expressions against an allow-list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from license_expression import AND, OR, ExpressionError, LicenseSymbol, LicenseWithExceptionSymbol

from pipelines.sources.licenses import licensing

MAX_CHARACTERS: Final = 2000
"""Longer expressions are not parsed: the longest real ones name some forty licences, a hostile one would cost time and stack."""


class Allowance:
    """An allow-list. Deprecated ids and their successors count as the same: "GPL-2.0+" is "GPL-2.0-or-later"."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._keys = frozenset(canonical(each) for each in ids)

    def objection(self, expression: str) -> str:
        """Why the expression is not allowed, or "" if it is.

        AND needs both sides, OR needs one; a licence WITH an exception is allowed if the licence is, since exceptions only permit
        more; "or later" is allowed if the version named is.
        """
        if len(expression) > MAX_CHARACTERS:
            return f"expression of {len(expression)} characters, at most {MAX_CHARACTERS} are read"
        try:
            parsed = licensing().parse(expression)
        except (ExpressionError, RecursionError):
            return f"{_short(expression)} is no SPDX expression"
        return self._judge(parsed) if parsed is not None else "empty expression"

    def _judge(self, node: Any) -> str:
        if isinstance(node, AND):
            return next((words for each in node.args if (words := self._judge(each))), "")
        if isinstance(node, OR):
            objections = [self._judge(each) for each in node.args]
            return "" if "" in objections else "; ".join(objections)
        if isinstance(node, LicenseWithExceptionSymbol):
            return self._judge(node.license_symbol)
        return self._judge_license(node)

    def _judge_license(self, symbol: LicenseSymbol) -> str:
        if symbol.key in self._keys or symbol.key.removesuffix("+") in self._keys:
            return ""
        words = "is not allowed" if is_known(symbol.key) else "is not an SPDX id, nor named in the allow-list"
        return f"{_short(symbol.key)} {words}"


def canonical(spdx_id: str) -> str:
    """The present id for a deprecated one; an unknown id as it is. Raises ValueError for what is no single id."""
    try:
        parsed = licensing().parse(spdx_id)
    except ExpressionError:
        parsed = None
    if not isinstance(parsed, LicenseSymbol):
        raise ValueError(
            f"{spdx_id!r} is not a licence id; name one SPDX id or LicenseRef- name an entry, expressions are not allowed"
        )
    return str(parsed.key)


def is_known(key: str) -> bool:
    """Whether an id is on the SPDX list."""
    return key in licensing().known_symbols


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:99]}…")

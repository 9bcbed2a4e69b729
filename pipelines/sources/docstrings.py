"""The natural language of a Python module: its docstrings as one document.

numpy.linalg

    Linear algebra …

numpy.linalg.norm

    Matrix or vector norm. …
"""

from __future__ import annotations

import ast
import inspect
import threading
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath

_WARNINGS = threading.Lock()
"""Warning filters belong to the process, so only one thread at a time may change them."""

_QUOTES = b'"' * 3

Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(source: bytes, path: str) -> str:
    """Every docstring of a module under its qualified name, in the order of the file; "" if it has none or does not parse.

    About 6 MB of source a second, nearly all of it Python's parser.
    """
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return "\n".join(f"{name}\n\n{doc}\n" for name, doc in _walk(module, module_name(path)))


def module_name(path: str) -> str:
    """Dotted name of a module: "numpy/linalg/__init__.py" is numpy.linalg."""
    steps = PurePosixPath(path).with_suffix("").parts
    return ".".join(steps[:-1] if steps[-1] == "__init__" and len(steps) > 1 else steps)


def estimated_bytes(source: bytes) -> int:
    """Bytes between pairs of triple double quotes: what the docstrings come to, without parsing."""
    return sum(len(piece) for piece in source.split(_QUOTES)[1::2])


def _walk(node: Node, name: str) -> Iterator[tuple[str, str]]:
    doc = ast.get_docstring(node, clean=False)
    if doc and doc.strip():
        yield name, inspect.cleandoc(doc)
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(child, f"{name}.{child.name}")

"""What a clear error is: one that the library raises itself, of a fitting type, with a message."""

from __future__ import annotations

import ast
import functools
import os
import pathlib
import traceback
from collections.abc import Sequence

import recsim

__all__ = ["FITTING", "assert_clear", "unclear"]

_PACKAGE = os.path.dirname(recsim.__file__)

#: What wrong input may raise.
FITTING = (TypeError, ValueError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError)


@functools.cache
def _raising_lines(path: str) -> frozenset[int]:
    """Returns the lines of a file that belong to its raise statements."""
    tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))
    return frozenset(
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )


def unclear(
    error: BaseException, naming: Sequence[str] = (), naming_one_of: Sequence[str] = ()
) -> str | None:
    """Returns why an error is not a clear one, None if it is one.

    The innermost frame has to be a ``raise`` of the library's own: an error that comes out of
    NumPy, or out of an expression in the library, tells the user nothing about the argument.

    Args:
        error: the error.
        naming: what its message has to contain.
        naming_one_of: of these it has to contain one at least.
    """
    if not isinstance(error, FITTING):
        return f"{type(error).__name__} is of no fitting type: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return None  # The system's own, which names the file.
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    path = frame.f_code.co_filename
    if not path.startswith(_PACKAGE) or line not in _raising_lines(path):
        return f"{type(error).__name__} was raised at {path}:{line}, by no raise of ours: {error}"
    if len(str(error)) < 20:
        return f"{type(error).__name__} at {path}:{line} says too little: {error}"
    if missing := [word for word in naming if word not in str(error)]:
        return f"{type(error).__name__} at {path}:{line} does not name {missing}: {error}"
    if naming_one_of and not any(word in str(error) for word in naming_one_of):
        return f"{type(error).__name__} at {path}:{line} names none of {naming_one_of}: {error}"
    return None


def assert_clear(
    error: BaseException, naming: Sequence[str] = (), naming_one_of: Sequence[str] = ()
) -> None:
    """Raises AssertionError, from an error, unless that is a clear one; see :func:`unclear`."""
    reason = unclear(error, naming, naming_one_of)
    if reason is not None:
        raise AssertionError(reason) from error

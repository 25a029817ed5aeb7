"""Keys and keywords that nothing reads.

In what this library invented they are an error. In RecSim's dictionaries, where code passes further
keys that RecSim ignores, they are a warning. Both name the nearest known one.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

__all__ = [
    "MISSPELLED",
    "UnusedBindingError",
    "parameters_of",
    "refuse_unknown",
    "refusing_bound",
    "similarity_for",
    "stacklevel_of_caller",
    "warn_of_unknown",
]

#: From this similarity (difflib's ratio) on a key is taken for a misspelled one.
MISSPELLED = 0.6

# From this similarity on a known name is suggested.
_NEAR = 0.5

# What gin binds, as it is written, by the name of the argument, where that must not be lost.
_refused: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    "refused", default=None
)


class UnusedBindingError(ValueError):
    """A gin binding of an argument that nothing reads."""


@contextlib.contextmanager
def refusing_bound(bound: Mapping[str, str]) -> Iterator[None]:
    """Lets an unknown argument that gin binds be an error in the block, where it is a warning else.

    Args:
        bound: what gin binds, such as ``'ClusterBanditAgent.ci_scaling'``, by the argument's name.
    """
    token = _refused.set(bound)
    try:
        yield
    finally:
        _refused.reset(token)


def warn_of_unknown(
    what: str,
    keys: Iterable[object],
    known: Collection[str],
    *,
    similarity: float = 0.0,
    has: str = "has",
    arguments: bool = False,
) -> None:
    """Warns of keys that are not known, at the line that called into the library.

    Python shows such a warning once for each line that causes it.

    Args:
        what: the dictionary, as the message is to call it.
        keys: its keys.
        known: the keys that are read.
        similarity: how similar a key must be to a known one, from 0 to 1. Above 0 there is no
            warning of other keys, which may be read elsewhere.
        has: the verb, for a plural.
        arguments: whether the keys are names of arguments, which gin may bind.

    Raises:
        UnusedBindingError: for an argument that gin binds, where :func:`refusing_bound` says so.

    Warns:
        UserWarning: for each key that is not known.
    """
    for key in keys:
        if key in known:
            continue
        close = _closest(key, known, max(similarity, _NEAR))
        if close or similarity == 0.0:
            if arguments and (binding := (_refused.get() or {}).get(str(key))) is not None:
                suggestion = f" Did you mean {close[0]!r}?" if close else ""
                raise UnusedBindingError(
                    f"The gin binding of {binding!r} has no effect: nothing reads {key!r}."
                    f"{suggestion}"
                )
            nearest = f"; the nearest key that is known is {close[0]!r}" if close else ""
            warnings.warn(
                f"{what} {has} the key {key!r}, which nothing reads{nearest}.",
                UserWarning,
                stacklevel=stacklevel_of_caller(),
            )


def refuse_unknown(
    what: str, keywords: Iterable[str], known: Collection[str], also_known: Collection[str] = ()
) -> None:
    """Raises TypeError for a keyword that is not known, naming the nearest one.

    Args:
        what: the function or class, as the message is to call it.
        keywords: the names of the keyword arguments.
        known: the names that it takes.
        also_known: further names to suggest.
    """
    for keyword in keywords:
        if keyword not in known:
            names = sorted({*known, *also_known})
            close = _closest(keyword, names, _NEAR)
            suggestion = f"Did you mean {close[0]!r}? " if close else ""
            raise TypeError(
                f"{what} has no parameter {keyword!r}. {suggestion}Known are: {', '.join(names)}."
            )


def parameters_of(function: Callable[..., Any]) -> set[str]:
    """Returns the names of the parameters of a function, or of a class and its base classes."""
    functions: Iterable[Any] = (function,)
    if isinstance(function, type):
        functions = [
            vars(base)["__init__"] for base in function.__mro__[:-1] if "__init__" in vars(base)
        ]
    variadic = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    return {
        name
        for one in functions
        for name, parameter in inspect.signature(one).parameters.items()
        if name != "self" and parameter.kind not in variadic
    }


def similarity_for(cls: type) -> float:
    """Returns the ``similarity`` of :func:`warn_of_unknown` for the keys that a class reads.

    A subclass from elsewhere may read keys of its own.
    """
    return 0.0 if _in_library(cls.__module__) else MISSPELLED


def _closest(key: object, known: Iterable[str], cutoff: float) -> list[str]:
    public = sorted(name for name in known if not name.startswith("_"))
    return difflib.get_close_matches(str(key), public, n=1, cutoff=cutoff)


def stacklevel_of_caller() -> int:
    """Returns the ``stacklevel`` for a warning that is to name the line that called the library.

    It is for ``warnings.warn`` in the function that calls this one.
    """
    frame = sys._getframe(1)  # noqa: SLF001  # As inspect and warnings do.
    level = 1
    while frame.f_back is not None and _in_library(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    return level


def _in_library(module: str) -> bool:
    # Gin wraps constructors.
    return module in ("recsim", "gin") or module.startswith(("recsim.", "gin."))

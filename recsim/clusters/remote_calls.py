"""Calls on a cluster, of which results and errors come back as bytes.

So engines neither hold their memory for the arrays of results, which can be written to, nor change
errors on the way.
"""

from __future__ import annotations

import concurrent.futures
import pickle
from collections.abc import Callable
from typing import Any

__all__ = ["Caller", "call", "settle"]


def call(function: Callable[..., Any], keywords: dict[str, Any], *arguments: object) -> bytes:
    """Calls a function on a worker and returns whether it returned, and what, or its error."""
    import cloudpickle

    try:
        answer = True, function(*arguments, **keywords)
    except Exception as error:
        answer = False, error
    try:
        data: bytes = cloudpickle.dumps(answer)
    except Exception as error:
        kind = "result" if answer[0] else "error"
        data = pickle.dumps((False, TypeError(f"The {kind} cannot be sent from a worker: {error}")))
    return data


class Caller:
    """Calls functions as :func:`call` does, all in the process where it is."""

    def call(
        self, function: Callable[..., Any], keywords: dict[str, Any], *arguments: object
    ) -> bytes:
        """See :func:`call`."""
        return call(function, keywords, *arguments)


def settle(
    future: concurrent.futures.Future[Any],
    answer: Callable[[], bytes],
    ended: tuple[type[Exception], ...],
) -> None:
    """Gives a future the result or the error of a call.

    Args:
        future: what the caller waits for.
        answer: returns what :func:`call` returned, or raises an error of the cluster's.
        ended: the errors of the cluster's that tell that a worker ended before the call did.
    """
    try:
        is_result, value = pickle.loads(answer())  # noqa: S301 (written by call)
    except ended as error:
        broken = concurrent.futures.BrokenExecutor(f"{type(error).__name__}: {error}")
        broken.__cause__ = error
        future.set_exception(broken)
    except Exception as error:
        future.set_exception(error)
    else:
        if is_result:
            future.set_result(value)
        else:
            future.set_exception(value)

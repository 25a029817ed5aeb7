"""Calls of the public interface with one to three absurd arguments, and their outcomes.

Some of the good arguments of a call are replaced by values of
:mod:`recsim.benchmarks.endurance.absurd`. The outcome is a *fault* where an error is not clear (see
:mod:`recsim.benchmarks.endurance.clear_errors`), where finite arguments give NaN, or where it takes
too long.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from recsim.benchmarks.endurance import absurd, clear_errors

__all__ = ["SECONDS", "Fault", "fault_of_call", "random_call"]

#: What takes longer is a fault.
SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Fault:
    """A call that went wrong.

    Attributes:
        name: what was called.
        arguments: the absurd arguments.
        reason: what went wrong.
    """

    name: str
    arguments: dict[str, Any]
    reason: str


def random_call(rng: np.random.Generator, good: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one to three absurd arguments, to be put in the place of good ones."""
    number = min(len(good), 1 + int(rng.choice(3, p=[0.7, 0.2, 0.1])))
    names = rng.choice(sorted(good), size=number, replace=False).tolist()
    return {name: absurd.VALUES[rng.integers(len(absurd.VALUES))] for name in names}


def fault_of_call(
    name: str,
    function: Callable[..., object],
    good: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> Fault | None:
    """Calls a function with some arguments replaced; returns what went wrong, if anything.

    Args:
        name: what the function is called in a fault.
        function: the function, which makes what it needs anew at each call.
        good: arguments that it takes.
        arguments: what replaces some of them.
    """

    def fault(reason: str) -> Fault:
        return Fault(name, dict(arguments), reason)

    with warnings.catch_warnings(), _time_limit():
        warnings.simplefilter("ignore")
        try:
            result = function(**{**good, **arguments})
        except _TookTooLongError:
            return fault(f"takes more than {SECONDS} seconds")
        except Exception as error:  # Which one is what this is about.
            reason = clear_errors.unclear(error)
            return None if reason is None else fault(reason)
    if _is_finite(list(arguments.values())) and not _is_finite(result):
        return fault(f"returns {result!r} for finite arguments")
    return None


class _TookTooLongError(BaseException):
    """A call took too long."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise _TookTooLongError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _is_finite(value: object) -> bool:
    """Says whether there is no NaN in a value, at any depth (infinity may be right)."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (float, np.floating)):
        return not math.isnan(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return not np.isnan(value).any()
    return True

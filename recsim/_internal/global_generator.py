"""Notices when users' code draws from NumPy's global generator, which ``env.seed`` leaves alone."""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "IN_AGENT",
    "IN_ENVIRONMENT",
    "IN_RESPONSE",
    "IN_SAMPLER",
    "IN_USER_MODEL",
    "IN_VECTOR_AGENT",
    "IN_VECTOR_SCENARIO",
    "WATCHED_STEPS",
    "Watch",
]

#: How many steps of an environment, or of an agent, are watched.
WATCHED_STEPS = 10

IN_USER_MODEL = (
    "sample from self.environment_rng in the user model instead (or hand it to what samples): "
    "env.seed(s) then gives the numbers that it gives in RecSim"
)
IN_SAMPLER = "draw from the sampler's self._rng instead"
IN_RESPONSE = "let the user model draw it from self.environment_rng, and keep it in the response"
IN_ENVIRONMENT = "draw from the environment's self.environment_rng instead"
IN_AGENT = (
    "draw from a generator that the agent keeps in self._rng, made from a seed, such as "
    "numpy.random.RandomState(seed)"
)
IN_VECTOR_SCENARIO = "sample from the random stream that the method gets (stream) instead"
IN_VECTOR_AGENT = (
    "draw from a generator that the agent keeps, made from a seed, or from recsim.vector.streams"
)

_told: weakref.WeakSet[Any] = weakref.WeakSet()


class Watch:
    """Looks at the global generator now and then, and warns where it has moved on.

    Looking draws nothing. A look takes a microsecond or two, so only first steps are watched. What
    another watch noticed in the meantime is not told again.
    """

    _noticed_by_all = 0

    def __init__(self) -> None:
        self._moved_on()

    def _moved_on(self) -> bool:
        state = _state()
        # Some libraries draw when they are imported.
        before, self._last = getattr(self, "_last", None), state
        context = len(sys.modules), Watch._noticed_by_all
        context_before, self._context = getattr(self, "_context", None), context
        return context == context_before and state != before

    def check(self, part: object, remedy: str) -> None:
        """Warns, once for each class, if the generator moved on since the last look.

        Args:
            part: the object whose methods were called since then, or the function.
            remedy: what to do, one of this module's texts.
        """
        if not self._moved_on():
            return
        Watch._noticed_by_all += 1
        self._context = len(sys.modules), Watch._noticed_by_all
        kind: Any = part if inspect.isfunction(part) else type(part)
        if kind in _told:
            return
        _told.add(kind)
        warnings.warn(
            f"{kind.__module__}.{kind.__qualname__}, or something that it calls, draws from "
            "NumPy's global generator (np.random), which neither env.seed nor a checkpoint of "
            f"this library covers: {remedy}. See docs/deviations.md.",
            UserWarning,
            stacklevel=3,
        )


class Watched:
    """Has the methods of an object, each of whose calls is watched.

    Args:
        part: the object.
        remedy: see :meth:`Watch.check`.
    """

    def __init__(self, part: object, remedy: str) -> None:
        self._part, self._remedy = part, remedy

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return watched(getattr(self._part, name), self._part, self._remedy)


def watched(method: Callable[..., Any], part: object, remedy: str) -> Callable[..., Any]:
    """Returns a function that does what a method does, and watches its first calls.

    Args:
        method: the method.
        part: the object that it belongs to.
        remedy: see :meth:`Watch.check`.
    """
    remaining = WATCHED_STEPS

    def call(*args: object) -> object:
        nonlocal remaining
        if not remaining:
            return method(*args)
        remaining -= 1
        watch = Watch()
        result = method(*args)
        watch.check(part, remedy)
        return result

    return call


_Words = ctypes.c_uint32 * 625


def _state() -> object:
    """Returns what changes when something is drawn from the global generator."""
    bit_generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if isinstance(bit_generator, np.random.MT19937) and _can_be_read_in_place():
        words = _words_of(bit_generator)
        return words[0], words[624]
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002  # It is only looked at.


def _words_of(bit_generator: np.random.MT19937) -> ctypes.Array[ctypes.c_uint32]:
    return _Words.from_address(bit_generator.ctypes.state_address)


@functools.cache
def _can_be_read_in_place() -> bool:
    """Says whether a generator's key and position lie in memory where they have lain so far.

    A copy of the state takes a tenth of a millisecond, as long as some steps of an environment.
    """
    bit_generator = np.random.MT19937(5)
    rng = np.random.RandomState(bit_generator)
    rng.random_sample(7)
    state = rng.get_state(legacy=False)["state"]
    words = list(_words_of(bit_generator))
    return words == [*state["key"].tolist(), state["pos"]]

"""The random stream of the environment that is being stepped, for choice models without one.

A user model may keep its choice models where nobody finds them, or make them as it goes. They ask
who is stepping when they draw, so that a step itself pays nothing for it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

__all__ = ["current", "lends"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_lenders: set[types.CodeType] = set()


def lends(method: _Function) -> _Function:
    """Marks a method of an object with an ``environment_rng``, which it lends while it runs."""
    _lenders.add(method.__code__)
    return method


def current() -> np.random.RandomState | None:
    """Returns the stream that is lent by the innermost method that runs, None outside of them."""
    frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001  # inspect is slower.
    while frame is not None:
        if frame.f_code in _lenders:
            rng: np.random.RandomState = frame.f_locals["self"].environment_rng
            return rng
        frame = frame.f_back
    return None

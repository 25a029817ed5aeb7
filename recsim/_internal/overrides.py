"""Which method of an object of any class is the one to call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["is_overridden", "own_method"]


def is_overridden(owner: object, base: type, name: str) -> bool:
    """Says whether the class of an object has another method of a name than ``base``."""
    return getattr(type(owner), name) is not getattr(base, name)


def own_method(part: object, base: type, name: str) -> Callable[..., Any]:
    """Returns a method that RecSim lacks: an object's own, or else what its base class would do.

    An object that has the methods of RecSim's classes may have another base class than ours.

    Args:
        part: the object.
        base: our class of such objects.
        name: the method, one that every instance of ``base`` has.
    """
    own = getattr(part, name, None)
    return functools.partial(getattr(base, name), part) if own is None else own

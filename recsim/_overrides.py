"""Which method of a class hierarchy, or of an object of any class, is the one to call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["defined_nearest", "own_method"]


@functools.cache
def defined_nearest(cls: type, name: str, *others: str) -> bool:
    """Says whether ``name`` is the one of the attributes that is defined nearest to ``cls``.

    A method that does for many objects what another does for one may only stand in for it where
    no subclass overrides the other alone.

    Args:
        cls: the class whose method resolution order is searched.
        name: the attribute that may stand in.
        *others: the attributes that it stands in for.
    """
    for base in cls.__mro__:
        if name in vars(base):
            return True
        if any(other in vars(base) for other in others):
            return False
    return False


def own_method(part: Any, base: type, name: str) -> Callable[..., Any]:
    """Returns a method that RecSim lacks: an object's own, or else what its base class would do.

    An object that has the methods of RecSim's classes may have another base class than ours.

    Args:
        part: the object.
        base: our class of such objects.
        name: the method, one that every instance of ``base`` has.
    """
    own = getattr(part, name, None)
    return functools.partial(getattr(base, name), part) if own is None else own

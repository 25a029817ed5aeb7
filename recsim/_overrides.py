"""Which of several methods a class hierarchy defines nearest to a class."""

from __future__ import annotations

import functools

__all__ = ["defined_nearest"]


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

"""The random generators that users' code keeps in attributes of its own, for checkpoints."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from recsim import seeding

__all__ = ["found", "restore"]

_logger = logging.getLogger(__name__)


def found(owner: Any, shared: Any = None, within: tuple[type, ...] = ()) -> dict[str, Any]:
    """Returns copies of the generators in an object's attributes, by the attributes' names.

    Args:
        owner: the object.
        shared: a generator to leave out, because it belongs to somebody else.
        within: classes of attributes whose own attributes are looked through too; their names
            follow after a point.
    """
    return {
        name: copy.deepcopy(rng)
        for name, rng in _attributes(owner, within)
        if rng is not shared and seeding.is_generator(rng)
    }


def _attributes(owner: Any, within: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in getattr(owner, "__dict__", {}).items():
        yield name, value
        if isinstance(value, within):
            for inner, of_inner in _attributes(value, ()):
                yield f"{name}.{inner}", of_inner


def restore(owner: Any, generators: Mapping[str, Any]) -> None:
    """Gives generators in attributes the states they had when :func:`found` returned them.

    Raises:
        ValueError: if one is of another kind, or there is something else in its place.
    """
    for name, rng in generators.items():
        if not seeding.is_generator(rng):
            raise ValueError(f"{name} must be a random generator, got {type(rng).__name__}.")
        *holders, last = name.split(".")
        holder: Any = owner
        for part in holders:
            holder = getattr(holder, part, None)
        current: Any = getattr(holder, last, None)
        if type(current) is type(rng):
            seeding.restore_generator(current, seeding.generator_state(rng))
        elif current is not None:
            raise ValueError(
                f"{name} of {type(owner).__name__} was a {type(rng).__name__} and is a "
                f"{type(current).__name__}: make the objects as they were."
            )
        elif holder is not None:  # It is made later on.
            setattr(holder, last, copy.deepcopy(rng))
        else:
            _logger.warning(
                "The random generator %s of %s could not be restored: there is no %s yet. Make "
                "it in __init__.",
                name,
                type(owner).__name__,
                ".".join(holders),
            )

"""The random generators that users' code keeps in attributes of its own, for checkpoints."""

from __future__ import annotations

import copy
import functools
import logging
import random
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from recsim._internal import generator_states

__all__ = ["found", "restore", "state_of", "unsaved"]

_logger = logging.getLogger(__name__)

#: How deep objects and containers are looked through, and how long a container may be for that.
_DEPTH = 8
_MOST_ITEMS = 1000
_MOST_VALUES = 20_000
#: New users and documents replace these.
_PASSING = frozenset({"_user_state", "_candidate_set", "_current_documents"})
#: Packages whose objects are not looked through: they keep no generators of users' code.
_OTHERS = frozenset({"builtins", "gym", "gymnasium", "keras", "numpy", "recsim", "tensorflow"})


def state_of(owner: object, *known: object, within: tuple[type, ...] = ()) -> dict[str, Any]:
    """Returns entries for a checkpoint: the generators, and the names of those it cannot hold.

    Args:
        owner: the object.
        *known: generators and objects to leave out, because somebody else saves them.
        within: classes of this library whose objects are looked through too.
    """
    state: dict[str, Any] = {}
    if generators := found(owner, *known, within=within):
        state["generators"] = generators
    if names := unsaved(owner, *known, within=within):
        state["unsaved_generators"] = names
    return state


def found(owner: object, *known: object, within: tuple[type, ...] = ()) -> dict[str, Any]:
    """Returns copies of the generators of NumPy in an object's tree, by their places.

    The tree is made of attributes, plain containers, simple objects and what functions hold. The
    arguments are those of :func:`state_of`.
    """
    return {
        name: np.random.Generator(copy.deepcopy(rng))
        if isinstance(rng, np.random.BitGenerator)
        else copy.deepcopy(rng)
        for name, rng in _generators(owner, known, within)
        if not isinstance(rng, random.Random)
    }


def unsaved(owner: object, *known: object, within: tuple[type, ...] = ()) -> list[str]:
    """Returns the names of generators that a checkpoint cannot hold.

    These are those of Python's ``random``, and those that classes hold, which objects share.
    """
    kind = type(owner).__name__
    names = [
        f"{kind}.{name} (random.Random)"
        for name, rng in _generators(owner, known, within)
        if isinstance(rng, random.Random)
    ]
    for base in type(owner).__mro__:
        if base.__module__.partition(".")[0] not in _OTHERS:
            names += [
                f"{base.__name__}.{name} (of the class)"
                for name, value in vars(base).items()
                if _is_generator(value)
            ]
    return names


def _is_generator(value: object) -> bool:
    return generator_states.is_generator(value) or isinstance(
        value, (np.random.BitGenerator, random.Random)
    )


def _generators(
    owner: object, known: Iterable[Any], within: tuple[type, ...]
) -> Iterator[tuple[str, Any]]:
    """Yields the generators in an object's tree with their places, those of attributes first."""
    seen = {id(value) for value in known if value is not None} | {id(owner)}
    level = list(_attributes(owner))
    for _ in range(_DEPTH):
        below: list[tuple[str, Any]] = []
        for name, value in level:
            if id(value) in seen or len(seen) > _MOST_VALUES:
                continue
            if _is_generator(value):
                yield name, value
            else:
                below += [(name + part, inner) for part, inner in _parts(value, within)]
            if not isinstance(value, (str, int, float, type(None))):
                seen.add(id(value))
        level = below


def _attributes(owner: object) -> Iterator[tuple[str, Any]]:
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if name not in _PASSING:
            yield name, value


def _parts(value: object, within: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yields what a value of a tree holds, with its place in it."""
    if isinstance(value, (list, tuple)) and len(value) <= _MOST_ITEMS:
        yield from ((f"[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, Mapping) and len(value) <= _MOST_ITEMS:
        yield from ((f"[{key!r}]", item) for key, item in list(value.items()))
    elif isinstance(value, functools.partial):
        yield from (("(function)", value.func), ("(args)", value.args))
        yield "(keywords)", value.keywords
    elif isinstance(value, types.MethodType):
        yield "(self)", value.__self__
    elif isinstance(value, types.FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or ()):
            try:
                yield f"({name})", cell.cell_contents
            except ValueError:  # Nothing is in it yet.
                continue
        yield "(defaults)", value.__defaults__
        yield "(keyword defaults)", value.__kwdefaults__
    elif isinstance(value, within) or _is_simple(value):
        yield from ((f".{name}", inner) for name, inner in _attributes(value))


def _is_simple(value: object) -> bool:
    """Says whether an object's attributes are looked through: nobody else saves them."""
    kind = type(value)
    return (
        not isinstance(value, (type, types.ModuleType))
        and kind.__module__.partition(".")[0] not in _OTHERS
        and not hasattr(kind, "state_dict")
        and not hasattr(kind, "bundle_and_checkpoint")
    )


def restore(
    owner: object, generators: Mapping[str, Any], *known: object, within: tuple[type, ...] = ()
) -> None:
    """Gives generators the states they had when :func:`found` returned them.

    Raises:
        ValueError: if one is of another kind, or there is something else in its place.
    """
    if not isinstance(generators, Mapping):
        raise ValueError(
            f"The generators must be a dictionary, got {type(generators).__name__}: pass what was "
            "saved."
        )
    if not generators:
        return
    there = dict(_generators(owner, known, within))
    for name, rng in generators.items():
        if not generator_states.is_generator(rng):
            raise ValueError(f"{name} must be a random generator, got {type(rng).__name__}.")
        current: Any = there.get(name)
        if isinstance(current, np.random.BitGenerator) and isinstance(rng, np.random.Generator):
            generator_states.restore_generator(
                np.random.Generator(current), generator_states.generator_state(rng)
            )
        elif type(current) is type(rng):
            generator_states.restore_generator(current, generator_states.generator_state(rng))
        elif current is not None or getattr(owner, name, None) is not None:
            current = getattr(owner, name, current)
            raise ValueError(
                f"{name} of {type(owner).__name__} was a {type(rng).__name__} and is a "
                f"{type(current).__name__}: make the objects as they were."
            )
        else:
            _restore_late(owner, name, rng)


def _restore_late(owner: object, name: str, rng: generator_states.AnyGenerator) -> None:
    """Puts a generator where there is none yet, as its owner makes it later on."""
    *holders, last = name.split(".")
    holder: Any = owner
    for part in holders:
        holder = getattr(holder, part, None)
    if holder is not None and last.isidentifier():
        setattr(holder, last, copy.deepcopy(rng))
        return
    _logger.warning(
        "The random generator %s of %s could not be restored: there is no such place yet. Make it "
        "in __init__.",
        name,
        type(owner).__name__,
    )

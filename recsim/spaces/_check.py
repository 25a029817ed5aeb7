"""Checks of observations against their space: one, or arrays of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers as number_checks
from recsim._internal import trees
from recsim.spaces import _kinds

__all__ = ["check_arrays", "check_observation", "outside"]


def check_observation(space: types.Space, observation: object, name: str = "observation") -> None:
    """Checks that an observation has its space's structure, shapes and bounds.

    Unlike ``space.contains`` it lets dtypes differ where no value is lost from view: RecSim hands
    out float64 numbers for float32 boxes, whose bounds they need to keep in float32, and NumPy
    integers for discrete spaces. The keys of a dictionary may come in any order.

    Args:
        space: a space; Dict and Tuple ones are nested at will.
        observation: what should be an element of it.
        name: what to call the observation in errors.

    Raises:
        TypeError: if ``space`` is not a space.
        ValueError: naming the first part that does not fit, what was expected and what came.
    """
    if not hasattr(space, "contains"):
        raise TypeError(f"space must be a space of gym or gymnasium, got {space!r}.")
    for problem in _problems(space, observation, name):
        raise ValueError(problem)


def _problems(space: types.Space, observation: object, name: str) -> Iterator[str]:
    kind = _kinds.kind_of(space)
    if kind == "Dict":
        yield from _dict_problems(dict(_kinds.children(space)), observation, name)
    elif kind == "Tuple":
        entries = [entry for _, entry in _kinds.children(space)]
        yield from _tuple_problems(entries, observation, name)
    elif kind == "Box":
        yield from _box_problems(space, observation, name)
    elif kind in _kinds.NUMERIC:
        yield from _integer_problems(_kinds.numbers_of(space), observation, name)
    elif not space.contains(observation):
        yield f"{name} must be an element of {space}, got {observation!r}."


def _dict_problems(
    entries: Mapping[str, types.Space], observation: object, name: str
) -> Iterator[str]:
    if not isinstance(observation, Mapping) or set(observation) != set(entries):
        got = list(observation) if isinstance(observation, Mapping) else repr(observation)
        yield f"{name} must be a dictionary with the keys {list(entries)}, got {got}."
        return
    for key, entry in entries.items():
        yield from _problems(entry, observation[key], f"{name}[{key!r}]")


def _tuple_problems(
    entries: Sequence[types.Space], observation: object, name: str
) -> Iterator[str]:
    if not isinstance(observation, (tuple, list)) or len(observation) != len(entries):
        yield f"{name} must be a sequence of {len(entries)} entries, got {observation!r}."
        return
    for index, (entry, item) in enumerate(zip(entries, observation, strict=True)):
        yield from _problems(entry, item, f"{name}[{index}]")


def _box_problems(box: types.Space, observation: object, name: str) -> Iterator[str]:
    space: Any = box
    values = np.asarray(observation)
    if values.shape != space.shape:
        yield f"{name} must have the shape {space.shape}, got {values.shape}."
        return
    if values.dtype.kind not in "fiub":
        yield f"{name} must hold numbers, got {observation!r}."
        return
    if space.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(space.dtype, copy=False)
    elif values.dtype.kind == "f" and not (values == np.floor(values)).all():
        yield f"{name} must hold whole numbers, for {space}, got {observation!r}."
        return
    if not ((values >= space.low) & (values <= space.high)).all():
        yield f"{name} must lie within {space}, got {observation!r}."


def _integer_problems(integers: _kinds.Numbers, observation: object, name: str) -> Iterator[str]:
    shape, low, high = integers.shape, integers.low, integers.high
    values = np.asarray(observation)
    if values.shape != shape or values.dtype.kind not in "iub":
        yield f"{name} must be integer{'s' if shape else ''} of shape {shape}, got {observation!r}."
    elif not ((values >= low) & (values <= high)).all():
        yield f"{name} must be in {low} to {high}, got {observation!r}."


def outside(space: object, array: np.ndarray, name: str) -> ValueError:
    """Returns the error for an array that is not in a space."""
    return ValueError(
        f"{name} must lie within {space}, got {number_checks.described(array.tolist())}."
    )


def check_arrays(space: types.Space, tree: trees.ArrayTree, name: str) -> None:
    """Checks nested arrays, whose first axis counts users, against the space of one user.

    Args:
        space: a space of gymnasium.
        tree: the arrays.
        name: what to call them in errors.

    Raises:
        ValueError: naming the first array that does not fit.
    """
    if _kinds.is_composite(space):
        parts: Any = tree
        entries = _kinds.children(space)
        keys = set(range(len(parts)) if isinstance(parts, (tuple, list)) else parts)
        if keys != {key for key, _ in entries}:
            raise ValueError(
                f"{name} must have the entries {[key for key, _ in entries]}, got {sorted(keys)}."
            )
        for key, entry in entries:
            check_arrays(entry, parts[key], f"{name}[{key!r}]")
        return
    array = np.asarray(tree)
    numbers = _kinds.numbers_of(space)
    dtype = numbers.space.dtype
    if array.shape[1:] != numbers.shape:
        raise ValueError(
            f"{name} must have the shape (n_users, *{numbers.shape}), as its space has it, got "
            f"{array.shape}."
        )
    if not np.can_cast(array.dtype, dtype):
        raise ValueError(
            f"{name} must be of dtype {dtype}, as its space has it, got {array.dtype}."
        )
    if not numbers.contain(array):
        raise outside(space, array, name)

"""Observations and their spaces, for the spaces of gym and of gymnasium alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["check_observation"]


def check_observation(space: Any, observation: Any, name: str = "observation") -> None:
    """Checks that an observation has its space's structure, shapes and bounds.

    Unlike ``space.contains`` it lets dtypes differ where no value is lost from view: RecSim hands
    out float64 numbers for float32 boxes and NumPy integers for discrete spaces. The keys of a
    dictionary may come in any order.

    Args:
        space: a Box, Discrete, MultiDiscrete, Dict or Tuple space, nested at will.
        observation: what should be an element of it.
        name: what to call the observation in errors.

    Raises:
        ValueError: naming the first part that does not fit, what was expected and what came.
    """
    for problem in _problems(space, observation, name):
        raise ValueError(problem)


def _problems(space: Any, observation: Any, name: str) -> Iterator[str]:
    kind = type(space).__name__
    if kind == "Dict":
        yield from _dict_problems(space.spaces, observation, name)
    elif kind == "Tuple":
        yield from _tuple_problems(space.spaces, observation, name)
    elif kind == "Box":
        yield from _box_problems(space, observation, name)
    elif kind == "Discrete":
        start = int(getattr(space, "start", 0))
        yield from _integer_problems(observation, (), start, start + int(space.n) - 1, name)
    elif kind == "MultiDiscrete":
        yield from _integer_problems(observation, space.nvec.shape, 0, space.nvec - 1, name)
    elif not space.contains(observation):
        yield f"{name} must be an element of {space}, got {observation!r}."


def _dict_problems(entries: Mapping[str, Any], observation: Any, name: str) -> Iterator[str]:
    if not isinstance(observation, Mapping) or set(observation) != set(entries):
        got = sorted(observation) if isinstance(observation, Mapping) else repr(observation)
        yield f"{name} must be a dictionary with the keys {sorted(entries)}, got {got}."
        return
    for key, entry in entries.items():
        yield from _problems(entry, observation[key], f"{name}[{key!r}]")


def _tuple_problems(entries: Any, observation: Any, name: str) -> Iterator[str]:
    if not isinstance(observation, (tuple, list)) or len(observation) != len(entries):
        yield f"{name} must be a sequence of {len(entries)} entries, got {observation!r}."
        return
    for index, (entry, item) in enumerate(zip(entries, observation, strict=True)):
        yield from _problems(entry, item, f"{name}[{index}]")


def _box_problems(space: Any, observation: Any, name: str) -> Iterator[str]:
    values = np.asarray(observation)
    if values.shape != space.shape:
        yield f"{name} must have the shape {space.shape}, got {values.shape}."
    elif values.dtype.kind not in "fiub":
        yield f"{name} must hold numbers, got {observation!r}."
    elif not ((values >= space.low) & (values <= space.high)).all():
        yield f"{name} must lie within {space}, got {observation!r}."


def _integer_problems(
    observation: Any, shape: tuple[int, ...], low: Any, high: Any, name: str
) -> Iterator[str]:
    values = np.asarray(observation)
    if values.shape != shape or values.dtype.kind not in "iub":
        yield f"{name} must be integer{'s' if shape else ''} of shape {shape}, got {observation!r}."
    elif not ((values >= low) & (values <= high)).all():
        yield f"{name} must be in {low} to {high}, got {observation!r}."

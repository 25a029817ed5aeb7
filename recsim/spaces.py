"""Observations and their spaces, for the spaces of gym and of gymnasium alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from recsim._internal import numbers

__all__ = ["check_observation", "flat_size", "flatten", "flattened"]


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


def flat_size(space: Any) -> int:
    """Returns the length of the vector that :func:`flatten` makes of an observation of a space.

    Raises:
        NotImplementedError: if the space is not of the kinds that :func:`flatten` knows.
    """
    kind = type(space).__name__
    if kind == "Dict":
        return sum(flat_size(entry) for entry in space.spaces.values())
    if kind == "Tuple":
        return sum(flat_size(entry) for entry in space.spaces)
    if kind == "Box":
        return int(np.prod(space.shape))
    if kind == "Discrete":
        return int(space.n)
    if kind == "MultiDiscrete":
        return int(np.sum(space.nvec))
    raise NotImplementedError(
        f"A space must be a Dict, Tuple, Box, Discrete or MultiDiscrete one, got {space!r}."
    )


def flatten(space: Any, observation: Any, out: np.ndarray) -> None:
    """Writes an observation as a vector of features, as ``gym.spaces.flatten`` orders them.

    The entries of dictionaries and tuples follow one another in the order of the space, integers
    become indicators of their values (one-hot), and what is missing (None, as in a history that
    is not yet full) becomes zeros.

    Args:
        space: a Box, Discrete, MultiDiscrete, Dict or Tuple space, nested at will.
        observation: an element of it.
        out: where to write: a floating-point array of shape (flat_size(space),).

    Raises:
        ValueError: if the observation does not have the shape of its space.
    """
    if observation is None:
        out[:] = 0.0
        return
    kind = type(space).__name__
    if kind == "Box":
        out[:] = np.reshape(observation, -1)
    elif kind == "Discrete":
        number = numbers.as_int("an observation of a Discrete space", observation)
        _flatten_integer(number - int(getattr(space, "start", 0)), out)
    elif kind == "MultiDiscrete":
        start = 0
        name = "an entry of an observation of a MultiDiscrete space"
        for number, size in zip(np.ravel(observation).tolist(), np.ravel(space.nvec)):
            _flatten_integer(numbers.as_int(name, number), out[start : start + size])
            start += size
    else:
        entries = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
        start = 0
        for key, entry in entries:
            end = start + flat_size(entry)
            flatten(entry, observation[key], out[start:end])
            start = end


def _flatten_integer(number: int, out: np.ndarray) -> None:
    if not 0 <= number < len(out):
        raise ValueError(
            f"An observation of a Discrete space of {len(out)} values is not one of them: the "
            f"value of number {number}."
        )
    out[:] = 0.0
    out[number] = 1.0


def flattened(space: Any, observations: Any, num_axes: int = 1) -> np.ndarray:
    """Returns many observations as vectors of features, each as :func:`flatten` writes one.

    Args:
        space: the space of one observation, as :func:`flatten` takes it.
        observations: the observations, nested as the space is, in arrays whose first axes are the
            same everywhere.
        num_axes: number of those axes.

    Returns:
        float32 array of shape (..., flat_size(space)).

    Raises:
        ValueError: if the observations do not have the shape of the space.
    """
    kind = type(space).__name__
    if kind in ("Dict", "Tuple"):
        entries = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
        parts = [flattened(entry, observations[key], num_axes) for key, entry in entries]
        return np.concatenate(parts, axis=-1)
    array = np.asarray(observations)
    leading, shape = array.shape[:num_axes], array.shape[num_axes:]
    if shape != tuple(space.shape):
        raise ValueError(
            f"Observations of {space!r} must have its shape {tuple(space.shape)} after {num_axes} "
            f"axes that count them, got arrays of shape {array.shape}."
        )
    if kind == "Box":
        return array.reshape(*leading, flat_size(space)).astype(np.float32, copy=False)
    numbers = array.reshape(*leading, -1) - np.ravel(getattr(space, "start", 0))
    sizes = np.ravel(space.n if kind == "Discrete" else space.nvec)
    if ((numbers < 0) | (numbers >= sizes)).any():
        raise ValueError(f"Observations of {space!r} are not all among its values.")
    indicators = [
        numbers[..., i, np.newaxis] == np.arange(size) for i, size in enumerate(sizes.tolist())
    ]
    return np.concatenate(indicators, axis=-1).astype(np.float32)

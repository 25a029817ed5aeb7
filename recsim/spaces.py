"""Observations and their spaces, for the spaces of gym and of gymnasium alike."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from recsim._internal import numbers
from recsim._internal.gym_import import spaces as gym_spaces

__all__ = [
    "bounds",
    "check_observation",
    "children",
    "flat_size",
    "flatten",
    "flattened",
    "kind_of",
    "nearest_to_zero",
    "to_gym",
    "unsupported",
]


def kind_of(space: Any) -> str:
    """Returns the name of the class of gym or gymnasium that a space is of, such as 'Box'."""
    return _kind_of_class(type(space))  # type: ignore[arg-type]


@functools.cache
def _kind_of_class(space_class: type) -> str:
    for base in space_class.__mro__:
        if base.__module__.partition(".")[0] in ("gym", "gymnasium"):
            return base.__name__
    return space_class.__name__


def unsupported(space: Any) -> NotImplementedError:
    """Returns the error for a space whose elements are no arrays of a fixed shape."""
    return NotImplementedError(
        "A space must be a Dict, Tuple, Box, Discrete, MultiDiscrete or MultiBinary one, nested at "
        f"will, got {space!r}. Use a MultiDiscrete space of the characters' numbers for a text, "
        "and a Box or MultiBinary space of the greatest size for what varies in size."
    )


def children(space: Any) -> list[tuple[Any, Any]]:
    """Returns the entries of a Dict or Tuple space with their keys, in the space's order."""
    entries = space.spaces
    return list(entries.items() if isinstance(entries, Mapping) else enumerate(entries))


def bounds(space: Any) -> tuple[Any, Any]:
    """Returns the lowest and the highest values of a space of numbers.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space.

    Raises:
        NotImplementedError: for another one.
    """
    kind = kind_of(space)
    if kind == "Box":
        return space.low, space.high
    if kind == "MultiBinary":
        return 0, 1
    if kind not in ("Discrete", "MultiDiscrete"):
        raise unsupported(space)
    start = getattr(space, "start", 0)
    if kind == "Discrete":
        return int(start), int(start) + int(space.n) - 1
    return np.asarray(start, np.int64), np.asarray(start, np.int64) + space.nvec - 1


class _OffsetMultiDiscrete(gym_spaces.MultiDiscrete):
    """A MultiDiscrete space of gym whose numbers begin with others than 0, as gymnasium's may.

    Args:
        nvec: how many values each number has.
        start: the lowest of them, of the same shape.
    """

    def __init__(self, nvec: np.ndarray, start: np.ndarray) -> None:
        super().__init__(nvec)
        self.start = np.array(start, self.dtype)

    def sample(self, *mask: Any) -> np.ndarray:
        """Returns a random element."""
        return super().sample(*mask) + self.start

    def contains(self, x: Any) -> bool:
        """Says whether something is an element."""
        array = np.asarray(x)
        whole = array.dtype.kind in "iu" and array.shape == self.shape
        return whole and super().contains(array.astype(self.dtype) - self.start)

    def __repr__(self) -> str:
        return f"MultiDiscrete({self.nvec.tolist()}, start={self.start.tolist()})"

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and np.array_equal(self.start, getattr(other, "start", 0))


def to_gym(space: Any) -> Any:
    """Returns the space of gym that has the elements of a space of gymnasium; gym's as they are.

    Raises:
        NotImplementedError: for a space that gym has no like of.
    """
    if isinstance(space, gym_spaces.Space):
        return space
    kind = kind_of(space)
    if kind == "Dict":
        # An ordered one stays in its order.
        entries = OrderedDict((key, to_gym(entry)) for key, entry in children(space))
        return gym_spaces.Dict(entries)
    if kind == "Tuple":
        return gym_spaces.Tuple([to_gym(entry) for _, entry in children(space)])
    if kind == "Box":
        return gym_spaces.Box(space.low, space.high, space.shape, space.dtype.type)
    if kind == "Discrete":
        return gym_spaces.Discrete(int(space.n), start=int(space.start))
    if kind == "MultiDiscrete":
        start = getattr(space, "start", np.zeros_like(space.nvec))
        if np.any(start):
            return _OffsetMultiDiscrete(space.nvec, start)
        return gym_spaces.MultiDiscrete(space.nvec)
    if kind == "MultiBinary":
        return gym_spaces.MultiBinary(space.shape)
    if kind == "Text" and hasattr(gym_spaces, "Text"):  # Old versions of Gym have none.
        characters = "".join(space.character_list)
        return gym_spaces.Text(space.max_length, min_length=space.min_length, charset=characters)
    raise unsupported(space)


def nearest_to_zero(space: Any) -> Any:
    """Returns the element of a space that is nearest to zero: zeros, where they are in the space.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.

    Returns:
        Arrays, in a dictionary or a tuple as the space is.

    Raises:
        NotImplementedError: for a space of another kind.
    """
    kind = kind_of(space)
    if kind == "Dict":
        return {key: nearest_to_zero(entry) for key, entry in children(space)}
    if kind == "Tuple":
        return tuple(nearest_to_zero(entry) for _, entry in children(space))
    low, high = bounds(space)
    nearest = np.minimum(np.maximum(np.zeros(space.shape, space.dtype), low), high)
    return np.asarray(nearest, space.dtype)


def check_observation(space: Any, observation: Any, name: str = "observation") -> None:
    """Checks that an observation has its space's structure, shapes and bounds.

    Unlike ``space.contains`` it lets dtypes differ where no value is lost from view: RecSim hands
    out float64 numbers for float32 boxes, whose bounds they need to keep in float32, and NumPy
    integers for discrete spaces. The keys of a dictionary may come in any order.

    Args:
        space: a space; Dict and Tuple ones are nested at will.
        observation: what should be an element of it.
        name: what to call the observation in errors.

    Raises:
        TypeError: if ``space`` is no space.
        ValueError: naming the first part that does not fit, what was expected and what came.
    """
    if not hasattr(space, "contains"):
        raise TypeError(f"space must be a space of gym or gymnasium, got {space!r}.")
    for problem in _problems(space, observation, name):
        raise ValueError(problem)


def _problems(space: Any, observation: Any, name: str) -> Iterator[str]:
    kind = kind_of(space)
    if kind == "Dict":
        yield from _dict_problems(space.spaces, observation, name)
    elif kind == "Tuple":
        yield from _tuple_problems(space.spaces, observation, name)
    elif kind == "Box":
        yield from _box_problems(space, observation, name)
    elif kind in ("Discrete", "MultiDiscrete", "MultiBinary"):
        yield from _integer_problems(observation, space.shape, *bounds(space), name)
    elif not space.contains(observation):
        yield f"{name} must be an element of {space}, got {observation!r}."


def _dict_problems(entries: Mapping[str, Any], observation: Any, name: str) -> Iterator[str]:
    if not isinstance(observation, Mapping) or set(observation) != set(entries):
        got = list(observation) if isinstance(observation, Mapping) else repr(observation)
        yield f"{name} must be a dictionary with the keys {list(entries)}, got {got}."
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
    kind = kind_of(space)
    if kind in ("Dict", "Tuple"):
        return sum(flat_size(entry) for _, entry in children(space))
    if kind in ("Box", "MultiBinary"):
        return int(np.prod(space.shape))
    if kind == "Discrete":
        return int(space.n)
    if kind == "MultiDiscrete":
        return int(np.sum(space.nvec))
    raise unsupported(space)


def flatten(space: Any, observation: Any, out: np.ndarray) -> None:
    """Writes an observation as a vector of features, as ``gym.spaces.flatten`` orders them.

    The entries of dictionaries and tuples follow one another in the order of the space, integers
    of discrete spaces become indicators of their values (one-hot), and what is missing (None, as in
    a history that is not yet full) becomes zeros.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.
        observation: an element of it.
        out: where to write: a floating-point array of shape (flat_size(space),).

    Raises:
        ValueError: if the observation does not have the shape of its space.
    """
    if observation is None:
        out[:] = 0.0
        return
    kind = kind_of(space)
    if kind in ("Box", "MultiBinary"):
        values = np.asarray(observation)
        if values.size != out.size:
            raise _wrong_shape(space, values.shape)
        out[:] = values.reshape(-1)
    elif kind == "Discrete":
        number = numbers.as_int("an observation of a Discrete space", observation)
        _flatten_integer(number - int(getattr(space, "start", 0)), out)
    elif kind == "MultiDiscrete":
        _flatten_integers(space, observation, out)
    else:
        entries = children(space)
        if kind == "Tuple" and len(observation) != len(entries):
            raise _wrong_shape(space, (len(observation),))
        start = 0
        for key, entry in entries:
            end = start + flat_size(entry)
            flatten(entry, observation[key], out[start:end])
            start = end


def _wrong_shape(space: Any, shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"An observation of {space!r} must have its shape, got the shape {shape}.")


def _flatten_integers(space: Any, observation: Any, out: np.ndarray) -> None:
    """Writes an observation of a MultiDiscrete space."""
    values = np.asarray(observation)
    if values.size != space.nvec.size:
        raise _wrong_shape(space, values.shape)
    name = "an entry of an observation of a MultiDiscrete space"
    starts = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
    end = 0
    for value, first, size in zip(*(np.ravel(a).tolist() for a in (values, starts, space.nvec))):
        _flatten_integer(numbers.as_int(name, value) - first, out[end : end + size])
        end += size


def _flatten_integer(number: int, out: np.ndarray) -> None:
    if not 0 <= number < len(out):
        raise ValueError(
            f"An observation of a Discrete space of {len(out)} values is not one of them: the "
            f"value of number {number}."
        )
    out[:] = 0.0
    out[number] = 1.0


def _has_arrays(space: Any) -> bool:
    """Says whether a space is none of empty Dict and Tuple spaces alone."""
    if kind_of(space) in ("Dict", "Tuple"):
        return any(_has_arrays(entry) for _, entry in children(space))
    return True


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
    kind = kind_of(space)
    if kind in ("Dict", "Tuple"):
        entries = [(key, entry) for key, entry in children(space) if _has_arrays(entry)]
        if not entries:
            raise ValueError(f"Observations of {space!r} have no entries to put into arrays.")
        parts = [flattened(entry, observations[key], num_axes) for key, entry in entries]
        return np.concatenate(parts, axis=-1)
    array = np.asarray(observations)
    leading, shape = array.shape[:num_axes], array.shape[num_axes:]
    if shape != tuple(space.shape):
        raise ValueError(
            f"Observations of {space!r} must have its shape {tuple(space.shape)} after {num_axes} "
            f"axes that count them, got arrays of shape {array.shape}."
        )
    if kind in ("Box", "MultiBinary"):
        return array.reshape(*leading, flat_size(space)).astype(np.float32, copy=False)
    low, high = bounds(space)
    if array.dtype.kind not in "iub" or not ((array >= low) & (array <= high)).all():
        raise ValueError(f"Observations of {space!r} are not all among its values.")
    values = array.astype(np.int64, copy=False) - low
    values = values.reshape(*leading, -1)
    sizes = np.ravel(space.n if kind == "Discrete" else space.nvec)
    indicators = [
        values[..., i, np.newaxis] == np.arange(size) for i, size in enumerate(sizes.tolist())
    ]
    return np.concatenate(indicators, axis=-1).astype(np.float32)

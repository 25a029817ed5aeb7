"""The kinds of spaces, told apart in one place: composite ones, and leaves of numbers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from recsim import types
from recsim._internal import trees

__all__ = [
    "COMPOSITE",
    "NUMERIC",
    "Numbers",
    "bounds",
    "children",
    "is_composite",
    "is_numeric",
    "kind_of",
    "leaves",
    "map_leaves",
    "nearest_to_zero",
    "numbers_of",
    "unsupported",
]

T = TypeVar("T")
SpaceT = TypeVar("SpaceT", bound=types.Space)

#: The kinds of spaces that other spaces are nested in.
COMPOSITE = ("Dict", "Tuple")

#: The kinds of spaces whose elements are arrays of numbers.
NUMERIC = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")


def kind_of(space: object) -> str:
    """Returns the name of the class of gym or gymnasium that a space is of, such as 'Box'."""
    return _kind_of_class(type(space))  # type: ignore[arg-type]


@functools.cache
def _kind_of_class(space_class: type) -> str:
    for base in space_class.__mro__:
        if base.__module__.partition(".")[0] in ("gym", "gymnasium"):
            return base.__name__
    return space_class.__name__


def is_composite(space: object) -> bool:
    """Says whether a space is a Dict or a Tuple."""
    return kind_of(space) in COMPOSITE


def is_numeric(space: object) -> bool:
    """Says whether a space is a Box, Discrete, MultiDiscrete or MultiBinary one."""
    return kind_of(space) in NUMERIC


def children(space: SpaceT) -> list[tuple[Any, SpaceT]]:
    """Returns the entries of a Dict or Tuple space with their keys, in the space's order."""
    composite: Any = space
    entries = composite.spaces
    return list(entries.items() if isinstance(entries, Mapping) else enumerate(entries))


def leaves(
    space: types.Space, path: tuple[object, ...] = ()
) -> Iterator[tuple[tuple[object, ...], types.Space]]:
    """Yields the spaces in a space that are neither Dict nor Tuple, each with the keys to it."""
    if not is_composite(space):
        yield path, space
        return
    for key, entry in children(space):
        yield from leaves(entry, (*path, key))


def map_leaves(function: Callable[[Any], T], space: types.Space) -> trees.Nested[T]:
    """Returns what a function makes of the leaves of a space, as a tree nested as the space is."""
    kind = kind_of(space)
    if kind == "Dict":
        return {key: map_leaves(function, entry) for key, entry in children(space)}
    if kind == "Tuple":
        return tuple([map_leaves(function, entry) for _, entry in children(space)])
    return function(space)


def unsupported(space: object) -> NotImplementedError:
    """Returns the error for a space whose elements are not arrays of a fixed shape."""
    return NotImplementedError(
        "A space must be a Dict, Tuple, Box, Discrete, MultiDiscrete or MultiBinary one, nested at "
        f"will, got {space!r}. Use a MultiDiscrete space of the characters' numbers for a text, "
        "and a Box or MultiBinary space of the greatest size for what varies in size."
    )


@dataclasses.dataclass(eq=False)
class Numbers:
    """What a space that is neither Dict nor Tuple says of the numbers in its elements."""

    space: Any
    kind: str  # 'Box', 'Discrete', 'MultiDiscrete' or 'MultiBinary'.
    shape: tuple[int, ...]
    low: Any  # A number, or an array of the shape.
    high: Any
    #: How many values each number has, where they are one-hot among the features; else None.
    num_values: np.ndarray | None = None

    @property
    def flat_size(self) -> int:
        """How many features there are."""
        if self.num_values is None:
            return math.prod(self.shape)
        return int(self.num_values.sum())

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """The dtype of arrays of many elements: the space's own, or the smaller of int32 and 64."""
        if self.num_values is None:
            dtype: np.dtype = np.dtype(self.space.dtype)
            return dtype
        int32 = np.iinfo(np.int32)
        # The number of values is in the space too.
        fits = np.min(self.low) >= int32.min and np.max(self.high) <= int32.max
        return np.dtype(np.int32 if fits and np.max(self.high - self.low) < int32.max else np.int64)

    def contain(self, array: np.ndarray) -> bool:
        """Says whether an array holds numbers within the bounds, which NaN is not."""
        size = array.size
        return bool(
            np.count_nonzero(array >= self.low) == size
            and np.count_nonzero(array <= self.high) == size
        )


def numbers_of(space: types.Space) -> Numbers:
    """Returns what a space says of the numbers in its elements.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space.

    Raises:
        NotImplementedError: for another one.
    """
    kind = kind_of(space)
    of: Any = space
    if kind == "Box":
        return Numbers(of, kind, of.shape, of.low, of.high)
    if kind == "MultiBinary":
        return Numbers(of, kind, of.shape, 0, 1)
    if kind not in ("Discrete", "MultiDiscrete"):
        raise unsupported(space)
    start = getattr(space, "start", 0)
    if kind == "Discrete":
        first, last = int(start), int(start) + int(of.n) - 1
        return Numbers(of, kind, (), first, last, np.asarray(of.n, np.int64))
    num_values = np.asarray(of.nvec, np.int64)
    first_values = np.asarray(start, np.int64)
    last_values = first_values + of.nvec - 1
    return Numbers(of, kind, of.shape, first_values, last_values, num_values)


def bounds(space: types.Space) -> tuple[Any, Any]:
    """Returns the lowest and the highest values of a space of numbers.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space.

    Raises:
        NotImplementedError: for another one.
    """
    numbers = numbers_of(space)
    return numbers.low, numbers.high


def nearest_to_zero(space: types.Space) -> trees.ArrayTree:
    """Returns the element of a space that is nearest to zero: zeros, where they are in the space.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.

    Returns:
        Arrays, in a dictionary or a tuple as the space is.

    Raises:
        NotImplementedError: for a space of another kind.
    """

    def nearest(leaf: types.Space) -> np.ndarray:
        numbers = numbers_of(leaf)
        dtype = numbers.space.dtype
        zeros = np.zeros(numbers.shape, dtype)
        return np.asarray(np.minimum(np.maximum(zeros, numbers.low), numbers.high), dtype)

    return map_leaves(nearest, space)

"""The kinds of spaces, told apart in one place: composite ones, and leaves of numbers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

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

#: The kinds of spaces that other spaces are nested in.
COMPOSITE = ("Dict", "Tuple")

#: The kinds of spaces whose elements are arrays of numbers.
NUMERIC = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")


def kind_of(space: Any) -> str:
    """Returns the name of the class of gym or gymnasium that a space is of, such as 'Box'."""
    return _kind_of_class(type(space))  # type: ignore[arg-type]


@functools.cache
def _kind_of_class(space_class: type) -> str:
    for base in space_class.__mro__:
        if base.__module__.partition(".")[0] in ("gym", "gymnasium"):
            return base.__name__
    return space_class.__name__


def is_composite(space: Any) -> bool:
    """Says whether a space is a Dict or a Tuple."""
    return kind_of(space) in COMPOSITE


def is_numeric(space: Any) -> bool:
    """Says whether a space is a Box, Discrete, MultiDiscrete or MultiBinary one."""
    return kind_of(space) in NUMERIC


def children(space: Any) -> list[tuple[Any, Any]]:
    """Returns the entries of a Dict or Tuple space with their keys, in the space's order."""
    entries = space.spaces
    return list(entries.items() if isinstance(entries, Mapping) else enumerate(entries))


def leaves(space: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yields the spaces nested in a space that are no Dict or Tuple, each with the keys to it."""
    if not is_composite(space):
        yield path, space
        return
    for key, entry in children(space):
        yield from leaves(entry, (*path, key))


def map_leaves(function: Callable[[Any], Any], space: Any) -> Any:
    """Returns what a function makes of the leaves of a space, as a tree nested as the space is."""
    kind = kind_of(space)
    if kind == "Dict":
        return {key: map_leaves(function, entry) for key, entry in children(space)}
    if kind == "Tuple":
        return tuple([map_leaves(function, entry) for _, entry in children(space)])
    return function(space)


def unsupported(space: Any) -> NotImplementedError:
    """Returns the error for a space whose elements are no arrays of a fixed shape."""
    return NotImplementedError(
        "A space must be a Dict, Tuple, Box, Discrete, MultiDiscrete or MultiBinary one, nested at "
        f"will, got {space!r}. Use a MultiDiscrete space of the characters' numbers for a text, "
        "and a Box or MultiBinary space of the greatest size for what varies in size."
    )


@dataclasses.dataclass(eq=False)
class Numbers:
    """What a space that is no Dict or Tuple says of the numbers in its elements."""

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
            return np.dtype(self.space.dtype)
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


def numbers_of(space: Any) -> Numbers:
    """Returns what a space says of the numbers in its elements.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space.

    Raises:
        NotImplementedError: for another one.
    """
    kind = kind_of(space)
    if kind == "Box":
        return Numbers(space, kind, space.shape, space.low, space.high)
    if kind == "MultiBinary":
        return Numbers(space, kind, space.shape, 0, 1)
    if kind not in ("Discrete", "MultiDiscrete"):
        raise unsupported(space)
    start = getattr(space, "start", 0)
    if kind == "Discrete":
        first, last = int(start), int(start) + int(space.n) - 1
        return Numbers(space, kind, (), first, last, np.asarray(space.n, np.int64))
    num_values = np.asarray(space.nvec, np.int64)
    first_values = np.asarray(start, np.int64)
    last_values = first_values + space.nvec - 1
    return Numbers(space, kind, space.shape, first_values, last_values, num_values)


def bounds(space: Any) -> tuple[Any, Any]:
    """Returns the lowest and the highest values of a space of numbers.

    Args:
        space: a Box, Discrete, MultiDiscrete or MultiBinary space.

    Raises:
        NotImplementedError: for another one.
    """
    numbers = numbers_of(space)
    return numbers.low, numbers.high


def nearest_to_zero(space: Any) -> Any:
    """Returns the element of a space that is nearest to zero: zeros, where they are in the space.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.

    Returns:
        Arrays, in a dictionary or a tuple as the space is.

    Raises:
        NotImplementedError: for a space of another kind.
    """

    def nearest(leaf: Any) -> np.ndarray:
        low, high = bounds(leaf)
        number = np.minimum(np.maximum(np.zeros(leaf.shape, leaf.dtype), low), high)
        return np.asarray(number, leaf.dtype)

    return map_leaves(nearest, space)

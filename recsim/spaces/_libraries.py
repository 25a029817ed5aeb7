"""Spaces of gym out of those of gymnasium, and spaces as data."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from recsim._internal.gym_import import spaces as gym_spaces
from recsim.spaces import _kinds

__all__ = ["composed", "gym_integers", "to_gym", "with_float_dtype"]


def composed(tree: Any, library: Any) -> Any:
    """Returns a tree of spaces as one space.

    Args:
        tree: spaces, nested in dictionaries and tuples.
        library: ``gym.spaces`` or ``gymnasium.spaces``, which the spaces are of.
    """
    if isinstance(tree, dict):
        # An ordered one stays in its order.
        entries = OrderedDict((key, composed(entry, library)) for key, entry in tree.items())
        return library.Dict(entries)
    if isinstance(tree, tuple):
        return library.Tuple([composed(entry, library) for entry in tree])
    return tree


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


def gym_integers(nvec: Any, start: Any) -> Any:
    """Returns the Discrete or, of arrays, MultiDiscrete space of gym of so many values from some.

    Args:
        nvec: how many values each number has.
        start: the lowest of them.
    """
    if not np.ndim(nvec):
        return gym_spaces.Discrete(int(nvec), start=int(start))
    if np.any(start):
        return _OffsetMultiDiscrete(nvec, start)
    return gym_spaces.MultiDiscrete(nvec)


def to_gym(space: Any) -> Any:
    """Returns the space of gym that has the elements of a space of gymnasium; gym's as they are.

    Raises:
        NotImplementedError: for a space that gym has no like of.
    """
    if isinstance(space, gym_spaces.Space):
        return space
    return composed(_kinds.map_leaves(_leaf_to_gym, space), gym_spaces)


def _leaf_to_gym(space: Any) -> Any:
    if isinstance(space, gym_spaces.Space):
        return space
    # Old versions of Gym have no texts.
    if _kinds.kind_of(space) == "Text" and hasattr(gym_spaces, "Text"):
        characters = "".join(space.character_list)
        return gym_spaces.Text(space.max_length, min_length=space.min_length, charset=characters)
    numbers = _kinds.numbers_of(space)
    if numbers.num_values is not None:
        return gym_integers(numbers.num_values, numbers.low)
    if numbers.kind == "MultiBinary":
        return gym_spaces.MultiBinary(space.shape)
    return gym_spaces.Box(space.low, space.high, space.shape, space.dtype.type)


def with_float_dtype(space: Any, dtype: np.dtype) -> Any:
    """Returns a space of gymnasium whose Box spaces of floating-point numbers are of a dtype."""
    from gymnasium import spaces

    def converted(leaf: Any) -> Any:
        if isinstance(leaf, spaces.Box) and leaf.dtype.kind == "f" and leaf.dtype != dtype:
            return spaces.Box(leaf.low.astype(dtype), leaf.high.astype(dtype), dtype=dtype.type)
        return leaf

    return composed(_kinds.map_leaves(converted, space), spaces)

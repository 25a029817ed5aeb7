"""Spaces of gym out of those of gymnasium, and spaces out of their entries."""

from __future__ import annotations

from collections import OrderedDict
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import types
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.spaces import _kinds

__all__ = ["composed", "gym_integers", "to_gym", "with_float_dtype"]


def composed(tree: object, library: ModuleType) -> types.Space:
    """Returns a tree of spaces as one space.

    Args:
        tree: spaces, nested in dictionaries and tuples.
        library: ``gym.spaces`` or ``gymnasium.spaces``, which the spaces are of.
    """
    if isinstance(tree, dict):
        # An ordered one stays in its order.
        entries = OrderedDict((key, composed(entry, library)) for key, entry in tree.items())
        space: types.Space = library.Dict(entries)
    elif isinstance(tree, tuple):
        space = library.Tuple([composed(entry, library) for entry in tree])
    else:
        leaf: Any = tree
        space = leaf
    return space


class _OffsetMultiDiscrete(gym_spaces.MultiDiscrete):
    """A MultiDiscrete space of gym whose numbers begin with others than 0, as gymnasium's may.

    Args:
        nvec: how many values each number has.
        start: the lowest of them, of the same shape.
    """

    def __init__(self, nvec: np.ndarray, start: np.ndarray) -> None:
        super().__init__(nvec)
        self.start = np.array(start, self.dtype)

    def sample(self, *mask: object) -> np.ndarray:
        """Returns a random element."""
        base: Any = super()
        numbers: np.ndarray = base.sample(*mask) + self.start
        return numbers

    def contains(self, x: object) -> bool:
        """Says whether something is an element."""
        array = np.asarray(x)
        whole = array.dtype.kind in "iu" and array.shape == self.shape
        return whole and super().contains(array.astype(self.dtype) - self.start)

    def __repr__(self) -> str:
        return f"MultiDiscrete({self.nvec.tolist()}, start={self.start.tolist()})"

    def __eq__(self, other: object) -> bool:
        base: Any = super()
        return base.__eq__(other) and np.array_equal(self.start, getattr(other, "start", 0))


def gym_integers(nvec: ArrayLike, start: ArrayLike) -> gym_spaces.Space[Any]:
    """Returns the Discrete or, of arrays, MultiDiscrete space of gym of so many values from some.

    Args:
        nvec: how many values each number has.
        start: the lowest of them.
    """
    sizes, starts = np.asarray(nvec), np.asarray(start)
    if not sizes.ndim:
        return gym_spaces.Discrete(int(sizes), start=int(starts))
    if starts.any():
        return _OffsetMultiDiscrete(sizes, starts)
    return gym_spaces.MultiDiscrete(sizes)


def to_gym(space: types.Space) -> gym_spaces.Space[Any]:
    """Returns the space of gym that has the elements of a space of gymnasium; gym's as they are.

    Raises:
        NotImplementedError: for a space that gym has no like of.
    """
    if isinstance(space, gym_spaces.Space):
        return space
    converted: Any = composed(_kinds.map_leaves(_leaf_to_gym, space), gym_spaces)
    gym_space: gym_spaces.Space[Any] = converted
    return gym_space


def _leaf_to_gym(space: types.Space) -> gym_spaces.Space[Any]:
    if isinstance(space, gym_spaces.Space):
        return space
    leaf: Any = space
    # Old versions of Gym have no texts.
    if _kinds.kind_of(space) == "Text" and hasattr(gym_spaces, "Text"):
        characters = "".join(leaf.character_list)
        return gym_spaces.Text(leaf.max_length, min_length=leaf.min_length, charset=characters)
    numbers = _kinds.numbers_of(space)
    if numbers.num_values is not None:
        return gym_integers(numbers.num_values, numbers.low)
    if numbers.kind == "MultiBinary":
        return gym_spaces.MultiBinary(leaf.shape)
    return gym_spaces.Box(leaf.low, leaf.high, leaf.shape, leaf.dtype.type)


def with_float_dtype(space: types.Space, dtype: np.dtype) -> types.Space:
    """Returns a space of gymnasium whose Box spaces of floating-point numbers are of a dtype."""
    from gymnasium import spaces

    def converted(leaf: types.Space) -> types.Space:
        if isinstance(leaf, spaces.Box) and leaf.dtype.kind == "f" and leaf.dtype != dtype:
            return spaces.Box(leaf.low.astype(dtype), leaf.high.astype(dtype), dtype=dtype.type)
        return leaf

    return composed(_kinds.map_leaves(converted, space), spaces)

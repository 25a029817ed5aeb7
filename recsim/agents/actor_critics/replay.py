"""A memory of transitions whose actions are points in the space of items' features."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from recsim import types
from recsim._internal import bundles, resources

__all__ = ["PointReplay"]


class PointReplay:
    """The last transitions, whatever the number of users.

    Args:
        capacity: number of transitions.
        shapes: the shapes of what a transition has, by name. All is float32.

    Raises:
        MemoryError: if there is no memory for them.
    """

    def __init__(self, capacity: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        resources.check_memory(
            4 * capacity * sum(map(math.prod, shapes.values())),
            "The transitions of a replay buffer",
            "choose a smaller replay_capacity",
        )
        self.capacity = capacity
        #: Number of transitions added so far.
        self.add_count = 0
        self.arrays: dict[str, np.ndarray] = {
            name: np.zeros((capacity, *shape), np.float32) for name, shape in shapes.items()
        }

    @property
    def size(self) -> int:
        """Number of transitions that are there."""
        return min(self.add_count, self.capacity)

    def add(self, transitions: Mapping[str, np.ndarray]) -> None:
        """Adds transitions: rows of the arrays of these names; of too many the last ones stay."""
        number = len(next(iter(transitions.values())))
        kept = slice(max(0, number - self.capacity), number)
        rows = (self.add_count + np.arange(number)[kept]) % self.capacity
        for name, array in self.arrays.items():
            array[rows] = transitions[name][kept]
        self.add_count += number

    def sample(self, rng: np.random.RandomState, number: int) -> dict[str, np.ndarray]:
        """Returns transitions, all equally likely, with repetition."""
        rows = rng.randint(self.size, size=number)
        return {name: array[rows] for name, array in self.arrays.items()}

    def state_dict(self) -> types.State:
        """Returns the transitions that are there and their number, as data."""
        arrays = {name: array[: self.size].copy() for name, array in self.arrays.items()}
        return {"add_count": self.add_count, "arrays": arrays}

    def check(self, owner: str, state: object) -> None:
        """Raises ValueError for something else than such a buffer's :meth:`state_dict`."""
        outer = bundles.entries(owner, "replay", state, "add_count", "arrays")
        size = min(bundles.count(owner, "add_count", outer["add_count"]), self.capacity)
        entries = bundles.entries(owner, "arrays", outer["arrays"], *self.arrays)
        for name, own in self.arrays.items():
            bundles.array(owner, name, entries[name], (size, *own.shape[1:]))

    def load_state_dict(self, state: types.State) -> None:
        """Restores what :meth:`state_dict` returned, and :meth:`check` does not refuse."""
        self.add_count = int(state["add_count"])
        for name, array in self.arrays.items():
            array[: self.size] = state["arrays"][name]

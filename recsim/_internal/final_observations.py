"""The last observations of episodes that ended in a step of a vector environment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from recsim import types
from recsim._internal import trees

__all__ = ["FinalObservations"]


class FinalObservations(Sequence["types.Observation | None"]):
    """The last observations of episodes that ended, as a sequence with an entry for each user.

    An entry is a user's observation, or None where no episode ended; it is made when it is asked
    for. Indices are integers, or slices, lists and arrays of them or of bools, which give lists.
    :attr:`batch` has all of them as arrays, for vectorized agents.

    Args:
        batch: the observations of all users, whose rows count where an episode ended; or a
            function that returns them, called when they are first asked for.
        ended: where an episode ended, bools of shape (n_users,).
    """

    def __init__(
        self, batch: types.Observation | Callable[[], types.Observation], ended: np.ndarray
    ) -> None:
        if callable(batch):
            self._make_batch = batch
        else:
            self.batch = batch
        self._ended = ended
        self._replaced: dict[int, types.Observation | None] = {}

    @functools.cached_property
    def batch(self) -> types.Observation:
        """The observations as arrays with the users on axis 0.

        An environment's are put together when they are first asked for. The rows of users whose
        episodes continue are as in the observation that came with them.
        """
        batch = self._make_batch()
        del self._make_batch  # It holds other observations.
        return batch

    def __len__(self) -> int:
        return len(self._ended)

    @overload
    def __getitem__(self, index: int) -> types.Observation | None: ...

    @overload
    def __getitem__(
        self, index: slice | Sequence[int] | np.ndarray
    ) -> list[types.Observation | None]: ...

    def __getitem__(
        self, index: int | slice | Sequence[int] | np.ndarray
    ) -> types.Observation | list[types.Observation | None] | None:
        if isinstance(index, slice) or np.ndim(index):
            return [self[i] for i in np.arange(len(self))[index].tolist()]
        one: Any = index
        row = range(len(self))[one]
        if row in self._replaced:
            return self._replaced[row]
        # With the dots a number is an array, as the spaces of Gymnasium have it.
        return trees.rows_of(self.batch, (row, ...)) if self._ended[row] else None

    def __setitem__(self, index: int, observation: types.Observation | None) -> None:
        """Replaces an entry, as Gymnasium's wrappers of observations do."""
        self._replaced[range(len(self))[index]] = observation

"""Arrays of the single-user engine's observations, as the vector engine has them.

Arrays are nested in dictionaries and tuples as their space is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers as number_checks
from recsim._internal import trees
from recsim.spaces import _batch, _check, _kinds

__all__ = ["ObservationStacker", "stacker"]

#: How many numbers Python looks at faster than NumPy.
_FEW = 12


def stacker(space: types.Space, axes: int, name: str) -> Callable[[Any], trees.ArrayTree]:
    """Returns a function that makes arrays of items of a space, nested as the space is.

    It takes items in lists that are nested ``axes`` deep, and raises ValueError for what is not in
    the space.

    Args:
        space: a space that :func:`stacked_space` knows.
        axes: number of axes that count items.
        name: what to call the items in errors.
    """
    if _kinds.is_composite(space):
        return _CompositeStacker(space, axes, name)
    return _ArrayStacker(space, axes, name)


class ObservationStacker:
    """Makes arrays of observations of the single-user engine, as the vector engine has them.

    Where a slate was short, or there was none, the element nearest to zero stands for a response.

    Args:
        spaces_of_parts: the spaces of gym of the user, of a document and of a response, as
            :func:`spaces_of` returns them.
        num_candidates: number of documents in an observation.
        slate_size: number of responses.
        many: whether observations come in lists, one a user, rather than one at a time.

    Raises:
        NotImplementedError: if a space is not a Box, Discrete, MultiDiscrete, MultiBinary, or
            Dict or Tuple of them.
    """

    def __init__(
        self,
        spaces_of_parts: tuple[types.Space, types.Space, types.Space],
        num_candidates: int,
        slate_size: int,
        *,
        many: bool,
    ) -> None:
        from gymnasium import spaces

        user, document, response = spaces_of_parts
        self._many = many
        self._no_responses = [_kinds.nearest_to_zero(response)] * slate_size
        self._stack_user = stacker(user, int(many), "users" if many else "the user")
        self._stack_documents = stacker(document, 1 + many, "documents")
        self._stack_responses = stacker(response, 1 + many, "responses")
        of_parts: Any = {
            "user": _batch.stacked_space(user, None),
            "doc": _batch.stacked_space(document, num_candidates),
            "response": _batch.stacked_space(response, slate_size),
        }
        #: The space of gymnasium of one user's arrays.
        self.space = spaces.Dict(of_parts)

    def __call__(
        self, observations: types.Observation | Sequence[types.Observation]
    ) -> types.Observation:
        """Returns the arrays of an observation, or of a list of them with the users on axis 0.

        Raises:
            ValueError: if a part is not in its space.
        """
        given: Any = observations
        users: Any
        documents: list[Any]
        responses: list[Any]
        if self._many:
            parts = [self._parts(observation) for observation in given]
            users, documents, responses = (list(part) for part in zip(*parts))
        else:
            users, documents, responses = self._parts(given)
        return {
            "user": self._stack_user(users),
            "doc": self._stack_documents(documents),
            "response": self._stack_responses(responses),
        }

    def _parts(self, observation: Mapping[str, Any]) -> tuple[Any, list[Any], list[Any]]:
        responses = list(observation["response"] or ())  # None after a reset.
        responses += self._no_responses[len(responses) :]
        return observation["user"], list(observation["doc"].values()), responses


class _CompositeStacker:
    """Makes arrays of items that are dictionaries or tuples, nested as they are."""

    def __init__(self, space: types.Space, axes: int, name: str) -> None:
        self._space = space
        self._axes = axes
        self._name = name
        self._is_tuple = _kinds.kind_of(space) == "Tuple"
        entries = _kinds.children(space)
        self._keys = [key for key, _ in entries]
        self._stackers = [stacker(entry, axes, f"{name}[{key!r}]") for key, entry in entries]

    def __call__(self, items: object) -> trees.ArrayTree:
        nested: Any = items
        try:
            if self._axes == 1:
                columns = [[item[key] for item in nested] for key in self._keys]
            elif self._axes == 0:
                columns = [nested[key] for key in self._keys]
            else:
                columns = [[[item[key] for item in row] for row in nested] for key in self._keys]
        except (IndexError, KeyError, TypeError):
            raise ValueError(
                f"{self._name} must be an element of {self._space}, got "
                f"{number_checks.described(items)}."
            ) from None
        arrays = [stack(column) for stack, column in zip(self._stackers, columns)]
        return tuple(arrays) if self._is_tuple else dict(zip(self._keys, arrays))


class _ArrayStacker:
    """Makes one array of items that are numbers."""

    def __init__(self, space: types.Space, axes: int, name: str) -> None:
        numbers = _kinds.numbers_of(space)
        self._space = space
        self._axes = axes
        self._name = name
        self._dtype = numbers.dtype
        self._is_float = self._dtype.kind == "f"
        self._shape = tuple(numbers.shape)
        self._low, self._high = np.asarray(numbers.low), np.asarray(numbers.high)
        # NaN is below any bound.
        self._has_high = not (self._high == np.inf).all()
        # Where all numbers have the same bounds, Python compares a few of them before a call of
        # NumPy's has begun.
        lowest, highest = np.unique(self._low), np.unique(self._high)
        self._few = -1
        if lowest.size == highest.size == 1:
            self._few = _FEW
            self._lowest, self._highest = lowest.item(), highest.item()
        self._python_type = float if self._is_float else int
        self._are_listed_numbers = axes == 1 and not self._shape and self._few > 0

    def __call__(self, items: object) -> np.ndarray:
        listed: Any = items
        if self._are_listed_numbers and len(listed) <= _FEW:
            python_type, lowest, highest = self._python_type, self._lowest, self._highest
            for item in listed:
                if type(item) is not python_type or not lowest <= item <= highest:
                    break
            else:
                return np.array(listed, self._dtype)
        try:
            array = given = np.asarray(items)
        except ValueError:
            raise ValueError(
                f"{self._name} must be elements of {self._space}, got lists of different lengths: "
                f"{number_checks.described(items)}."
            ) from None
        if array.dtype != self._dtype:
            kind = array.dtype.kind
            if self._is_float and kind in "fiu":
                array = array.astype(self._dtype)
            elif self._is_float or kind not in "iu":
                array = self._cast(array)
        if array.shape[self._axes :] != self._shape:
            raise ValueError(
                f"{self._name} must have the shape {self._shape} of {self._space}, got "
                f"{array.shape[self._axes :]}."
            )
        if not self._within_bounds(array):
            raise _check.outside(self._space, array, self._name)
        if array.dtype != self._dtype:
            # Integers within the bounds are the same in the space's dtype.
            return array.astype(self._dtype)
        # A copy of what is not a list: what is returned is never changed.
        return array.copy() if array is given and not self._axes else array

    def _within_bounds(self, array: np.ndarray) -> bool:
        size = array.size
        if size <= self._few:
            lowest, highest = self._lowest, self._highest
            for number in array.ravel().tolist():  # noqa: SIM110 - a generator takes longer
                if not lowest <= number <= highest:
                    return False
            return True
        return np.count_nonzero(array >= self._low) == size and (
            not self._has_high or np.count_nonzero(array <= self._high) == size
        )

    def _cast(self, array: np.ndarray) -> np.ndarray:
        """Returns an array as one of the space's dtype, in which its numbers are the same.

        Floating-point numbers are rounded to the precision of the dtype.
        """
        name, space = self._name, self._space
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{name} must hold numbers of {space}, got "
                f"{number_checks.described(array.tolist())}."
            )
        if self._is_float:
            return array.astype(self._dtype)
        with np.errstate(invalid="ignore"):  # NaN is not an integer: it differs.
            cast = array.astype(self._dtype)
        if np.count_nonzero(cast == array) != array.size:
            raise ValueError(
                f"{name} must hold integers of {space}, got "
                f"{number_checks.described(array.tolist())}."
            )
        return cast

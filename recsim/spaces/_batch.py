"""Spaces of one observation and of many along a new axis, and arrays of many observations.

The single-user engine has a dictionary of documents and a tuple of responses, each a small
observation of its own. The vector engine has arrays, whose axis 1 counts a user's documents or the
positions of the slate. Arrays are nested in dictionaries and tuples as their space is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsim._internal import numbers as number_checks
from recsim._internal import trees
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.spaces import _kinds, _libraries

__all__ = [
    "ObservationStacker",
    "Stacker",
    "check_arrays",
    "check_items",
    "item_spaces",
    "single_user_space",
    "spaces_of",
    "stacked_space",
]


#: How many numbers Python looks at faster than NumPy.
_FEW = 12


def spaces_of(env: Any) -> tuple[Any, Any, Any]:
    """Returns the spaces of gym of the user, of a document and of a response.

    Args:
        env: a RecSimGymEnv with one user.

    Raises:
        ValueError: if documents or responses have different spaces, for they are to be rows of
            arrays; or if there is not one response for each position of a slate.
    """
    space: Any = env.observation_space
    slate_size = env.environment.slate_size
    documents = list(space["doc"].spaces.values())
    responses = list(getattr(space["response"], "spaces", ()))
    if len(responses) != slate_size:
        raise ValueError(
            f"response_space() must be a Tuple space of slate_size={slate_size} responses, got "
            f"{space['response']!r}."
        )
    for name, items in (("documents", documents), ("responses", responses)):
        for item in items:
            if item != items[0]:
                raise ValueError(
                    f"All {name} must have the same observation space, to be rows of arrays, got "
                    f"{items[0]!r} and {item!r}: give them a space that holds all of them, or use "
                    "the environment in RecSim's form."
                )
    return space["user"], documents[0], responses[0]


def single_user_space(observation_space: Any) -> Any:
    """Returns the space of a user's observations in the single-user engine.

    Args:
        observation_space: the space of one user's observations in the vector engine
            (``environment.single_observation_space``).

    Returns:
        A Dict space of gym, whose documents have the keys '0', '1', ….

    Raises:
        ValueError: if the space is no Dict of 'user', 'doc' and 'response'.
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    entries: Any = getattr(observation_space, "spaces", {})
    if not {"user", "doc", "response"} <= set(entries):
        raise ValueError(
            "observation_space must be a Dict space of 'user', 'doc' and 'response' "
            f"(environment.single_observation_space), got {observation_space!r}."
        )
    documents = item_spaces(entries["doc"])
    return gym_spaces.Dict(
        {
            "user": _libraries.to_gym(entries["user"]),
            "doc": gym_spaces.Dict({str(i): space for i, space in enumerate(documents)}),
            "response": gym_spaces.Tuple(item_spaces(entries["response"])),
        }
    )


def item_spaces(space: Any) -> list[Any]:
    """Returns the spaces of gym of the items, documents or responses, that axis 0 counts.

    Raises:
        ValueError: if entries have different numbers of items.
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    columns = _kinds.map_leaves(_items_of_leaf, space)
    lengths = {len(column) for column in trees.leaves(columns)}
    if len(lengths) != 1:
        raise ValueError(f"All entries must have as many items, got {space!r}.")
    return [_libraries.composed(row, gym_spaces) for row in trees.split(columns, lengths.pop())]


def _items_of_leaf(space: Any) -> list[Any]:
    numbers = _kinds.numbers_of(space)
    if not numbers.shape:
        raise NotImplementedError(
            "The spaces of documents and responses must be Dict, Tuple, Box, MultiDiscrete or "
            f"MultiBinary ones with an axis that counts them, got {space!r}."
        )
    if numbers.num_values is not None:
        starts = np.broadcast_to(numbers.low, numbers.shape)
        return [
            _libraries.gym_integers(num_values, start)
            for num_values, start in zip(numbers.num_values, starts)
        ]
    if numbers.kind == "MultiBinary":
        shape = numbers.shape[1:]
        item = gym_spaces.MultiBinary(shape) if shape else gym_spaces.Discrete(2)
        return [item] * numbers.shape[0]
    return [
        gym_spaces.Box(low, high, numbers.shape[1:], space.dtype.type)
        for low, high in zip(numbers.low, numbers.high)
    ]


def check_items(name: str, space: Any, number: int) -> None:
    """Checks that a space is of arrays whose axis 0 counts so many items.

    Args:
        name: what the space is of, for errors.
        space: a space of gymnasium.
        number: number of items.

    Raises:
        ValueError: if an entry has another number of them.
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    for path, leaf in _kinds.leaves(space):
        if _kinds.numbers_of(leaf).shape[:1] != (number,):
            of_entry = "".join(f"[{key!r}]" for key in path)
            raise ValueError(
                f"The space of {name}{of_entry} must have {number} items on axis 0, got {leaf} of "
                f"shape {leaf.shape}."
            )


def stacked_space(space: Any, number: int | None) -> Any:
    """Returns the gymnasium space of so many items of a space of gym, along a new axis 0.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.
        number: number of items; None for the space of one item, without a new axis.

    Raises:
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    from gymnasium import spaces

    def repeat(values: Any) -> np.ndarray:
        return np.asarray(values) if number is None else np.stack([np.asarray(values)] * number)

    def stacked(leaf: Any) -> Any:
        numbers = _kinds.numbers_of(leaf)
        if numbers.kind == "Box":
            return spaces.Box(repeat(leaf.low), repeat(leaf.high), dtype=leaf.dtype.type)
        if numbers.num_values is None:
            shape = numbers.shape
            return spaces.MultiBinary(shape if number is None else (number, *shape))
        if numbers.kind == "Discrete" and number is None:
            return spaces.Discrete(int(leaf.n), start=numbers.low)
        sizes, dtype = numbers.num_values, numbers.dtype
        starts = np.broadcast_to(numbers.low, sizes.shape).astype(dtype)
        return spaces.MultiDiscrete(repeat(sizes), dtype=dtype.type, start=repeat(starts))

    return _libraries.composed(_kinds.map_leaves(stacked, space), spaces)


class Stacker:
    """Makes arrays of the items of a space, nested as the space is, and refuses what is not in it.

    Args:
        space: a space that :func:`stacked_space` knows.
        axes: number of axes that count items.
        name: what to call the items in errors.
    """

    def __init__(self, space: Any, axes: int, name: str) -> None:
        make = _CompositeStacker if _kinds.is_composite(space) else _ArrayStacker
        self._stack: Callable[[Any], Any] = make(space, axes, name)

    def __call__(self, items: Any) -> Any:
        """Returns items as arrays.

        Args:
            items: the items, in lists that are nested ``axes`` deep.

        Raises:
            ValueError: if an item is not in the space.
        """
        return self._stack(items)


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
        NotImplementedError: if a space is no Box, Discrete, MultiDiscrete, MultiBinary, or Dict or
            Tuple of them.
    """

    def __init__(
        self,
        spaces_of_parts: tuple[Any, Any, Any],
        num_candidates: int,
        slate_size: int,
        *,
        many: bool,
    ) -> None:
        from gymnasium import spaces

        user, document, response = spaces_of_parts
        self._many = many
        self._no_responses = [_kinds.nearest_to_zero(response)] * slate_size
        self._stack_user = Stacker(user, int(many), "users" if many else "the user")._stack
        self._stack_documents = Stacker(document, 1 + many, "documents")._stack
        self._stack_responses = Stacker(response, 1 + many, "responses")._stack
        #: The space of gymnasium of one user's arrays.
        self.space = spaces.Dict(
            {
                "user": stacked_space(user, None),
                "doc": stacked_space(document, num_candidates),
                "response": stacked_space(response, slate_size),
            }
        )

    def __call__(self, observations: Any) -> dict[str, Any]:
        """Returns the arrays of an observation, or of a list of them with the users on axis 0.

        Raises:
            ValueError: if a part is not in its space.
        """
        if self._many:
            parts = [self._parts(observation) for observation in observations]
            users, documents, responses = (list(part) for part in zip(*parts))
        else:
            users, documents, responses = self._parts(observations)
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

    def __init__(self, space: Any, axes: int, name: str) -> None:
        self._space = space
        self._axes = axes
        self._name = name
        self._is_tuple = _kinds.kind_of(space) == "Tuple"
        entries = _kinds.children(space)
        self._keys = [key for key, _ in entries]
        self._stackers = [Stacker(entry, axes, f"{name}[{key!r}]")._stack for key, entry in entries]

    def __call__(self, items: Any) -> Any:
        try:
            if self._axes == 1:
                columns = [[item[key] for item in items] for key in self._keys]
            elif self._axes == 0:
                columns = [items[key] for key in self._keys]
            else:
                columns = [[[item[key] for item in row] for row in items] for key in self._keys]
        except (IndexError, KeyError, TypeError):
            raise ValueError(
                f"{self._name} must be an element of {self._space}, got "
                f"{number_checks.described(items)}."
            ) from None
        arrays = [stack(column) for stack, column in zip(self._stackers, columns)]
        return tuple(arrays) if self._is_tuple else dict(zip(self._keys, arrays))


class _ArrayStacker:
    """Makes one array of items that are numbers."""

    def __init__(self, space: Any, axes: int, name: str) -> None:
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

    def __call__(self, items: Any) -> np.ndarray:
        if self._are_listed_numbers and len(items) <= _FEW:
            python_type, lowest, highest = self._python_type, self._lowest, self._highest
            for item in items:
                if type(item) is not python_type or not lowest <= item <= highest:
                    break
            else:
                return np.array(items, self._dtype)
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
            raise _outside(self._space, array, self._name)
        if array.dtype != self._dtype:
            # Integers within the bounds are the same in the space's dtype.
            return array.astype(self._dtype)
        # A copy of what is no list: what is handed out is never changed.
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
        with np.errstate(invalid="ignore"):  # NaN is no integer: it differs.
            cast = array.astype(self._dtype)
        if np.count_nonzero(cast == array) != array.size:
            raise ValueError(
                f"{name} must hold integers of {space}, got "
                f"{number_checks.described(array.tolist())}."
            )
        return cast


def _outside(space: Any, array: np.ndarray, name: str) -> ValueError:
    return ValueError(
        f"{name} must lie within {space}, got {number_checks.described(array.tolist())}."
    )


def check_arrays(space: Any, tree: Any, name: str) -> None:
    """Checks nested arrays, whose first axis counts users, against the space of one user.

    Args:
        space: a space of gymnasium.
        tree: the arrays.
        name: what to call them in errors.

    Raises:
        ValueError: naming the first array that does not fit.
    """
    if _kinds.is_composite(space):
        entries = _kinds.children(space)
        keys = set(range(len(tree)) if isinstance(tree, (tuple, list)) else tree)
        if keys != {key for key, _ in entries}:
            raise ValueError(
                f"{name} must have the entries {[key for key, _ in entries]}, got {sorted(keys)}."
            )
        for key, entry in entries:
            check_arrays(entry, tree[key], f"{name}[{key!r}]")
        return
    array = np.asarray(tree)
    if array.shape[1:] != space.shape:
        raise ValueError(
            f"{name} must have the shape (n_users, *{space.shape}), as its space has it, got "
            f"{array.shape}."
        )
    if not np.can_cast(array.dtype, space.dtype):
        raise ValueError(
            f"{name} must be of dtype {space.dtype}, as its space has it, got {array.dtype}."
        )
    if not _kinds.numbers_of(space).contain(array):
        raise _outside(space, array, name)

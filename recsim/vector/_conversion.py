"""Observations and their spaces, of one user as the single-user engine has them and of many.

The single-user engine has a dictionary of documents and a tuple of responses, each a small
observation of its own. The vector engine has arrays, whose axis 1 counts a user's documents or the
positions of the slate. Arrays are nested in dictionaries and tuples as their space is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim import spaces as spaces_lib
from recsim._internal import numbers
from recsim._internal.gym_import import spaces as gym_spaces

__all__ = [
    "Stacker",
    "check_arrays",
    "check_items",
    "item_spaces",
    "map_arrays",
    "rows_of",
    "single_user_space",
    "spaces_of",
    "split_items",
    "stacked_space",
    "with_rows",
]


def map_arrays(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """Returns what a function makes of nested arrays."""
    if isinstance(tree, Mapping):
        return {key: map_arrays(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple([map_arrays(function, value) for value in tree])
    return function(tree)


def with_rows(tree: Any, rows: np.ndarray, row: Any) -> Any:
    """Returns nested arrays with some rows replaced by another one.

    Args:
        tree: the arrays.
        rows: indices of the rows.
        row: what to put there, nested as the arrays are.
    """
    if isinstance(tree, Mapping):
        return {key: with_rows(value, rows, row[key]) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple([with_rows(value, rows, entry) for value, entry in zip(tree, row)])
    array = tree.copy(order="K")
    array[rows] = row
    return array


def rows_of(tree: Any, rows: Any) -> Any:
    """Returns rows, a slice or indices, of nested arrays."""
    return map_arrays(lambda array: array[rows], tree)


def split_items(tree: Any, number: int) -> list[Any]:
    """Returns the items that axis 0 of nested arrays counts."""
    return [map_arrays(lambda array, i=i: array[i], tree) for i in range(number)]  # type: ignore[misc]


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
            "user": spaces_lib.to_gym(entries["user"]),
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
    kind = spaces_lib.kind_of(space)
    if kind in ("Dict", "Tuple"):
        columns = {key: item_spaces(entry) for key, entry in spaces_lib.children(space)}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"All entries must have as many items, got {space!r}.")
        rows = [
            OrderedDict((key, column[i]) for key, column in columns.items())
            for i in range(lengths.pop())
        ]
        if kind == "Dict":
            return [gym_spaces.Dict(row) for row in rows]
        return [gym_spaces.Tuple(list(row.values())) for row in rows]
    if not space.shape:
        raise _unknown(space)
    if kind == "Box":
        return [
            gym_spaces.Box(low, high, space.shape[1:], space.dtype.type)
            for low, high in zip(space.low, space.high)
        ]
    if kind == "MultiDiscrete":
        from gymnasium import spaces

        starts = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
        return [
            spaces_lib.to_gym(spaces.MultiDiscrete(number, start=start))
            if number.ndim
            else gym_spaces.Discrete(int(number), start=int(start))
            for number, start in zip(space.nvec, starts)
        ]
    if kind == "MultiBinary":
        shape = space.shape[1:]
        item = gym_spaces.MultiBinary(shape) if shape else gym_spaces.Discrete(2)
        return [item] * space.shape[0]
    raise _unknown(space)


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
    if spaces_lib.kind_of(space) in ("Dict", "Tuple"):
        for key, entry in spaces_lib.children(space):
            check_items(f"{name}[{key!r}]", entry, number)
        return
    spaces_lib.bounds(space)  # Which knows the kinds.
    if space.shape[:1] != (number,):
        raise ValueError(
            f"The space of {name} must have {number} items on axis 0, got {space} of shape "
            f"{space.shape}."
        )


def _unknown(space: Any) -> Exception:
    if not isinstance(getattr(space, "shape", None), tuple):
        return spaces_lib.unsupported(space)
    return NotImplementedError(
        "The spaces of documents and responses must be Dict, Tuple, Box, MultiDiscrete or "
        f"MultiBinary ones with an axis that counts them, got {space!r}."
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

    kind = spaces_lib.kind_of(space)
    entries = [(key, stacked_space(entry, number)) for key, entry in _entries_of(space, kind)]
    if kind == "Dict":
        return spaces.Dict(OrderedDict(entries))
    if kind == "Tuple":
        return spaces.Tuple([entry for _, entry in entries])
    if kind == "Box":
        return spaces.Box(repeat(space.low), repeat(space.high), dtype=space.dtype.type)
    if kind == "MultiBinary":
        return spaces.MultiBinary(space.shape if number is None else (number, *space.shape))
    low, _ = spaces_lib.bounds(space)
    if kind == "Discrete" and number is None:
        return spaces.Discrete(int(space.n), start=low)
    dtype = _dtype(space)
    sizes = np.asarray(space.n if kind == "Discrete" else space.nvec, np.int64)
    starts = np.broadcast_to(low, sizes.shape).astype(dtype)
    return spaces.MultiDiscrete(repeat(sizes), dtype=dtype, start=repeat(starts))


def _entries_of(space: Any, kind: str) -> Sequence[tuple[Any, Any]]:
    return spaces_lib.children(space) if kind in ("Dict", "Tuple") else ()


def _dtype(space: Any) -> Any:
    """Returns the dtype of arrays of items of a space that is no Dict or Tuple."""
    kind = spaces_lib.kind_of(space)
    if kind in ("Box", "MultiBinary"):
        return space.dtype.type
    low, high = spaces_lib.bounds(space)
    int32 = np.iinfo(np.int32)
    # The number of values is in the space too.
    fits = np.min(low) >= int32.min and np.max(high) <= int32.max
    return np.int32 if fits and np.max(high - low) < int32.max else np.int64


class Stacker:
    """Makes arrays of the items of a space, nested as the space is, and refuses what is not in it.

    Args:
        space: a space that :func:`stacked_space` knows.
        axes: number of axes that count items.
        name: what to call the items in errors.
    """

    def __init__(self, space: Any, axes: int, name: str) -> None:
        self._space = space
        self._axes = axes
        self._name = name
        self._kind = spaces_lib.kind_of(space)
        self._entries = [
            (key, Stacker(entry, axes, f"{name}[{key!r}]"))
            for key, entry in _entries_of(space, self._kind)
        ]
        if self._kind not in ("Dict", "Tuple"):
            self._dtype = np.dtype(_dtype(space))
            self._is_float = self._dtype.kind == "f"
            self._shape = tuple(space.shape)
            low, high = spaces_lib.bounds(space)
            self._low, self._high = np.asarray(low), np.asarray(high)
            # NaN is below any bound.
            self._has_high = not (self._high == np.inf).all()

    def __call__(self, items: Any) -> Any:
        """Returns items as arrays.

        Args:
            items: the items, in lists that are nested ``axes`` deep.

        Raises:
            ValueError: if an item is not in the space.
        """
        if self._kind == "Dict":
            return {key: entry(self._column(items, key)) for key, entry in self._entries}
        if self._kind == "Tuple":
            return tuple(entry(self._column(items, key)) for key, entry in self._entries)
        try:
            array = np.array(items)  # A copy: what is handed out is never changed.
        except ValueError:
            raise ValueError(
                f"{self._name} must be elements of {self._space}, got lists of different lengths: "
                f"{numbers.described(items)}."
            ) from None
        dtype = array.dtype
        if dtype != self._dtype and (self._is_float or dtype.kind not in "iu"):
            array = self._cast(array)
        if array.shape[self._axes :] != self._shape:
            raise ValueError(
                f"{self._name} must have the shape {self._shape} of {self._space}, got "
                f"{array.shape[self._axes :]}."
            )
        size = array.size
        if np.count_nonzero(array >= self._low) != size or (
            self._has_high and np.count_nonzero(array <= self._high) != size
        ):
            raise _outside(self._space, array, self._name)
        # Integers within the bounds are the same in the space's dtype.
        return array if array.dtype == self._dtype else array.astype(self._dtype)

    def _column(self, items: Any, key: Any) -> Any:
        """Returns an entry of each item."""
        try:
            if self._axes == 1:
                return [item[key] for item in items]
            if self._axes == 0:
                return items[key]
            return [[item[key] for item in row] for row in items]
        except (IndexError, KeyError, TypeError):
            raise ValueError(
                f"{self._name} must be an element of {self._space}, got {numbers.described(items)}."
            ) from None

    def _cast(self, array: np.ndarray) -> np.ndarray:
        """Returns an array as one of the space's dtype, in which its numbers are the same.

        Floating-point numbers are rounded to the precision of the dtype.
        """
        name, space = self._name, self._space
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{name} must hold numbers of {space}, got {numbers.described(array.tolist())}."
            )
        if self._is_float:
            return array.astype(self._dtype)
        with np.errstate(invalid="ignore"):  # NaN is no integer: it differs.
            cast = array.astype(self._dtype)
        if np.count_nonzero(cast == array) != array.size:
            raise ValueError(
                f"{name} must hold integers of {space}, got {numbers.described(array.tolist())}."
            )
        return cast


def _outside(space: Any, array: np.ndarray, name: str) -> ValueError:
    return ValueError(f"{name} must lie within {space}, got {numbers.described(array.tolist())}.")


def check_arrays(space: Any, tree: Any, name: str) -> None:
    """Checks nested arrays, whose first axis counts users, against the space of one user.

    Args:
        space: a space of gymnasium.
        tree: the arrays.
        name: what to call them in errors.

    Raises:
        ValueError: naming the first array that does not fit.
    """
    kind = spaces_lib.kind_of(space)
    if kind in ("Dict", "Tuple"):
        entries = spaces_lib.children(space)
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
    low, high = spaces_lib.bounds(space)
    if not ((array >= low) & (array <= high)).all():
        raise _outside(space, array, name)

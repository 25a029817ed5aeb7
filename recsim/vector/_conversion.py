"""Observations and their spaces, of one user as the single-user engine has them and of many.

The single-user engine has a dictionary of documents and a tuple of responses, each a small
observation of its own. The vector engine has arrays, whose axis 1 counts a user's documents or the
positions of the slate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recsim._gym import spaces as gym_spaces

__all__ = [
    "item_spaces",
    "map_arrays",
    "rows_of",
    "single_user_space",
    "split_items",
    "stack",
    "stacked_space",
    "zeros",
]


def map_arrays(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """Returns what a function makes of the arrays of a nested dictionary."""
    if isinstance(tree, Mapping):
        return {key: map_arrays(function, value) for key, value in tree.items()}
    return function(tree)


def rows_of(tree: Any, rows: Any) -> Any:
    """Returns rows, a slice or indices, of the arrays of a nested dictionary."""
    return map_arrays(lambda array: array[rows], tree)


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
            "user": _as_gym(entries["user"]),
            "doc": gym_spaces.Dict({str(i): space for i, space in enumerate(documents)}),
            "response": gym_spaces.Tuple(item_spaces(entries["response"])),
        }
    )


def _as_gym(space: Any) -> Any:
    """Returns a space of gym that has the elements of one of gymnasium or gym."""
    kind = type(space).__name__
    if kind == "Dict":
        return gym_spaces.Dict({key: _as_gym(entry) for key, entry in space.spaces.items()})
    if kind == "Box":
        return gym_spaces.Box(space.low, space.high, space.shape, space.dtype.type)
    if kind == "Discrete":
        return gym_spaces.Discrete(int(space.n), start=_start(space))
    if kind == "MultiDiscrete":
        return gym_spaces.MultiDiscrete(space.nvec)
    if kind == "MultiBinary":
        return gym_spaces.Box(0, 1, space.shape, np.int8)
    raise _unknown(space)


def item_spaces(space: Any) -> list[Any]:
    """Returns the spaces of gym of the items, documents or responses, that axis 0 counts."""
    kind = type(space).__name__
    if kind == "Dict":
        columns = {key: item_spaces(entry) for key, entry in space.spaces.items()}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"All entries must have as many items, got {space!r}.")
        return [
            gym_spaces.Dict({key: column[i] for key, column in columns.items()})
            for i in range(lengths.pop())
        ]
    if kind == "Box" and space.shape:
        return [
            gym_spaces.Box(low, high, space.shape[1:], space.dtype.type)
            for low, high in zip(space.low, space.high)
        ]
    if kind == "MultiDiscrete":
        starts = np.broadcast_to(getattr(space, "start", 0), space.nvec.shape)
        return [
            gym_spaces.MultiDiscrete(number)
            if number.ndim
            else gym_spaces.Discrete(int(number), start=int(start))
            for number, start in zip(space.nvec, starts)
        ]
    if kind == "MultiBinary":
        shape = space.shape[1:]
        item = gym_spaces.Box(0, 1, shape, np.int8) if shape else gym_spaces.Discrete(2)
        return [item] * space.shape[0]
    raise _unknown(space)


def _unknown(space: Any) -> NotImplementedError:
    return NotImplementedError(
        "A space must be a Dict, Box, Discrete, MultiDiscrete or MultiBinary one, those of "
        f"documents and responses with an axis that counts them, got {space!r}."
    )


def split_items(tree: Any, number: int) -> list[Any]:
    """Returns the items that axis 0 of the arrays of a nested dictionary counts."""
    return [map_arrays(lambda array, i=i: array[i], tree) for i in range(number)]  # type: ignore[misc]


def stacked_space(space: Any, number: int | None) -> Any:
    """Returns the gymnasium space of so many items of a space of gym, along a new axis 0.

    Args:
        space: a Dict, Box, Discrete or MultiDiscrete space.
        number: number of items; None for the space of one item, without a new axis.

    Raises:
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    from gymnasium import spaces

    def repeat(values: Any) -> np.ndarray:
        return np.asarray(values) if number is None else np.stack([np.asarray(values)] * number)

    kind = type(space).__name__
    if kind == "Dict":
        entries = {key: stacked_space(entry, number) for key, entry in space.spaces.items()}
        return spaces.Dict(entries)
    if kind == "Box":
        return spaces.Box(repeat(space.low), repeat(space.high), dtype=space.dtype.type)
    if kind == "Discrete" and number is None:
        return spaces.Discrete(int(space.n), start=_start(space))
    if kind == "Discrete":
        starts = np.full(number, _start(space), np.int32)  # type: ignore[arg-type]
        return spaces.MultiDiscrete(repeat(int(space.n)), dtype=np.int32, start=starts)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(repeat(space.nvec), dtype=np.int32)
    raise _unknown(space)


def _start(space: Any) -> int:
    return int(getattr(space, "start", 0))


def stack(space: Any, items: Sequence[Any], axes: int = 1) -> Any:
    """Returns items of a space as arrays, nested as the space is.

    Args:
        space: a space that :func:`stacked_space` knows.
        items: the items, in lists that are nested ``axes`` deep.
        axes: number of axes that count items.
    """
    if type(space).__name__ == "Dict":
        return {
            key: stack(entry, _entries(items, key, axes), axes)
            for key, entry in space.spaces.items()
        }
    dtype = space.dtype if type(space).__name__ == "Box" else np.int32
    return np.array(items, dtype)


def _entries(items: Any, key: str, axes: int) -> Any:
    return [_entries(item, key, axes - 1) for item in items] if axes else items[key]


def zeros(space: Any) -> Any:
    """Returns an item of zeros of a space that :func:`stacked_space` knows."""
    if type(space).__name__ == "Dict":
        return {key: zeros(entry) for key, entry in space.spaces.items()}
    return np.zeros(space.shape, np.float32)

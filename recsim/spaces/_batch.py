"""Spaces of one observation and of many along a new axis.

The single-user engine has a dictionary of documents and a tuple of responses, each a small
observation of its own. The vector engine has arrays, whose axis 1 counts a user's documents or the
positions of the slate. Arrays are nested in dictionaries and tuples as their space is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsim import types
from recsim._internal import trees
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.spaces import _kinds, _libraries

__all__ = [
    "check_items",
    "item_spaces",
    "single_user_space",
    "spaces_of",
    "stacked_space",
]


def spaces_of(
    env: types.RecommenderEnv,
) -> tuple[gym_spaces.Space[Any], gym_spaces.Space[Any], gym_spaces.Space[Any]]:
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


def single_user_space(observation_space: types.Space) -> gym_spaces.Dict:
    """Returns the space of a user's observations in the single-user engine.

    Args:
        observation_space: the space of one user's observations in the vector engine
            (``environment.single_observation_space``).

    Returns:
        A Dict space of gym, whose documents have the keys '0', '1', ….

    Raises:
        ValueError: if the space is not a Dict of 'user', 'doc' and 'response'.
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


def item_spaces(space: types.Space) -> list[gym_spaces.Space[Any]]:
    """Returns the spaces of gym of the items, documents or responses, that axis 0 counts.

    Raises:
        ValueError: if entries have different numbers of items.
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    columns = _kinds.map_leaves(_items_of_leaf, space)
    lengths = {len(column) for column in trees.leaves(columns)}
    if len(lengths) != 1:
        raise ValueError(f"All entries must have as many items, got {space!r}.")
    items: list[Any] = [
        _libraries.composed(row, gym_spaces) for row in trees.split(columns, lengths.pop())
    ]
    return items


def _items_of_leaf(space: types.Space) -> list[gym_spaces.Space[Any]]:
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
        gym_spaces.Box(low, high, numbers.shape[1:], numbers.dtype.type)
        for low, high in zip(numbers.low, numbers.high)
    ]


def check_items(name: str, space: types.Space, number: int) -> None:
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
        shape = _kinds.numbers_of(leaf).shape
        if shape[:1] != (number,):
            of_entry = "".join(f"[{key!r}]" for key in path)
            raise ValueError(
                f"The space of {name}{of_entry} must have {number} items on axis 0, got {leaf} of "
                f"shape {shape}."
            )


def stacked_space(space: types.Space, number: int | None) -> types.Space:
    """Returns the gymnasium space of so many items of a space of gym, along a new axis 0.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.
        number: number of items; None for the space of one item, without a new axis.

    Raises:
        NotImplementedError: if an entry is of a kind that is not known here.
    """
    from gymnasium import spaces

    def repeat(values: ArrayLike) -> np.ndarray:
        return np.asarray(values) if number is None else np.stack([np.asarray(values)] * number)

    def stacked(leaf: types.Space) -> types.Space:
        numbers = _kinds.numbers_of(leaf)
        if numbers.kind == "Box":
            return spaces.Box(repeat(numbers.low), repeat(numbers.high), dtype=numbers.dtype.type)
        if numbers.num_values is None:
            shape = numbers.shape
            return spaces.MultiBinary(shape if number is None else (number, *shape))
        if numbers.kind == "Discrete" and number is None:
            return spaces.Discrete(int(numbers.num_values), start=numbers.low)
        sizes, dtype = numbers.num_values, numbers.dtype
        starts = np.broadcast_to(numbers.low, sizes.shape).astype(dtype)
        return spaces.MultiDiscrete(repeat(sizes), dtype=dtype.type, start=repeat(starts))

    return _libraries.composed(_kinds.map_leaves(stacked, space), spaces)

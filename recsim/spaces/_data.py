"""Spaces as data, for files that anybody may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers
from recsim._internal.gym_import import spaces as gym_spaces
from recsim.spaces import _kinds, _libraries

__all__ = ["from_data", "to_data"]

# A space of data has at most so many numbers in an element: nobody's file takes more memory.
_MOST_NUMBERS = 10_000_000
_MOST_LEAVES = 1_000_000
_MOST_DEPTH = 20


def to_data(space: types.Space) -> dict[str, Any]:
    """Returns a space as data: numbers, strings, lists, dictionaries and arrays.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space of gym or
            gymnasium, nested at will. The keys of Dict spaces are strings.

    Returns:
        What :func:`from_data` makes the space of again, in a small place where the entries of a
        Dict or Tuple space are equal, as the documents of a space of observations are.

    Raises:
        NotImplementedError: for a space of another kind.
        TypeError: if a key of a Dict space is not a string.
        ValueError: if the space is larger than :func:`from_data` takes.
    """
    data = _to_data(space)
    _Reader().read(data)
    return data


def _to_data(space: types.Space) -> dict[str, Any]:
    kind = _kinds.kind_of(space)
    if kind in _kinds.COMPOSITE:
        return _composite_data(space, kind)
    of = _kinds.numbers_of(space)
    if kind == "Box":
        shape = [int(length) for length in of.shape]
        dtype = np.dtype(of.space.dtype).name
        return {"Box": [_bound(of.low), _bound(of.high), shape, dtype]}
    if kind == "MultiBinary":
        n = of.space.n  # A number and a shape of one axis make spaces that are not equal.
        return {
            "MultiBinary": [int(each) for each in n] if isinstance(n, Sequence) else [int(n), 0]
        }
    if kind == "Discrete":
        assert of.num_values is not None
        return {"Discrete": [int(of.num_values), int(of.low)]}
    starts = np.broadcast_to(np.asarray(of.low, np.int64), of.shape)
    return {"MultiDiscrete": [of.num_values, starts.copy()]}


def _bound(values: np.ndarray) -> object:
    """Returns bounds as an array, or as the number that all of them are."""
    array = np.asarray(values)
    if array.size and (array == array.flat[0]).all():
        return array.flat[0].item()
    return array.copy() if array.size else 0


def _composite_data(space: types.Space, kind: str) -> dict[str, Any]:
    entries = _kinds.children(space)
    for key, _ in entries:
        if kind == "Dict" and type(key) is not str:
            raise TypeError(
                f"The keys of a Dict space must be strings to be saved, got {key!r} in {space!r}."
            )
    keys = [key for key, _ in entries]
    if len(entries) > 1 and all(entry == entries[0][1] for _, entry in entries[1:]):
        numbered = kind == "Tuple" or keys == _numbered(len(entries))
        of_entries = len(entries) if numbered else keys
        return {f"{kind} of equal entries": [of_entries, _to_data(entries[0][1])]}
    if kind == "Tuple":
        return {"Tuple": [_to_data(entry) for _, entry in entries]}
    return {"Dict": [[key, _to_data(entry)] for key, entry in entries]}


def _numbered(number: int) -> list[str]:
    return [str(i) for i in range(number)]


def from_data(data: object) -> gym_spaces.Space[Any]:
    """Returns the space of gym that :func:`to_data` returned the data of.

    Raises:
        ValueError: if it is not the data of a space, or of one with more than 10 million numbers.
    """
    return _Reader().read(data)[0]


class _Reader:
    """Makes spaces of data."""

    def __init__(self) -> None:
        self._depth = 0

    def read(self, data: object) -> tuple[gym_spaces.Space[Any], int, int]:
        """Returns a space, and how many leaves and numbers there are in it."""
        if not isinstance(data, Mapping) or len(data) != 1:
            raise _refusal(data)
        ((kind, content),) = data.items()
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise ValueError(f"A space must be nested at most {_MOST_DEPTH} levels deep.")
        if type(kind) is str and kind.partition(" ")[0] in _kinds.COMPOSITE:
            space, leaves, size = self._composite(kind, content)
        else:
            space, size = _leaf(kind, content)
            leaves = 1
        self._depth -= 1
        if leaves > _MOST_LEAVES or size > _MOST_NUMBERS:
            raise ValueError(
                f"A space that is saved must have at most {_MOST_NUMBERS:,} numbers and "
                f"{_MOST_LEAVES:,} entries, got {size:,} and {leaves:,}."
            )
        return space, leaves, size

    def _composite(self, kind: str, content: object) -> tuple[gym_spaces.Space[Any], int, int]:
        if type(content) is not list:
            raise _refusal(content)
        if kind.endswith(" of equal entries"):
            if len(content) != 2:
                raise _refusal(content)
            keys = _keys(content[0])
            entry, leaves, size = self.read(content[1])
            entries = dict.fromkeys(keys, entry)
            leaves, size = len(keys) * leaves, len(keys) * size
        elif kind in _kinds.COMPOSITE:
            keys = _numbered(len(content))
            if kind == "Dict":
                if any(type(pair) is not list or len(pair) != 2 for pair in content):
                    raise _refusal(content)
                keys = _keys([pair[0] for pair in content])
                content = [pair[1] for pair in content]
            read = [self.read(entry) for entry in content]
            entries = {key: entry for key, (entry, _, _) in zip(keys, read, strict=True)}
            leaves = max(1, sum(number for _, number, _ in read))
            size = sum(number for _, _, number in read)
        else:
            raise _refusal(kind)
        is_dict = kind.startswith("Dict")
        tree = entries if is_dict else tuple(entries.values())
        space: Any = _libraries.composed(tree, gym_spaces)
        return space, leaves, size


def _keys(keys: object) -> list[str]:
    """Returns the keys of a Dict space, which may be said by their number."""
    if type(keys) is int and 0 < keys <= _MOST_LEAVES:
        return _numbered(keys)
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise _refusal(keys)
    if len(set(keys)) < len(keys):
        raise _refusal(keys)
    return keys


def _leaf(kind: object, content: object) -> tuple[gym_spaces.Space[Any], int]:
    """Returns a space of numbers, and how many there are."""
    if type(content) is not list:
        raise _refusal(content)
    if kind == "Box" and len(content) == 4:
        return _box(*content)
    if kind == "MultiBinary":
        shape = _shape(content)
        if len(content) == 2 and content[1] == 0:
            return gym_spaces.MultiBinary(content[0]), content[0]
        return gym_spaces.MultiBinary(shape), math.prod(shape)
    if kind == "Discrete" and len(content) == 2:
        num_values, start = content
        if not all(type(value) is int and abs(value) < 1 << 62 for value in content):
            raise _refusal(content)
        if not 0 < num_values <= _MOST_NUMBERS:
            raise _refusal(content)
        return gym_spaces.Discrete(num_values, start=start), num_values
    if kind == "MultiDiscrete" and len(content) == 2:
        sizes, starts = content
        for array in content:
            if not isinstance(array, np.ndarray) or array.dtype != np.int64:
                raise _refusal(content)
        if sizes.shape != starts.shape or not sizes.ndim or (sizes < 1).any():
            raise _refusal(content)
        if sizes.size > _MOST_NUMBERS or (sizes > _MOST_NUMBERS).any():
            raise _refusal(content)
        return _libraries.gym_integers(sizes, starts), int(sizes.sum())
    raise _refusal(kind)


def _box(
    low: object, high: object, shape: object, dtype: object
) -> tuple[gym_spaces.Space[Any], int]:
    lengths = _shape(shape)
    if type(dtype) is not str or dtype not in _DTYPES:
        raise _refusal(dtype)
    bounds = []
    for bound in (low, high):
        is_array = isinstance(bound, np.ndarray)
        if is_array:
            array: Any = bound
            if array.shape != lengths or array.dtype.kind not in "fiub":
                raise _refusal(bound)
        elif type(bound) not in (int, float, bool):
            raise _refusal(bound)
        values: Any = bound
        with np.errstate(all="ignore"):
            try:
                bounds.append(np.full(lengths, values).astype(dtype))
            except (OverflowError, ValueError):
                raise _refusal(bound) from None
    box = gym_spaces.Box(bounds[0], bounds[1], lengths, np.dtype(dtype).type)
    return box, math.prod(lengths)


_DTYPES = {
    np.dtype(name).name
    for name in ("bool", *(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)))
} | {"float16", "float32", "float64"}


def _shape(shape: object) -> tuple[int, ...]:
    if type(shape) is not list or len(shape) > _MOST_DEPTH:
        raise _refusal(shape)
    if any(type(length) is not int or length < 0 for length in shape):
        raise _refusal(shape)
    if math.prod(shape) > _MOST_NUMBERS:
        raise _refusal(shape)
    return tuple(shape)


def _refusal(value: object) -> ValueError:
    return ValueError(f"This is not the data of a space: {numbers.described(value)}.")

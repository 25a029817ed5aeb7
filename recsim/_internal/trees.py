"""Trees of arrays: arrays nested in dictionaries, tuples and dataclasses.

Observations are trees with the users on axis 0 of every array, as are the users, documents and
responses of a vectorized scenario.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

__all__ = [
    "ArrayTree",
    "Nested",
    "Rows",
    "first_leaf",
    "leaves",
    "map_leaves",
    "rows_of",
    "set_rows",
    "share_memory",
    "split",
    "with_rows",
    "writable",
]

T = TypeVar("T")

#: Leaves of a type, nested in dictionaries and tuples.
Nested: TypeAlias = T | Mapping[str, "Nested[T]"] | tuple["Nested[T]", ...]

#: What agents observe of users, documents or responses: arrays, nested as their space is.
ArrayTree: TypeAlias = Nested[np.ndarray]

#: Rows of an array: one, several, those where a bool is true, or one at an index with dots.
Rows: TypeAlias = int | slice | np.ndarray | tuple[Any, ...]


# What most leaves are, and no tree is, which takes less time to see than what is a mapping.
_PLAIN = frozenset({np.ndarray, bool, int, float, str, type(None), types.FunctionType, property})


@functools.cache
def _fields_of(kind: type) -> tuple[str, ...] | None:
    """Returns the names of the fields of a dataclass; None for another class."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _takes_fields(kind: type) -> bool:
    """Says whether a dataclass is made of the values of its fields, in their order."""
    parameters = inspect.signature(kind).parameters.values()
    names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    return len(names) == len(parameters) and tuple(names) == _fields_of(kind)


def map_leaves(function: Callable[[Any], Any], tree: T) -> T:
    """Returns a tree of what a function makes of the leaves of a tree.

    Args:
        function: function of a leaf.
        tree: the tree. Whatever is not a dictionary, tuple or dataclass is a leaf.
    """
    kind = type(tree)
    result: Any
    if kind is np.ndarray:
        result = function(tree)
    elif (names := _fields_of(kind)) is not None:  # type: ignore[arg-type]
        one: Any = tree
        values = []
        for name in names:
            value = getattr(one, name)
            values.append(
                function(value) if type(value) is np.ndarray else map_leaves(function, value)
            )
        if _takes_fields(kind):  # type: ignore[arg-type]
            result = kind(*values)
        else:
            result = dataclasses.replace(one, **dict(zip(names, values)))
    elif isinstance(tree, tuple):
        result = tuple([map_leaves(function, value) for value in tree])
    elif isinstance(tree, (dict, Mapping)):
        result = {key: map_leaves(function, value) for key, value in tree.items()}
    else:
        result = function(tree)
    mapped: T = result
    return mapped


def leaves(tree: object) -> list[Any]:
    """Returns the leaves of a tree, in its order."""
    children: Iterable[Any]
    if (names := _fields_of(type(tree))) is not None:  # type: ignore[arg-type]
        children = [getattr(tree, name) for name in names]
    elif isinstance(tree, tuple):
        children = tree
    elif isinstance(tree, (dict, Mapping)):
        children = tree.values()
    else:
        return [tree]
    found = []
    for child in children:
        if type(child) in _PLAIN:
            found.append(child)
        else:
            found += leaves(child)
    return found


def first_leaf(tree: object) -> object:
    """Returns the first leaf of a tree."""
    while type(tree) is not np.ndarray:
        if (names := _fields_of(type(tree))) is not None:  # type: ignore[arg-type]
            tree = getattr(tree, names[0])
        elif isinstance(tree, tuple):
            tree = tree[0]
        elif isinstance(tree, (dict, Mapping)):
            tree = next(iter(tree.values()))
        else:
            break
    return tree


def share_memory(tree: object, other: object) -> bool:
    """Says whether arrays of two trees may share memory, so that one may change with the other."""
    arrays = [tree] if type(tree) is np.ndarray else leaves(tree)
    others = [each for each in leaves(other) if isinstance(each, np.ndarray)]
    for array in arrays:
        for each in others:
            # Most arrays own their memory, which takes less time to see.
            if type(array) is type(each) is np.ndarray and array.base is each.base is None:
                if array is each:
                    return True
            elif isinstance(array, np.ndarray) and np.may_share_memory(array, each):
                return True
    return False


def rows_of(tree: T, rows: Rows) -> T:
    """Returns rows, by a slice, indices or bools, of every array of a tree."""
    return map_leaves(lambda array: array[rows], tree)


def split(tree: T, number: int) -> list[T]:
    """Returns a tree for each of the items that axis 0 of every array counts."""
    return [rows_of(tree, i) for i in range(number)]


def set_rows(tree: object, rows: Rows, of_rows: object) -> None:
    """Sets rows of every array of a tree, in place.

    Args:
        tree: the arrays.
        rows: a slice, indices or bools.
        of_rows: what to put there, nested as the tree is.
    """
    values: Any = of_rows
    if isinstance(tree, np.ndarray):
        tree[rows] = values
    elif (names := _fields_of(type(tree))) is not None:  # type: ignore[arg-type]
        for name in names:
            set_rows(getattr(tree, name), rows, getattr(values, name))
    elif isinstance(tree, tuple):
        for entry, of_entry in zip(tree, values):
            set_rows(entry, rows, of_entry)
    else:
        assert isinstance(tree, Mapping)
        for key, entry in tree.items():
            set_rows(entry, rows, values[key])


def with_rows(tree: T, rows: Rows, of_rows: object) -> T:
    """Returns a tree of copies of the arrays in which some rows are set, see :func:`set_rows`."""
    copies = map_leaves(lambda array: array.copy(order="K"), tree)
    set_rows(copies, rows, of_rows)
    return copies


def writable(tree: T) -> T:
    """Returns a tree with copies of those arrays that cannot be written to."""
    return map_leaves(lambda array: array if array.flags.writeable else array.copy(), tree)

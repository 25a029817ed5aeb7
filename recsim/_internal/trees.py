"""Trees of arrays: arrays nested in dictionaries, tuples and dataclasses.

Observations are trees with the users on axis 0 of every array, as are the users, documents and
responses of a vectorized scenario.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

__all__ = ["leaves", "map_leaves", "rows_of", "set_rows", "split", "with_rows"]

T = TypeVar("T")


@functools.cache
def _fields_of(kind: type) -> tuple[str, ...] | None:
    """Returns the names of the fields of a dataclass; None for another class."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Returns a tree of what a function makes of the leaves of a tree.

    Args:
        function: function of a leaf.
        tree: the tree. Whatever is no dictionary, tuple or dataclass is a leaf.
    """
    if type(tree) is np.ndarray:
        return function(tree)
    names = _fields_of(type(tree))  # type: ignore[arg-type]
    if names is not None:
        values = [getattr(tree, name) for name in names]
        changes = [
            function(value) if type(value) is np.ndarray else map_leaves(function, value)
            for value in values
        ]
        return dataclasses.replace(tree, **dict(zip(names, changes)))
    if isinstance(tree, tuple):
        return tuple([map_leaves(function, value) for value in tree])
    if isinstance(tree, (dict, Mapping)):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    return function(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yields the leaves of a tree, in its order."""
    children: Iterable[Any]
    if isinstance(tree, Mapping):
        children = tree.values()
    elif isinstance(tree, tuple):
        children = tree
    elif (names := _fields_of(type(tree))) is not None:  # type: ignore[arg-type]
        children = [getattr(tree, name) for name in names]
    else:
        yield tree
        return
    for child in children:
        yield from leaves(child)


def rows_of(tree: T, rows: Any) -> T:
    """Returns rows, by a slice, indices or bools, of every array of a tree."""
    return map_leaves(lambda array: array[rows], tree)


def split(tree: Any, number: int) -> list[Any]:
    """Returns a tree for each of the items that axis 0 of every array counts."""
    return [rows_of(tree, i) for i in range(number)]


def set_rows(tree: Any, rows: Any, of_rows: Any) -> None:
    """Sets rows of every array of a tree, in place.

    Args:
        tree: the arrays.
        rows: a slice, indices or bools.
        of_rows: what to put there, nested as the tree is.
    """
    if isinstance(tree, np.ndarray):
        tree[rows] = of_rows
    elif (names := _fields_of(type(tree))) is not None:  # type: ignore[arg-type]
        for name in names:
            set_rows(getattr(tree, name), rows, getattr(of_rows, name))
    else:
        for key in range(len(tree)) if isinstance(tree, tuple) else tree:
            set_rows(tree[key], rows, of_rows[key])


def with_rows(tree: T, rows: Any, of_rows: Any) -> T:
    """Returns a tree of copies of the arrays in which some rows are set, see :func:`set_rows`."""
    copies = map_leaves(lambda array: array.copy(order="K"), tree)
    set_rows(copies, rows, of_rows)
    return copies

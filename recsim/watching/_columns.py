"""What the values of an episode are like over all of its steps, so that they are shown alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from recsim.watching._leaves import Leaf

__all__ = ["MOST_ENTRIES", "Column", "columns_of", "one_hot_index", "series_of"]

#: How many entries of an array are shown.
MOST_ENTRIES = 32

NUMBER, TEXT, VECTOR, ONE_HOT = "number", "text", "vector", "one-hot"


@dataclasses.dataclass(frozen=True)
class Column:
    """Values of a name.

    Attributes:
        name: their name.
        kind: "number"; "text"; "vector", an array with an entry or more; or "one-hot", a vector
            that is 1 in one place and 0 elsewhere in all steps.
        size: number of entries of a vector, 1 for others.
        low: the least number, in all steps; 0 if there is none.
        high: the greatest one.
        changes: whether not all values are the same.
    """

    name: str
    kind: str
    size: int
    low: float
    high: float
    changes: bool


def columns_of(steps: Iterable[Mapping[str, np.ndarray]]) -> list[Column]:
    """Returns the columns of tables, one a step, arrays with rows on axis 0."""
    return [_column(name, arrays) for name, arrays in _by_name(steps).items()]


def series_of(steps: Iterable[Mapping[str, Leaf]]) -> list[Column]:
    """Returns the columns of values, one a step."""
    arrays = [{name: np.asarray(value)[np.newaxis] for name, value in s.items()} for s in steps]
    return [_column(name, values) for name, values in _by_name(arrays).items()]


def _by_name(steps: Iterable[Mapping[str, np.ndarray]]) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for step in steps:
        for name, array in step.items():
            if array.size:
                found.setdefault(name, []).append(array)
    return found


def _column(name: str, arrays: Sequence[np.ndarray]) -> Column:
    flat = [array.reshape(len(array), -1) for array in arrays]
    first = flat[0][0]
    changes = any(not (array == first).all() for array in flat)
    sizes = {array.shape[1] for array in flat}
    if any(array.dtype.kind not in "biuf" for array in flat) or len(sizes) > 1:
        return Column(name, TEXT, 1, 0.0, 0.0, changes)
    finite = [array[np.isfinite(array)] for array in flat]
    low = min((float(array.min()) for array in finite if array.size), default=0.0)
    high = max((float(array.max()) for array in finite if array.size), default=0.0)
    size = sizes.pop()
    if size == 1:
        return Column(name, NUMBER, 1, low, high, changes)
    one_hot = all(
        ((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all() for array in flat
    )
    return Column(name, ONE_HOT if one_hot else VECTOR, size, low, high, changes)


def one_hot_index(values: np.ndarray) -> np.ndarray:
    """Returns where rows are 1, integers of shape (n_rows,)."""
    index: np.ndarray = values.reshape(len(values), -1).argmax(axis=1)
    return index

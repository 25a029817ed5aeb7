"""Picking from arrays with users on axis 0, faster than by NumPy's indexing with several arrays.

The results have the entries that belong to a position of the slate together in memory. What is
computed over the positions of a slate, of which there are few, is then computed for thousands of
users at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

__all__ = [
    "accumulated",
    "chosen_positions",
    "empty_slates",
    "highest",
    "joined",
    "row_positions",
    "take_chosen",
    "take_along_rows",
    "take_positions",
    "take_shared",
]


def empty_slates(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Returns an array of shape (..., slate_size), not filled, its last axis first in memory."""
    return np.empty(shape, dtype, order="F")


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays of users who follow one another as one, or the only one as it is."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def row_positions(indices: np.ndarray, row_length: int) -> np.ndarray:
    """Returns where entries of rows are in the whole array, of shape (n_indices, n_rows).

    Args:
        indices: indices into rows, shape (n_rows, n_indices).
        row_length: number of entries in a row.
    """
    offsets = np.arange(0, len(indices) * row_length, row_length)
    positions: np.ndarray = np.add(indices.T, offsets, order="C")
    return positions


def take_positions(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the entries of rows at positions, shape (n_rows, n_indices, …).

    Args:
        values: array of shape (n_rows, row_length, …).
        positions: what :func:`row_positions` returned.
    """
    entries = values.reshape(-1, *values.shape[2:])
    rows: np.ndarray = entries.take(positions, axis=0).swapaxes(0, 1)
    return rows


def chosen_positions(indices: np.ndarray, row_length: int) -> np.ndarray:
    """Returns where an entry of each row is, shape (n_rows,); the last if the index is too large.

    Args:
        indices: indices into rows, shape (n_rows,).
        row_length: number of entries in a row.
    """
    # In integers that positions in the whole array fit into.
    positions: np.ndarray = np.minimum(indices, row_length - 1, dtype=np.intp)
    positions *= len(indices)
    positions += np.arange(len(indices))
    return positions


def take_chosen(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns an entry of each row, shape (n_rows, …).

    Args:
        values: array of shape (n_rows, row_length, …), as :func:`take_positions` returns it.
        positions: what :func:`chosen_positions` returned.
    """
    entries = values.swapaxes(0, 1).reshape(-1, *values.shape[2:])
    chosen: np.ndarray = entries.take(positions, axis=0)
    return chosen


def take_shared(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns ``values[indices]``: entries of shape (n_rows, n_indices, …) of a shared array."""
    return values.take(indices.T, axis=0).swapaxes(0, 1)


def take_along_rows(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns ``np.take_along_axis(values, indices, axis=-1)``.

    Args:
        values: array of shape (..., row_length).
        indices: indices into rows, shape (..., n_indices).
    """
    leading = indices.shape[:-1]
    rows = values.reshape(-1, values.shape[-1])
    positions = row_positions(indices.reshape(-1, indices.shape[-1]), values.shape[-1])
    return take_positions(rows, positions).reshape(*leading, indices.shape[-1])


def accumulated(function: np.ufunc, values: np.ndarray) -> np.ndarray:
    """Returns ``function.accumulate(values, axis=-1)``: cumulative sums or products."""
    if values.ndim == 1:
        return function.accumulate(values)
    result = empty_slates(values.shape, values.dtype)
    result[..., :1] = values[..., :1]
    for position in range(1, values.shape[-1]):
        previous = result[..., position - 1]
        function(previous, values[..., position], out=result[..., position])
    return result


def highest(values: np.ndarray, number: int) -> np.ndarray:
    """Returns the indices of the highest entries of rows, the first one first where two tie.

    Args:
        values: contiguous array of shape (n_rows, row_length), which is overwritten; all above
            the lowest number of its dtype.
        number: how many, at most row_length.

    Returns:
        int32 array of shape (n_rows, number), the highest first.
    """
    lowest = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
    indices = empty_slates((len(values), number), np.dtype(np.int32))
    flat = values.reshape(-1)
    starts = np.arange(0, values.size, values.shape[1])
    for column in indices.T:
        best = values.argmax(axis=1)
        column[:] = best
        flat[starts + best] = lowest
    return indices

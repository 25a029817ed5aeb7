"""Observations as vectors of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from recsim import types
from recsim._internal import numbers as number_checks
from recsim.spaces import _kinds

__all__ = ["Flattener", "flat_size", "flatten", "flattened"]


def flat_size(space: types.Space) -> int:
    """Returns the length of the vector that :func:`flatten` makes of an observation of a space.

    Raises:
        NotImplementedError: if the space is not of the kinds that :func:`flatten` knows.
    """
    return sum(_kinds.numbers_of(leaf).flat_size for _, leaf in _kinds.leaves(space))


def flatten(space: types.Space, observation: object, out: np.ndarray) -> None:
    """Writes an observation as a vector of features, as ``gym.spaces.flatten`` orders them.

    The entries of dictionaries and tuples follow one another in the order of the space, integers
    of discrete spaces become indicators of their values (one-hot), and what is missing (None, as in
    a history that is not yet full) becomes zeros.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.
        observation: an element of it.
        out: where to write: a floating-point array of shape (flat_size(space),).

    Raises:
        ValueError: if the observation does not have the shape of its space.
    """
    Flattener(space).flatten(observation, out)


def flattened(space: types.Space, observations: object, num_axes: int = 1) -> np.ndarray:
    """Returns many observations as vectors of features, each as :func:`flatten` writes one.

    Args:
        space: the space of one observation, as :func:`flatten` takes it.
        observations: the observations, nested as the space is, in arrays whose first axes are the
            same everywhere.
        num_axes: number of those axes.

    Returns:
        float32 array of shape (..., flat_size(space)).

    Raises:
        ValueError: if the observations do not have the shape of the space.
    """
    return Flattener(space).flattened(observations, num_axes)


class Flattener:
    """:func:`flatten` and :func:`flattened` for one space, which is looked at only once.

    Args:
        space: a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space, nested at will.

    Raises:
        NotImplementedError: for a space of another kind.
    """

    def __init__(self, space: types.Space) -> None:
        self._space = space
        self._entries: list[tuple[Any, Flattener, slice]] | None = None
        kind = _kinds.kind_of(space)
        if kind not in _kinds.COMPOSITE:
            self._numbers = _kinds.numbers_of(space)
            self._shape = tuple(self._numbers.shape)
            self._values = self._numbers.num_values
            if self._values is not None:
                # Where the indicators of the value zero of each number are, or would be.
                sizes = np.ravel(self._values)
                starts = np.broadcast_to(self._numbers.low, self._values.shape).ravel()
                self._first_feature = np.cumsum(sizes) - sizes - starts
            #: Number of features.
            self.size = self._numbers.flat_size
            return
        self._is_tuple = kind == "Tuple"
        self._entries = []
        self.size = 0
        for key, entry in _kinds.children(space):
            flattener = Flattener(entry)
            end = self.size + flattener.size
            self._entries.append((key, flattener, slice(self.size, end)))
            self.size = end
        # Empty spaces have no arrays to put beside the others'.
        self._with_arrays = [
            (key, flattener) for key, flattener, _ in self._entries if flattener.has_arrays
        ]

    @property
    def has_arrays(self) -> bool:
        """Whether observations have an array anywhere."""
        return self._entries is None or bool(self._with_arrays)

    def flatten(self, observation: object, out: np.ndarray) -> None:
        """Writes an observation as a vector of features, see :func:`flatten`."""
        if observation is None:
            out[:] = 0.0
        elif self._entries is not None:
            parts: Any = observation
            if self._is_tuple and len(parts) != len(self._entries):
                raise self._wrong_shape((len(parts),))
            for key, flattener, features in self._entries:
                flattener.flatten(parts[key], out[features])
        elif self._values is None:
            values = np.asarray(observation)
            if values.size != out.size:
                raise self._wrong_shape(values.shape)
            out[:] = values.reshape(-1)
        elif self._values.ndim:
            self._flatten_integers(observation, out)
        else:
            number = number_checks.as_int("an observation of a Discrete space", observation)
            _flatten_integer(number - self._numbers.low, out)

    def _flatten_integers(self, observation: object, out: np.ndarray) -> None:
        """Writes an observation of a MultiDiscrete space."""
        values = np.asarray(observation)
        assert self._values is not None
        if values.size != self._values.size:
            raise self._wrong_shape(values.shape)
        name = "an entry of an observation of a MultiDiscrete space"
        starts = np.broadcast_to(self._numbers.low, self._values.shape)
        end = 0
        for value, first, size in zip(
            *(np.ravel(a).tolist() for a in (values, starts, self._values))
        ):
            _flatten_integer(number_checks.as_int(name, value) - first, out[end : end + size])
            end += size

    def _wrong_shape(self, shape: tuple[int, ...]) -> ValueError:
        return ValueError(
            f"An observation of {self._space!r} must have its shape, got the shape {shape}."
        )

    def flattened(
        self, observations: object, num_axes: int = 1, dtype: DTypeLike = np.float32
    ) -> np.ndarray:
        """Returns many observations as vectors of features, see :func:`flattened`.

        Args:
            observations: the observations.
            num_axes: number of the axes that count them.
            dtype: float32 or float64.
        """
        if not self.has_arrays:
            raise ValueError(f"Observations of {self._space!r} have no entries to put into arrays.")
        leading = np.asarray(self._first_array(observations)).shape[:num_axes]
        out = np.empty((*leading, self.size), dtype)
        self.write_features(observations, out, num_axes)
        return out

    def _first_array(self, observations: object) -> object:
        flattener, of_entries = self, observations
        while flattener._entries is not None:
            key, flattener = flattener._with_arrays[0]
            nested: Any = of_entries
            of_entries = nested[key]
        return of_entries

    def write_features(self, observations: object, out: np.ndarray, num_axes: int = 1) -> None:
        """Writes many observations as vectors of features, see :func:`flattened`.

        Args:
            observations: the observations.
            out: where to write: floating-point array of shape (..., size).
            num_axes: number of the axes that count them.

        Raises:
            ValueError: if the observations do not have the shape of the space.
        """
        if self._entries is not None:
            of_entries: Any = observations
            for key, flattener, features in self._entries:
                if flattener.has_arrays:
                    flattener.write_features(of_entries[key], out[..., features], num_axes)
            return
        array = np.asarray(observations)
        leading = out.shape[:-1]
        if array.shape != (*leading, *self._shape):
            raise ValueError(
                f"Observations of {self._space!r} must have its shape {self._shape} after "
                f"{num_axes} axes that count them, as many as the other entries have, got arrays "
                f"of shape {array.shape}."
            )
        values = array.reshape(*leading, -1) if self._shape else array[..., np.newaxis]
        if self._values is None:
            out[...] = values
            return
        if array.dtype.kind not in "iub" or not self._numbers.contain(array):
            raise ValueError(f"Observations of {self._space!r} are not all among its values.")
        out[...] = 0
        np.put_along_axis(out, values.astype(np.int64) + self._first_feature, 1, axis=-1)


def _flatten_integer(number: int, out: np.ndarray) -> None:
    if not 0 <= number < len(out):
        raise ValueError(
            f"An observation of a Discrete space of {len(out)} values is not one of them: the "
            f"value of number {number}."
        )
    out[:] = 0.0
    out[number] = 1.0

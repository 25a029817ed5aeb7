"""The forms in which an environment of Gymnasium's hands out its observations."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers, validation
from recsim.spaces import _flatten, _kinds

__all__ = ["OBSERVATION_FORMS", "ObservationForm"]

#: The forms of observations: as dictionaries of dictionaries, as one dictionary, as one vector.
OBSERVATION_FORMS = ("nested", "dict", "flat")


class ObservationForm:
    """Converts observations, and their space, to the form that a library expects.

    * ``'nested'``: dictionaries of dictionaries of arrays, as they are.
    * ``'dict'``: one dictionary, whose keys are joined by ``_``, such as ``response_click``. Every
      array has one axis, in C order; what has no numbers, such as a user of whom nothing is
      observed, has no entry.
    * ``'flat'``: one vector of floats, in the order of ``gymnasium.spaces.flatten``: integers of
      discrete spaces become indicators of their values (one-hot).

    Args:
        form: one of :data:`OBSERVATION_FORMS`.
        space: the space of gymnasium of one observation.
        dtype: float32 or float64, the dtype of flat observations.

    Raises:
        ValueError: for another form, or if two entries would have the same key.
        NotImplementedError: for a space of another kind than
            :func:`recsim.spaces.flatten` knows.

    Example:
        >>> from gymnasium import spaces
        >>> form = ObservationForm("flat", spaces.Dict({
        ...     "user": spaces.Discrete(3),
        ...     "response": spaces.Dict({"click": spaces.MultiDiscrete([2, 2])})}))
        >>> form({"user": 1, "response": {"click": [0, 1]}})
        array([1., 0., 0., 1., 0., 1., 0.], dtype=float32)
    """

    def __init__(self, form: str, space: types.Space, dtype: np.dtype | None = None) -> None:
        if not isinstance(form, str) or form not in OBSERVATION_FORMS:
            raise ValueError(
                f"observation must be one of {', '.join(map(repr, OBSERVATION_FORMS))}, got "
                f"{numbers.described(form)}.{validation.nearest_name(str(form), OBSERVATION_FORMS)}"
            )
        self.form = form
        self._dtype = np.dtype(np.float32 if dtype is None else dtype)
        #: The space of gymnasium of one observation in this form.
        self.space: Any = space
        if form == "flat":
            self._flattener = _flatten.Flattener(space)
            self.space = self._flat_space(space)
        elif form == "dict":
            self._entries = _entries(space)
            self.space = _dict_space(self._entries)

    def __call__(self, observation: object, num_axes: int = 0) -> object:
        """Returns an observation in this form.

        Args:
            observation: arrays, nested as the space is.
            num_axes: number of the first axes of every array, which count observations: 1 for the
                observations of users in parallel.

        Raises:
            ValueError: if the observation does not have the shape of the space.
        """
        if self.form == "nested":
            return observation
        if self.form == "flat":
            return self._flattener.flattened(observation, num_axes, self._dtype)
        return {
            key: _one_axis(_at(observation, path), num_axes, self.space[key])
            for key, path, _ in self._entries
        }

    def _flat_space(self, space: types.Space) -> types.Space:
        from gymnasium import spaces

        bounds = np.empty((2, self._flattener.size), self._dtype)
        end = 0
        for _, leaf in _kinds.leaves(space):
            of_leaf = _kinds.numbers_of(leaf)
            of_entry = bounds[:, end : end + of_leaf.flat_size]
            end += of_leaf.flat_size
            is_one_hot = of_leaf.num_values is not None
            for out, bound in zip(of_entry, (0, 1) if is_one_hot else (of_leaf.low, of_leaf.high)):
                out[...] = np.ravel(bound)
        return spaces.Box(*bounds, dtype=self._dtype.type)


#: An entry of a space: its key in one dictionary, the keys to it, and its space.
_Entry = tuple[str, tuple[Any, ...], Any]


def _entries(space: types.Space) -> list[_Entry]:
    """Returns the entries of a space that hold numbers, each with a key of its own."""
    entries: dict[str, _Entry] = {}
    for path, leaf in _kinds.leaves(space):
        if not _kinds.numbers_of(leaf).flat_size:
            continue
        key = "_".join(map(str, path)) or "observation"
        if key in entries:
            raise ValueError(
                f"observation='dict' needs a key of its own for each entry, got {key!r} for "
                f"{entries[key][1]} and {path}: name the entries of the spaces otherwise, or use "
                "observation='flat'."
            )
        entries[key] = (key, path, leaf)
    return list(entries.values())


def _dict_space(entries: list[_Entry]) -> types.Space:
    from gymnasium import spaces

    def of_one_axis(leaf: spaces.Space[Any]) -> spaces.Space[Any]:
        of_leaf = _kinds.numbers_of(leaf)
        if isinstance(leaf, spaces.Box):
            return spaces.Box(leaf.low.ravel(), leaf.high.ravel(), dtype=leaf.dtype.type)
        if isinstance(leaf, spaces.MultiBinary):
            return spaces.MultiBinary(of_leaf.flat_size)
        if isinstance(leaf, spaces.MultiDiscrete):
            starts = np.broadcast_to(of_leaf.low, leaf.nvec.shape).ravel()
            return spaces.MultiDiscrete(leaf.nvec.ravel(), dtype=leaf.dtype.type, start=starts)
        return leaf

    return spaces.Dict({key: of_one_axis(leaf) for key, _, leaf in entries})


def _at(observation: object, path: tuple[Any, ...]) -> np.ndarray:
    part: Any = observation
    for key in path:
        part = part[key]
    return np.asarray(part)


def _one_axis(array: np.ndarray, num_axes: int, space: types.Space) -> np.ndarray:
    """Returns an array with one axis after the first ones; a number of a Discrete space alone."""
    of_space: Any = space
    leading = array.shape[:num_axes]
    # Of an array without axes, indexing makes a number.
    return array.reshape(*leading, -1) if of_space.shape else array[()]

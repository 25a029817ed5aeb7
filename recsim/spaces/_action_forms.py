"""The forms in which an environment of Gymnasium's takes its actions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recsim import types
from recsim._internal import numbers, resources, validation

__all__ = ["ACTION_FORMS", "MAX_DISCRETE_ACTIONS", "ActionForm"]

#: The forms of actions: slates, numbers of slates, scores of the candidates.
ACTION_FORMS = ("slate", "discrete", "scores")

#: The most slates that may have a number each.
MAX_DISCRETE_ACTIONS = 100_000

# So many of the highest scores are found one by one in less time than by a sort of all.
_FEW = 3


class ActionForm:
    """Makes slates of actions in the form that a library expects.

    * ``'slate'``: indices of candidates, as they are.
    * ``'discrete'``: an index into ``itertools.permutations(range(num_candidates), slate_size)``,
      all slates of different candidates in lexicographic order.
    * ``'scores'``: a score for each candidate. The slate holds those of the highest scores, the
      highest first; of equal ones, those of lower indices come first. Scores count by their order
      alone, so that some outside the space's [-1, 1] are taken too.

    Args:
        form: one of :data:`ACTION_FORMS`.
        num_candidates: number of candidates.
        slate_size: number of documents in a slate.

    Raises:
        ValueError: for another form, or for 'discrete' where there are more than
            :data:`MAX_DISCRETE_ACTIONS` slates.

    Example:
        >>> ActionForm("discrete", 4, 2).slate(5)
        array([1, 3])
        >>> ActionForm("scores", 4, 2).slate([0.5, -1.0, 0.9, 0.5])
        array([2, 0])
    """

    def __init__(self, form: str, num_candidates: int, slate_size: int) -> None:
        from gymnasium import spaces

        if not isinstance(form, str) or form not in ACTION_FORMS:
            raise ValueError(
                f"action must be one of {', '.join(map(repr, ACTION_FORMS))}, got "
                f"{numbers.described(form)}.{validation.nearest_name(str(form), ACTION_FORMS)}"
            )
        self.form = form
        self._num_candidates, self._slate_size = validation.candidates_and_slate(
            num_candidates, slate_size
        )
        #: The space of gymnasium of one user's actions.
        self.space: Any
        if form == "slate":
            self.space = spaces.MultiDiscrete(np.full(self._slate_size, self._num_candidates))
        elif form == "discrete":
            self._slates = _all_slates(self._num_candidates, self._slate_size)
            self.space = spaces.Discrete(len(self._slates))
        else:
            self.space = spaces.Box(-1.0, 1.0, (self._num_candidates,), np.float32)

    def slate(self, action: object) -> types.Slate:
        """Returns the slate of an action; an action of the form 'slate' as it is.

        Raises:
            TypeError, ValueError, IndexError: for an action of another form.
        """
        if self.form == "slate":
            slate: Any = action
            of_candidates: types.Slate = slate
            return of_candidates
        return self._decoded("action", action, ())

    def slates(self, actions: object, num_users: int) -> np.ndarray:
        """Returns the slates of the actions of users, shape (n_users, slate_size).

        Args:
            actions: the actions with the users on axis 0.
            num_users: number of users.

        Raises:
            TypeError, ValueError, IndexError: for actions of another form.
        """
        if self.form == "slate":
            slates: Any = actions
            of_candidates: np.ndarray = slates
            return of_candidates
        return self._decoded("actions", actions, (num_users,))

    def _decoded(self, name: str, actions: object, users: tuple[int, ...]) -> np.ndarray:
        if self.form == "discrete":
            slates: np.ndarray = self._slates[self._checked_indices(name, actions, users)]
            return slates
        return _highest(self._checked_scores(name, actions, users), self._slate_size)

    def _checked_indices(self, name: str, actions: object, users: tuple[int, ...]) -> np.ndarray:
        array = _array(name, actions, "integers, numbers of slates")
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"{name} must be integers, numbers of slates, got {numbers.described(actions)} "
                f"of dtype {array.dtype}."
            )
        if array.shape != users:
            raise ValueError(
                f"{name} must have the shape {_shape('(num_envs,)', users)}, one number of a slate "
                f"for each user, got {array.shape}."
            )
        if array.min() < 0 or array.max() >= len(self._slates):
            raise IndexError(
                f"{name} must be numbers of slates, 0 to {len(self._slates) - 1}, got "
                f"{_range(array)}."
            )
        return array

    def _checked_scores(self, name: str, actions: object, users: tuple[int, ...]) -> np.ndarray:
        array = _array(name, actions, "scores of the candidates")
        if array.dtype.kind not in "fiu":
            raise TypeError(
                f"{name} must be scores of the candidates, real numbers, got "
                f"{numbers.described(actions)} of dtype {array.dtype}."
            )
        shape = (*users, self._num_candidates)
        if array.shape != shape:
            names = "(num_envs, num_candidates)" if users else "(num_candidates,)"
            raise ValueError(
                f"{name} must have the shape {_shape(names, shape)}, a score for each candidate, "
                f"got {array.shape}."
            )
        if not np.isfinite(array).all():
            bad = array[~np.isfinite(array)]
            raise ValueError(
                f"{name} must be finite scores, got {bad.size} that are not, the first {bad[0]}: "
                "give what is not to be shown the lowest score, -1."
            )
        # Integers of other dtypes may have no negative.
        return array if array.dtype.kind == "f" else array.astype(np.float64)


def _all_slates(num_candidates: int, slate_size: int) -> np.ndarray:
    """Returns ``itertools.permutations(range(num_candidates), slate_size)`` as rows."""
    number = math.perm(num_candidates, slate_size)
    if number > MAX_DISCRETE_ACTIONS:
        raise ValueError(
            f"action='discrete' must have at most {MAX_DISCRETE_ACTIONS} slates, got "
            f"{resources.shown(number)} of {slate_size} out of {num_candidates} candidates: choose "
            "fewer candidates or smaller slates, or action='scores' or 'slate', which do not "
            "enumerate slates."
        )
    # The digits of the rows' numbers, each to a base of its own, say which of the candidates that
    # are left comes next; from the last position on, those after it make room for it.
    slates = np.empty((number, slate_size), np.int64)
    rest = np.arange(number)
    for position in reversed(range(slate_size)):
        rest, slates[:, position] = np.divmod(rest, num_candidates - position)
        later = slates[:, position + 1 :]
        later += later >= slates[:, position : position + 1]
    return slates


def _highest(scores: np.ndarray, number: int) -> np.ndarray:
    """Returns the indices of the highest scores along the last axis, the lower of equal ones first.

    Args:
        scores: finite floats, shape (..., num_candidates).
        number: how many indices.

    Returns:
        Integers of shape (..., number), those of the highest scores first.
    """
    if scores.ndim == 1 or number > _FEW:
        # A stable sort leaves equal ones in order.
        order: np.ndarray = np.argsort(-scores, axis=-1, kind="stable")[..., :number]
        return order
    left, rows = scores.copy(), np.arange(len(scores))
    highest = np.empty((len(scores), number), np.int64)
    for position in range(number):
        highest[:, position] = left.argmax(axis=1)  # The first of equal ones.
        left[rows, highest[:, position]] = -np.inf
    return highest


def _array(name: str, actions: object, what: str) -> np.ndarray:
    try:
        return np.asarray(actions)
    except ValueError:
        raise ValueError(f"{name} must be {what}, got lists of different lengths.") from None


def _shape(names: str, shape: tuple[int, ...]) -> str:
    return f"{names} = {shape}" if shape else "()"


def _range(array: np.ndarray) -> str:
    return str(array) if not array.ndim else f"{array.min()} to {array.max()}"

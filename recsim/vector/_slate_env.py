"""The base class of vector environments: sizes, spaces, checks of slates and of resets."""

from __future__ import annotations

import abc
import collections
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from recsim import spaces as spaces_lib
from recsim import types
from recsim._internal import numbers, resources, validation

__all__ = ["SlateVectorEnv"]

# The dtypes in which negative numbers are larger than any index, by those of common slates.
_UNSIGNED: dict[np.dtype, np.dtype] = {
    np.dtype(np.int32): np.dtype(np.uint32),
    np.dtype(np.int64): np.dtype(np.uint64),
}


class SlateVectorEnv(VectorEnv, abc.ABC):
    """The base class of vector environments whose users are shown slates, episode by episode.

    When a user's episode ends, a new user begins the next one as ``autoreset_mode`` says, one of
    Gymnasium's ``AutoresetMode``:

    * ``SAME_STEP``, the default: in the same step. The observation is then of the new user, and
      ``infos['final_obs']`` (:class:`FinalObservations`) has the last one of the old user, with
      the responses to the last slate, where ``infos['_final_obs']`` is True.
    * ``NEXT_STEP``: in the next step, which shows this user nothing: the action has no effect,
      the reward is 0, and no metric counts it. Gymnasium's wrappers of observations need it.
    * ``DISABLED``: when ``reset`` is called with ``options={"reset_mask": mask}``, bools of shape
      (num_envs,), before the next step.

    In all three modes a user goes through the same episodes under the same slates. ``reset`` with
    a mask works in ``NEXT_STEP`` too; :class:`recsim.simulator.rollout.VectorRollout`, and so
    runners and ``simulate``, use it, so that there is no step without a slate.

    Subclasses call :meth:`_set_spaces`.

    Args:
        num_envs: number of users, at least 1.
        num_candidates: number of candidates that a user can be recommended.
        slate_size: number of documents in a slate.
        max_steps_per_episode: episodes are truncated after so many steps; None for no limit.
        first_user: number of the first user, which random numbers go by.
        observation: the form of observations, see :class:`recsim.spaces.ObservationForm`. This
            library's agents need 'nested'.
        action: the form of actions, see :class:`recsim.spaces.ActionForm`. This library's agents
            need 'slate'.
        autoreset_mode: a member of ``gymnasium.vector.AutoresetMode``, or its name or value.

    Raises:
        TypeError: if a size is not an integer.
        ValueError: if a size is below 1, the slate is larger than the candidate set, a form or mode
            is not known, or there are too many slates for ``action='discrete'``.
        MemoryError: if there is no memory for so many users and candidates.
    """

    metadata: dict[str, Any] = {
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    single_action_space: spaces.MultiDiscrete
    single_observation_space: spaces.Dict
    #: Whether a slate that has a candidate twice is refused. As in RecSim it is taken by default.
    distinct_slates: bool = False

    def __init__(
        self,
        num_envs: int,
        num_candidates: int,
        slate_size: int,
        max_steps_per_episode: int | None = None,
        first_user: int = 0,
        *,
        observation: str = "nested",
        action: str = "slate",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = validation.positive_int("num_envs", num_envs)
        self._num_candidates, self._slate_size = validation.candidates_and_slate(
            num_candidates, slate_size
        )
        # A slate's places, and of a user the reward, two ends, the number of the episode, its steps
        # and the return.
        self._check_memory(4 * self._num_candidates + self.num_envs * (8 * self._slate_size + 26))
        self.max_steps_per_episode = max_steps_per_episode
        self._first_user = validation.positive_int("first_user", first_user, 0)
        self._counted: np.ndarray | None = None
        self._actions = spaces_lib.ActionForm(action, self._num_candidates, self._slate_size)
        self.single_action_space = self._actions.space
        self._observation = observation

    def _set_spaces(self, single_observation_space: types.Space, dtype: np.dtype) -> None:
        """Sets the spaces of observations.

        Args:
            single_observation_space: the space of one user's nested observations.
            dtype: float32 or float64, of flat observations.
        """
        self._nested_space: Any = single_observation_space
        self._form = spaces_lib.ObservationForm(self._observation, single_observation_space, dtype)
        self._converts = self._observation != "nested"
        self.single_observation_space = self._form.space

    def _check_memory(self, needed: int) -> None:
        """Raises MemoryError if there are fewer bytes of memory than are needed."""
        resources.check_memory(
            needed,
            f"{resources.shown(self.num_envs)} users with {resources.shown(self._num_candidates)} "
            f"candidates and slates of {resources.shown(self._slate_size)}",
            "choose fewer users or candidates, or recsim.vector.simulate, which has a chunk of "
            "users at a time",
        )

    # The spaces of all users have arrays of bounds as large as an observation: only on demand.
    @functools.cached_property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """The space of the observations of all users."""
        return batch_space(self.single_observation_space, self.num_envs)  # type: ignore[return-value]

    @functools.cached_property
    def action_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of the slates of all users, integers of shape (num_envs, slate_size)."""
        return batch_space(self.single_action_space, self.num_envs)

    @property
    def num_candidates(self) -> int:
        """Number of candidates that a user can be recommended."""
        return self._num_candidates

    @property
    def slate_size(self) -> int:
        """Number of documents in a slate."""
        return self._slate_size

    @property
    def first_user(self) -> int:
        """Number of the first user."""
        return self._first_user

    @property
    def max_steps_per_episode(self) -> int | None:
        """Number of steps after which an episode is truncated; None for no limit."""
        return self._max_steps

    @max_steps_per_episode.setter
    def max_steps_per_episode(self, limit: int | None) -> None:
        if limit is not None:
            validation.positive_int("max_steps_per_episode", limit)
        self._max_steps = limit

    def _in_form(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns observations of all users in the form that was asked for."""
        if not self._converts:
            return observation
        converted: Any = self._form(observation, 1)
        of_form: dict[str, Any] = converted
        return of_form

    def _rows_to_reset(
        self, options: Mapping[str, Any] | None, seed: int | None, was_reset: bool
    ) -> np.ndarray | None:
        """Returns the rows of the users whom a reset is for; None for all.

        Args:
            options: what ``reset`` was called with.
            seed: likewise.
            was_reset: whether there was a reset of all users before.

        Raises:
            ValueError: for an option that is not known, or a mask that cannot be followed.
            TypeError: for a mask that is not an array of bools.
            RuntimeError: for a mask before there was a reset of all users.
        """
        if options is None or (isinstance(options, Mapping) and not options):
            return None
        if not isinstance(options, Mapping) or set(options) != {"reset_mask"}:
            raise ValueError(
                "options must be empty, or have 'reset_mask' alone: no others are known, got "
                f"{numbers.described(options)}."
            )
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            raise ValueError(
                "options must be empty where autoreset_mode is SAME_STEP, got a reset_mask: make "
                "the environment with autoreset_mode='DISABLED'."
            )
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(
                f"options['reset_mask'] must be an array of bools, got {numbers.described(mask)}."
            )
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have the shape (num_envs,) = ({self.num_envs},), and "
                f"True for a user at least, got {numbers.described(mask)}."
            )
        if seed is not None:
            raise ValueError(
                "seed must be None with a reset_mask: it is of all users, whose random streams go "
                f"together, got {numbers.described(seed)}."
            )
        if not was_reset:
            raise RuntimeError(
                "reset was called with a reset_mask before there was a reset of all users: call "
                "reset() first."
            )
        return np.flatnonzero(mask)

    def _check_all_are_reset(self, ended: np.ndarray) -> None:
        """Raises RuntimeError if autoreset is disabled, and an episode has ended without a reset.

        Args:
            ended: whose episode has ended, bools of shape (num_envs,).
        """
        if self.autoreset_mode == AutoresetMode.DISABLED and ended.any():
            raise RuntimeError(
                f"step was called although the episodes of {np.count_nonzero(ended)} users have "
                "ended: as autoreset_mode is DISABLED, call reset(options={'reset_mask': "
                "terminated | truncated}) before."
            )

    def _checked_slates(self, slates: object, was_reset: bool) -> np.ndarray:
        """Returns slates, shape (num_envs, slate_size).

        Args:
            slates: what ``step`` was called with: slates or, in another form, what makes them.
            was_reset: whether ``reset`` was called before.

        Raises:
            RuntimeError: if there was no reset before.
            TypeError: if the slates are not integers.
            ValueError: if they have another shape, or a candidate is twice in one of them although
                they are to be of different ones.
            IndexError: if an index points at no candidate.
        """
        if not was_reset:
            raise RuntimeError("step was called before reset: call reset() to start the episodes.")
        slates = self._actions.slates(slates, self.num_envs)
        try:
            array = np.asarray(slates)
        except ValueError:
            raise ValueError(
                f"actions must have {self._slate_size} documents for each of {self.num_envs} "
                "users, got lists of different lengths: slates of users in parallel are full."
            ) from None
        if array.dtype.kind not in "iu":
            raise TypeError(
                "actions must be integers (indices of candidates), got an array of dtype "
                f"{array.dtype}."
            )
        if array.shape != (self.num_envs, self._slate_size):
            raise ValueError(
                "actions must have the shape (num_envs, slate_size) = "
                f"({self.num_envs}, {self._slate_size}), got {array.shape}."
            )
        unsigned = _UNSIGNED.get(array.dtype)
        if unsigned is not None:
            is_outside = array.view(unsigned).max() >= self._num_candidates
        else:
            is_outside = array.min() < 0 or array.max() >= self._num_candidates
        if is_outside:
            raise IndexError(
                f"actions must hold indices of candidates, 0 to {self._num_candidates - 1}, got "
                f"{array.min()} to {array.max()}."
            )
        if self.distinct_slates:
            validation.distinct(array, range(self.first_user, self.first_user + self.num_envs))
        # NumPy takes no sums of these and signed integers.
        return array.astype(np.int64) if array.dtype == np.uint64 else array

    def count_metrics_of(self, users: np.ndarray | None) -> None:
        """Says whose slates count in the metrics from now on.

        Args:
            users: bools of shape (num_envs,); None for all, as in the beginning.
        """
        self._counted = users

    @property
    @abc.abstractmethod
    def metrics(self) -> Mapping[str, float]:
        """The metrics since they were last set to zero."""

    @abc.abstractmethod
    def reset_metrics(self) -> None:
        """Sets every metric to zero."""

    @property
    @abc.abstractmethod
    def metrics_writer(self) -> Callable[..., None] | None:
        """The function ``(metrics, add_summary_fn)`` that reports metrics, if there is one."""

    def write_metrics(self, add_summary_fn: Callable[[str, float], None]) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""
        if self.metrics_writer is not None:
            self.metrics_writer(collections.defaultdict(float, self.metrics), add_summary_fn)


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Returns a member of Gymnasium's ``AutoresetMode``, of which the name or the value is given.

    Raises:
        ValueError: for something else.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    for member in AutoresetMode:
        if mode in (member.name, member.value):
            return member
    names = [member.name for member in AutoresetMode]
    nearest = validation.nearest_name(str(mode).upper(), names)
    raise ValueError(
        f"autoreset_mode must be one of {', '.join(names)}, got {numbers.described(mode)}.{nearest}"
    )

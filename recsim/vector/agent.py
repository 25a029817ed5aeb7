"""The abstract class of vector agents: recommenders of many users at once."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from recsim._internal import numbers, observations, trees

__all__ = ["AbstractVectorAgent", "last_responses"]

Observation = dict[str, Any]

last_responses = observations.last_responses


class AbstractVectorAgent(abc.ABC):
    """A recommender of many users: maps observations and rewards to slates.

    Args:
        environment: the environment to recommend in: its spaces and its number of users count.

    Raises:
        TypeError: if it is no vector environment whose actions are slates.
    """

    #: See :attr:`recsim.agent.AbstractRecommenderAgent.state_settings`.
    state_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, environment: Any) -> None:
        space = getattr(environment, "single_action_space", None)
        nvec = getattr(space, "nvec", None)
        if nvec is None or np.ndim(nvec) != 1:
            raise TypeError(
                "environment must be a vector environment whose single_action_space is a "
                f"MultiDiscrete space of slates, got {environment!r}."
            )
        self._slate_size = len(nvec)
        self._num_candidates = int(nvec[0])
        self._num_envs: int = environment.num_envs
        self._document_keys = _keys(environment.single_observation_space["doc"])
        #: Number of the first user, which an agent's random numbers go by.
        self._first_user: int = getattr(environment.unwrapped, "first_user", 0)

    @property
    def uses_tensorflow(self) -> bool:
        """Whether the agent computes with TensorFlow, see :class:`recsim.parallel.Task`."""
        return False

    @property
    def num_envs(self) -> int:
        """Number of users."""
        return self._num_envs

    def begin(self, observation: Observation) -> np.ndarray:
        """Begins an episode with every user and returns the first slates.

        Args:
            observation: the observation of the environment's ``reset``, whose responses are to
                nothing.

        Returns:
            Slates as :meth:`step` returns them.
        """
        nobody = np.zeros(self._num_envs, np.bool_)
        rewards = np.zeros(self._num_envs, np.float32)
        return self.step(observation, rewards, nobody, nobody, {})

    def _check_users(self, observation: Observation) -> None:
        """Raises ValueError if an observation is not of the users and the world of the agent."""
        array: Any = observations.entry(observation, "doc")
        if _keys(array) != self._document_keys:
            raise ValueError(
                f"The agent was made for documents with {self._document_keys or 'no keys'}, got an "
                f"observation whose documents have {_keys(array) or 'no keys'}: make the agent for "
                "the environment that it recommends in."
            )
        array = trees.leaves(array)[0]
        if array.shape[:2] != (self._num_envs, self._num_candidates):
            raise ValueError(
                "The agent was made for num_envs, num_candidates = "
                f"{(self._num_envs, self._num_candidates)}, got an observation whose documents "
                f"have the shape {array.shape}: make the agent for the environment that it "
                "recommends in."
            )

    def _checked_outcome(
        self, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what came of the last slates: an entry for each user.

        Args:
            rewards: real finite numbers, shape (n_users,); an array of shape (n_users, 1) counts
                as its entries.
            terminated: bools of shape (n_users,).
            truncated: bools of shape (n_users,).

        Raises:
            TypeError: if they are of the wrong types.
            ValueError: if they are not of the agent's users, or a reward is not finite.
        """
        rewards = numbers.finite_per_user("rewards", rewards, self._num_envs)
        terminated = numbers.bool_per_user("terminated", terminated, self._num_envs)
        truncated = numbers.bool_per_user("truncated", truncated, self._num_envs)
        return rewards, terminated, truncated

    def _check_infos(self, infos: Mapping[str, Any], ended: np.ndarray) -> None:
        """Raises TypeError or ValueError if there are no last observations of sessions that ended.

        Args:
            infos: the environment's infos.
            ended: whose sessions ended, bools of shape (n_users,).
        """
        if not isinstance(infos, Mapping):
            raise TypeError(
                "infos must be the dictionary that the environment's step returned, got "
                f"{numbers.described(infos)}."
            )
        if "final_obs" in infos:
            self._check_users(observations.final_batch(infos))
        elif ended.any():
            raise ValueError(
                "infos must have the last observations, 'final_obs', where sessions ended, got "
                f"the keys {numbers.described(list(infos))} although {int(ended.sum())} did: pass "
                "the infos that the environment's step returned."
            )

    @abc.abstractmethod
    def step(
        self,
        observation: Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Takes in what the environment's ``step`` returned, and returns the next slates.

        Where a session ended, the observation is already that of a new user; the last one of the
        old user is in ``infos['final_obs'].batch`` (see :func:`last_responses`).

        Args:
            observation: arrays with the users on axis 0, with the keys ``user``, ``doc`` and
                ``response``.
            rewards: the rewards of the last slates, shape (n_users,).
            terminated: whose sessions ended, bools of shape (n_users,).
            truncated: whose sessions were cut at a length limit, bools of shape (n_users,).
            infos: the environment's infos.

        Returns:
            Indices into ``observation['doc']``, integers of shape (n_users, slate_size).

        Raises:
            TypeError, ValueError: in this library's agents, if the rewards are not a real finite
                number for each user, ``terminated`` or ``truncated`` not a bool for each, or
                infos lack the last observations that the agent needs.
        """

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict[str, Any]:
        """Returns the agent's state between two steps as data; by default there is none.

        What it knows of the sessions under way, such as a user's clicks so far, is part of it:
        the next call may be :meth:`step`.

        Args:
            checkpoint_dir: folder of the checkpoints, for files of the agent's own.
            iteration_number: the iteration that the checkpoint is of.
        """
        del checkpoint_dir, iteration_number
        return {}

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: dict[str, Any]
    ) -> bool:
        """Restores what :meth:`bundle_and_checkpoint` returned; False if it does not fit.

        A bundle of an agent that serves another number of users fits in as far as :meth:`begin`
        is called next, as evaluations do: what was learned is restored, and sessions under way
        are not.
        """
        del checkpoint_dir, iteration_number, bundle_dict
        return True


def _keys(documents: Any) -> list[str]:
    """Returns the names of what is observed of documents; none where it is an array."""
    return sorted(documents.keys()) if hasattr(documents, "keys") else []

"""Protocols: what the library asks of agents, environments and listeners, whatever their class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = [
    "Learner",
    "Observation",
    "RecommenderEnv",
    "Slate",
    "SlateAgent",
    "VectorAgent",
    "VectorEnv",
]

#: What is observed: entries ``user``, ``doc`` and ``response``, elements of any space.
Observation = dict[str, Any]

#: What one user is shown: indices into ``observation['doc']``.
Slate = Sequence[int]


class SlateAgent(Protocol):
    """A recommender in an environment of RecSim's kind, for one user or several."""

    def begin_episode(self, observation: Observation) -> Slate:
        """Begins an episode and returns its first slate; with several users, one for each."""

    def step(self, reward: float, observation: Observation) -> Slate:
        """Takes in the reward and the observation after the last slate; returns the next one."""

    def end_episode(self, reward: float, observation: Observation) -> None:
        """Takes in the last reward and observation of an episode.

        A method with a keyword ``truncated`` is told whether a limit has ended the episode, see
        :func:`recsim.agent.end_episode`.
        """


class RecommenderEnv(Protocol):
    """An environment of RecSim's kind, such as :class:`recsim.simulator.recsim_gym.RecSimGymEnv`.

    The reward of a step is a number; with several users, one for all or one for each.
    """

    def reset(self) -> Observation:
        """Begins an episode."""

    def step(self, action: Any) -> tuple[Observation, Any, bool, Any]:
        """Shows a slate; returns the observation, the reward, whether the episode ended, infos."""

    def reset_sampler(self) -> None:
        """Sets the samplers of documents and users back to their seeds."""

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""

    def update_metrics(self, responses: Any, info: Any = None) -> None:
        """Counts the observed responses of a step in the metrics."""

    def write_metrics(self, add_summary_fn: Callable[[str, float], None]) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""


class VectorAgent(Protocol):
    """A recommender of ``num_envs`` users in parallel.

    See :class:`recsim.vector.agent.AbstractVectorAgent`.
    """

    @property
    def num_envs(self) -> int:
        """Number of users."""

    def begin(self, observation: Observation) -> np.ndarray:
        """Begins an episode of every user and returns the first slates."""

    def step(
        self,
        observation: Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Takes in what the environment's ``step`` returned, and returns the next slates."""


class VectorEnv(Protocol):
    """An environment of ``num_envs`` users in parallel.

    See :class:`recsim.vector.env.SlateVectorEnv`.
    """

    num_envs: int

    def reset(self, *, seed: int | None = None) -> tuple[Observation, dict[str, Any]]:
        """Begins an episode of every user; returns observation and infos."""

    def step(
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows the slates; returns observation, rewards, terminated, truncated and infos."""

    def count_metrics_of(self, users: np.ndarray | None) -> None:
        """Says whose slates count in the metrics from now on; None for all users'."""

    def reset_metrics(self) -> None:
        """Sets every metric to zero."""

    def write_metrics(self, add_summary_fn: Callable[[str, float], None]) -> None:
        """Reports the metrics by calling ``add_summary_fn(tag, value)``."""


@runtime_checkable
class Learner(Protocol):
    """An agent that says how much it has learned.

    No agent has to be one. Where an agent is, :class:`recsim.simulator.runner_lib.TrainRunner` and
    ``recsim run`` tell of a training in which nothing was learned.
    """

    @property
    def num_updates(self) -> int:
        """Number of updates so far of what the agent knows, such as gradient steps."""

    @property
    def steps_without_update(self) -> int:
        """Number of training steps, of all users together, in which a new agent makes no update.

        A training that is no longer teaches the agent nothing. 0 if the first step may be learned
        from.
        """

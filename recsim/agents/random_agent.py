"""Agents that recommend documents at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsim import agent
from recsim._internal import arrays, observations, validation
from recsim.vector import agent as vector_agent
from recsim.vector import streams

__all__ = ["RandomAgent", "VectorRandomAgent"]


class RandomAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends a slate drawn uniformly at random, without repetition.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        random_seed: seed of the agent's generator.
    """

    def __init__(self, action_space: Any, random_seed: int | None = 0) -> None:
        super().__init__(action_space)
        self._rng = validation.random_state("random_seed", random_seed)

    def step(self, reward: float, observation: agent.Observation) -> list[int]:
        """Returns up to ``slate_size`` indices into ``observation['doc']``."""
        del reward
        try:
            documents = list(range(len(observation["doc"])))
        except (IndexError, KeyError, TypeError):
            raise observations.without_entry(observation, "doc") from None
        self._rng.shuffle(documents)
        return documents[: self._slate_size]


class VectorRandomAgent(vector_agent.AbstractVectorAgent):
    """Recommends slates drawn uniformly at random, without repetition, to many users.

    What a user gets depends on the seed and the user's number alone, see
    :mod:`recsim.vector.streams`.

    Args:
        environment: the vector environment to recommend in.
        random_seed: seed of the slates, an integer >= 0.
    """

    def __init__(self, environment: Any, random_seed: int = 0) -> None:
        super().__init__(environment)
        validation.positive_int("random_seed", random_seed, 0)
        self._streams = streams.chunk_streams(
            random_seed, "random agent", self._first_user, self._num_envs
        )

    def bundle_and_checkpoint(self, checkpoint_dir: str, iteration_number: int) -> dict[str, Any]:
        """Returns the states of the generators."""
        del checkpoint_dir, iteration_number
        return {"rng_states": [stream.state_dict() for stream in self._streams]}

    def unbundle(
        self, checkpoint_dir: str, iteration_number: int, bundle_dict: dict[str, Any]
    ) -> bool:
        """Restores the generators, if they are of as many chunks; False if there are none."""
        del checkpoint_dir, iteration_number
        if not agent.has_entry(self, bundle_dict, "rng_states"):
            return False
        streams.restore(self._streams, bundle_dict["rng_states"])
        return True

    def step(
        self,
        observation: agent.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.step`."""
        del observation, infos
        self._checked_outcome(rewards, terminated, truncated)
        slates = [stream.slates(self._num_candidates, self._slate_size) for stream in self._streams]
        return arrays.joined(slates)

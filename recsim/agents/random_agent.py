"""An agent that recommends documents at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsim import agent

__all__ = ["RandomAgent"]


class RandomAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends a slate drawn uniformly at random, without repetition.

    Args:
        action_space: the ``MultiDiscrete`` space of slates.
        random_seed: seed of the agent's generator.
    """

    def __init__(self, action_space: Any, random_seed: int | None = 0) -> None:
        super().__init__(action_space)
        self._rng = np.random.RandomState(random_seed)

    def step(self, reward: float, observation: agent.Observation) -> list[int]:
        """Returns up to ``slate_size`` indices into ``observation['doc']``."""
        del reward
        documents = list(range(len(observation["doc"])))
        self._rng.shuffle(documents)
        return documents[: self._slate_size]

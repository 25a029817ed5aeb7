"""How slates are sampled for users in parallel: here, or where the users are simulated."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsim import types
from recsim.agents import adapters
from recsim.agents.networks import item_scorers
from recsim.agents.policy_gradients import masked_slates

__all__ = ["Instruction", "SamplingPolicy"]


@dataclasses.dataclass(frozen=True)
class Instruction:
    """What slates of a step are sampled by.

    Attributes:
        scorer: what scores items.
        uniforms: random numbers in [0, 1), see
            :func:`recsim.agents.policy_gradients.masked_slates.sample`.
    """

    scorer: item_scorers.ItemScorer
    uniforms: np.ndarray


class SamplingPolicy:
    """Samples slates without replacement by a softmax of items' scores.

    Args:
        adapter: turns observations into features.
        slate_size: number of documents in a slate.
    """

    def __init__(self, adapter: adapters.ObservationAdapter, slate_size: int) -> None:
        self._adapter = adapter
        self._slate_size = slate_size

    def slates(self, observation: types.Observation, instruction: object) -> np.ndarray:
        """See :meth:`recsim.vector.agent.RolloutPolicy.slates`."""
        assert isinstance(instruction, Instruction)
        users, documents = self._adapter.features_of_many(observation)
        features, allowed = self._adapter.features_and_allowed_slates(documents)
        scores = instruction.scorer.scores(users, features)
        return masked_slates.sample(scores, instruction.uniforms, self._slate_size, allowed)

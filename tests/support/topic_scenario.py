"""A hand-made scenario of documents with topics and qualities, for agents without a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsim._internal.gym_import import spaces


class TopicScenario:
    """Spaces and observations of ``num_docs`` documents of ``num_topics`` topics."""

    def __init__(self, num_topics: int = 2, num_docs: int = 4, slate_size: int = 2) -> None:
        topic = spaces.Discrete(num_topics)
        quality = spaces.Box(low=0.0, high=np.inf, shape=(), dtype=np.float32)
        document = spaces.Dict({"cluster_id": topic, "quality": quality})
        response = spaces.Dict({"click": spaces.Discrete(2), "cluster_id": topic})
        self.observation_space = spaces.Dict(
            {
                "user": spaces.Box(low=0.0, high=1.0, shape=(1,), dtype=np.float32),
                "doc": spaces.Dict({str(i): document for i in range(num_docs)}),
                "response": spaces.Tuple((response,) * slate_size),
            }
        )
        self.action_space = spaces.MultiDiscrete([num_docs] * slate_size)

    def with_counts(self, num_arms: int, keys: Sequence[str] = ("impression_count", "click_count")):
        """Returns the observation space with counts of arms, as the statistics layer has it."""
        counts = spaces.Box(low=0.0, high=np.inf, shape=(num_arms,), dtype=np.float32)
        user = spaces.Dict(
            {
                "raw_observation": self.observation_space["user"],
                "sufficient_statistics": spaces.Dict(dict.fromkeys(keys, counts)),
            }
        )
        return spaces.Dict({**self.observation_space.spaces, "user": user})

    @staticmethod
    def observation(
        topics: Sequence[int] = (0, 1, 0, 1),
        qualities: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
        responses: Sequence[tuple[int, int]] | None = None,
        user: Any = None,
    ) -> dict[str, Any]:
        """Returns an observation; a response is a pair (click, topic)."""
        documents = {
            str(i): {"cluster_id": topic, "quality": np.array(quality)}
            for i, (topic, quality) in enumerate(zip(topics, qualities, strict=True))
        }
        if responses is not None:
            responses = tuple({"click": click, "cluster_id": topic} for click, topic in responses)
        return {
            "user": np.array([0.5]) if user is None else user,
            "doc": documents,
            "response": responses,
        }

    def observation_with_counts(
        self, impressions: Sequence[float], clicks: Sequence[float], **kwargs: Any
    ) -> dict[str, Any]:
        """Returns an observation with counts of arms, as the statistics layer makes it."""
        statistics = {"impression_count": np.array(impressions), "click_count": np.array(clicks)}
        user = {"raw_observation": np.array([0.5]), "sufficient_statistics": statistics}
        return self.observation(user=user, **kwargs)

    @staticmethod
    def indices(agent: Any, observation: Any) -> dict[tuple[int, ...], Any]:
        """Returns the indices of a tabular Q-learner's values for an observation, by slate."""
        return dict(agent._enumerate_state_action_indices(observation))


class QualityFan:
    """A user state that scores documents by their quality."""

    def score_document(self, document: Any) -> float:
        return float(document["quality"])

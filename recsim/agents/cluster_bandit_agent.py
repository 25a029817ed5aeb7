"""A bandit over topics: explores which topic a user clicks, plays its documents of best quality."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gin

from recsim import agent
from recsim.agents.bandits import algorithms
from recsim.agents.layers import abstract_click_bandit

__all__ = ["ClusterBanditAgent", "GreedyClusterAgent"]


@gin.configurable
class ClusterBanditAgent(abstract_click_bandit.AbstractClickBanditLayer):
    """A click bandit whose arms are the topics (clusters) of the documents.

    The bandit orders the topics by their clicks and impressions, which
    :class:`~recsim.agents.layers.cluster_click_statistics.ClusterClickStatsLayer` puts into the
    observation; within a topic the documents of the highest quality come first.

    Args:
        observation_space: space of the observations, whose documents have ``cluster_id``
            (``Discrete``) and ``quality``.
        action_space: the ``MultiDiscrete`` space of slates.
        alg_ctor: class of the bandit algorithm, a subclass of MABAlgorithm.
        ci_scaling: width of the confidence bounds, the bandit's ``optimism_scaling``.
        random_seed: seed of the bandit.
        **kwargs: arguments for the topics' agents.

    Raises:
        ValueError: as :class:`AbstractClickBanditLayer`, or if documents have no discrete
            ``cluster_id``.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        alg_ctor: Callable[..., algorithms.MABAlgorithm] = algorithms.UCB1,
        ci_scaling: float = 1.0,
        random_seed: int | None = 0,
        **kwargs: Any,
    ) -> None:
        document_space = next(iter(observation_space.spaces["doc"].spaces.values()))
        num_topics = getattr(getattr(document_space, "spaces", {}).get("cluster_id"), "n", None)
        if num_topics is None:
            raise ValueError(
                "observation_space['doc'] must have documents with a Discrete 'cluster_id', got "
                f"{document_space}."
            )
        arm_ctors = [functools.partial(GreedyClusterAgent, cluster_id=i) for i in range(num_topics)]
        super().__init__(
            observation_space,
            action_space,
            arm_ctors,
            alg_ctor=alg_ctor,
            ci_scaling=ci_scaling,
            random_seed=random_seed,
            **kwargs,
        )


class GreedyClusterAgent(agent.AbstractEpisodicRecommenderAgent):
    """Recommends all documents of one topic (cluster), by falling quality.

    Args:
        observation_space: space of the observations; not used.
        action_space: the ``MultiDiscrete`` space of slates.
        cluster_id: the topic.
        **kwargs: not used.
    """

    def __init__(
        self, observation_space: Any, action_space: Any, cluster_id: int, **kwargs: Any
    ) -> None:
        del observation_space, kwargs
        super().__init__(action_space)
        self._cluster_id = cluster_id

    def step(self, reward: float, observation: agent.Observation) -> list[int]:
        """Returns the topic's documents, best first, the later one first where two tie.

        Returns:
            Indices into ``observation['doc']``, of any number.
        """
        del reward
        qualities = {
            index: float(document["quality"])
            for index, document in enumerate(observation["doc"].values())
            if document["cluster_id"] == self._cluster_id
        }
        ascending = sorted(qualities, key=qualities.__getitem__)
        return ascending[::-1]

"""A layer that counts the impressions and clicks of each topic in an episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsim import agent
from recsim._gym import spaces
from recsim.agents.layers import sufficient_statistics

__all__ = ["ClusterClickStatsLayer"]


class ClusterClickStatsLayer(sufficient_statistics.SufficientStatisticsLayer):
    """Shows a base agent how often each topic (cluster) was shown and clicked in the episode.

    The statistics are ``{'impression_count': …, 'click_count': …}``, integer arrays of shape
    (num_clusters,). Every document belongs to one topic.

    Args:
        base_agent_ctor: constructor of the base agent.
        observation_space: space of the observations, whose responses have ``click`` and
            ``cluster_id``: a ``Discrete`` of as many values as there are topics, or a ``Box`` of
            one entry whose upper bound is the last topic.
        action_space: the ``MultiDiscrete`` space of slates.
        **kwargs: further arguments for the base agent.

    Raises:
        ValueError: if the responses have no ``click``, or no ``cluster_id`` of such a space.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        observation_space: Any,
        action_space: Any,
        **kwargs: Any,
    ) -> None:
        response_space = observation_space.spaces["response"].spaces[0]
        for key in ("click", "cluster_id"):
            if key not in response_space.spaces:
                raise ValueError(
                    f"observation_space['response'] must contain the key {key!r}, got responses "
                    f"with {sorted(response_space.spaces)}."
                )
        self._num_clusters = _num_clusters(response_space.spaces["cluster_id"])
        count_space = spaces.Box(
            low=0.0, high=np.inf, shape=(self._num_clusters,), dtype=np.float32
        )
        super().__init__(
            base_agent_ctor,
            observation_space,
            action_space,
            spaces.Dict({"impression_count": count_space, "click_count": count_space}),
            **kwargs,
        )

    def _create_observation(self) -> dict[str, np.ndarray]:
        return {key: counts.copy() for key, counts in self._sufficient_statistics.items()}

    def _update(self, observation: agent.Observation) -> None:
        if self._sufficient_statistics is None:
            self._sufficient_statistics = {
                "impression_count": np.zeros(self._num_clusters, dtype=int),
                "click_count": np.zeros(self._num_clusters, dtype=int),
            }
        impressions = self._sufficient_statistics["impression_count"]
        clicks = self._sufficient_statistics["click_count"]
        for response in observation["response"] or ():
            cluster_id = int(response["cluster_id"])
            impressions[cluster_id] += 1
            if response["click"]:
                clicks[cluster_id] += 1


def _num_clusters(cluster_id_space: spaces.Space) -> int:
    if isinstance(cluster_id_space, spaces.Discrete):
        return int(cluster_id_space.n)
    if isinstance(cluster_id_space, spaces.Box) and cluster_id_space.high.size == 1:
        last_cluster = cluster_id_space.high.item()
        if np.isfinite(last_cluster):
            return int(last_cluster) + 1
    raise ValueError(
        "cluster_id in observation_space['response'] must be a Discrete space, or a Box of one "
        f"entry and a finite upper bound, got {cluster_id_space}."
    )

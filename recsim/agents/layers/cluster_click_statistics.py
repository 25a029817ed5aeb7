"""A layer that counts the impressions and clicks of each topic in an episode."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsim import agent, types
from recsim._internal import bundles, numbers, observations
from recsim._internal.gym_import import spaces
from recsim.agents import agent_utils
from recsim.agents.layers import sufficient_statistics
from recsim.vector import agent as vector_agent

__all__ = ["ClusterClickStatsLayer", "VectorClusterClickStatsLayer"]


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
        observation_space: types.DictSpace,
        action_space: types.SlateSpace,
        **kwargs: Any,
    ) -> None:
        observations.check_space(observation_space, "user", "response")
        self._num_clusters = _num_clusters(observation_space.spaces["response"])
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

    def serving(self) -> agent.Serving:
        """See :meth:`recsim.agent.AbstractRecommenderAgent.serving`."""
        serving = self._serving_of_base_agents()
        if serving.response_fields is not None:
            counted = dict.fromkeys(("click", "cluster_id", *serving.response_fields))
            serving = dataclasses.replace(serving, response_fields=tuple(counted))
        return dataclasses.replace(serving, settings={"base_agent_ctor": self._base_agents[0]})

    def _create_observation(self) -> dict[str, np.ndarray]:
        return {key: counts.copy() for key, counts in self._sufficient_statistics.items()}

    def _check_statistics(self, statistics: object) -> None:
        entries = bundles.entries(
            self, "sufficient_statistics", statistics, "impression_count", "click_count"
        )
        shape = (self._num_clusters,)
        for key, counts in entries.items():
            bundles.array(self, f"sufficient_statistics[{key!r}]", counts, shape, "iuf")

    def _update(self, observation: types.Observation) -> None:
        if self._sufficient_statistics is None:
            self._sufficient_statistics = {
                "impression_count": np.zeros(self._num_clusters, dtype=int),
                "click_count": np.zeros(self._num_clusters, dtype=int),
            }
        impressions = self._sufficient_statistics["impression_count"]
        clicks = self._sufficient_statistics["click_count"]
        try:
            responses = observation["response"] or ()
        except (IndexError, KeyError, TypeError):
            raise observations.without_entry(observation, "response") from None
        counted = []
        for response in responses:
            clicked = observations.clicked(response)
            cluster_id = observations.of_response(response, "cluster_id")
            if type(cluster_id) is not int:
                cluster_id = numbers.as_int("a response's cluster_id", cluster_id)
            if not 0 <= cluster_id < self._num_clusters:
                raise ValueError(
                    f"a response's cluster_id must be in 0 to {self._num_clusters - 1}, as its "
                    f"space has it, got {cluster_id}."
                )
            counted.append((cluster_id, clicked))
        for cluster_id, clicked in counted:
            impressions[cluster_id] += 1
            if clicked:
                clicks[cluster_id] += 1


class VectorClusterClickStatsLayer(sufficient_statistics.VectorSufficientStatisticsLayer):
    """Does what :class:`ClusterClickStatsLayer` does, for users in parallel.

    The statistics are integer arrays of shape (n_users, num_clusters).

    Args:
        base_agent_ctor: constructor of the base agent, a vector agent: a function of an
            environment, whose observations have the statistics, and of the further arguments.
        environment: the environment to recommend in, whose responses have ``click`` and
            ``cluster_id``.
        **kwargs: further arguments for the base agent.

    Raises:
        ValueError: if the responses have no ``click``, or no ``cluster_id`` of a suitable space.
    """

    def __init__(
        self,
        base_agent_ctor: Callable[..., Any],
        environment: vector_agent.UsersAndSpaces,
        **kwargs: Any,
    ) -> None:
        super().__init__(environment)
        num_clusters = _num_clusters(self._single_user_space().spaces["response"])
        space = _space_of_counts(num_clusters)
        self._make_base_agent(base_agent_ctor, environment, space, kwargs)
        self._impressions = np.zeros((self._num_envs, num_clusters), np.int32)
        self._clicks = np.zeros((self._num_envs, num_clusters), np.int32)

    def single_user_agent(self) -> ClusterClickStatsLayer:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""
        space = self._single_user_space()
        return ClusterClickStatsLayer(self._create_single_user_base, space, self._made_for[1])

    def _update(self, responses: Mapping[str, Any]) -> None:
        topics = numbers.whole_per_item("responses' cluster_id", responses["cluster_id"], 2)
        clicked = observations.clicks_of_users(responses, (len(topics), topics.shape[1]))
        for rows in self._rows:
            _count(self._impressions[rows], topics[rows], 1)
            _count(self._clicks[rows], topics[rows], clicked[rows])

    def _forget(self, ended: np.ndarray | slice) -> None:
        self._impressions[ended] = 0
        self._clicks[ended] = 0

    def _create_observation(self) -> dict[str, np.ndarray]:
        return self._memory()

    def _memory(self) -> dict[str, np.ndarray]:
        return {"impression_count": self._impressions.copy(), "click_count": self._clicks.copy()}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "impression_count", "click_count")
        for name in ("impression_count", "click_count"):
            bundles.array(self, name, memory[name], self._impressions.shape, "iuf")

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._impressions[:] = 0 if memory is None else memory["impression_count"]
        self._clicks[:] = 0 if memory is None else memory["click_count"]


def _space_of_counts(num_clusters: int) -> types.Space:
    """Returns the space of one user's counts, of gymnasium."""
    from gymnasium import spaces as gymnasium_spaces

    count_space = gymnasium_spaces.Box(0.0, np.inf, (num_clusters,), np.float32)
    space: types.Space = gymnasium_spaces.Dict(
        {"impression_count": count_space, "click_count": count_space}
    )
    return space


def _count(counts: np.ndarray, cluster_id: np.ndarray, numbers: np.ndarray | int) -> None:
    """Adds numbers to users' counts of topics, in place.

    Args:
        counts: shape (n_users, num_clusters).
        cluster_id: topics, shape (n_users, slate_size).
        numbers: what to add, of the shape of ``cluster_id``, or a number.
    """
    # A view, for the counts of a range of users are contiguous.
    flat = counts.reshape(-1)
    starts = np.arange(0, counts.size, counts.shape[1])
    numbers = np.broadcast_to(numbers, cluster_id.shape)
    for topics, added in zip(cluster_id.T, numbers.T):
        flat[starts + topics] += added  # Every user's entry is another one.


def _num_clusters(response_space: types.Space) -> int:
    """Returns the number of topics that responses tell of."""
    fields = observations.fields_of_response(response_space, "click", "cluster_id")
    for key in ("click", "cluster_id"):
        if key not in fields:
            raise ValueError(
                f"observation_space['response'] must contain the key {key!r}, got responses "
                f"with {sorted(fields)}."
            )
    return agent_utils.number_of_topics("observation_space['response']", fields["cluster_id"])

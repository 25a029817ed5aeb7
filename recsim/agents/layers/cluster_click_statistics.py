"""A layer that counts the impressions and clicks of each topic in an episode."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recsim import agent, types
from recsim import spaces as spaces_lib
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
        for response in responses:
            cluster_id, click = response["cluster_id"], response["click"]
            if type(cluster_id) is not int:
                cluster_id = numbers.as_int("a response's cluster_id", cluster_id)
            if not 0 <= cluster_id < self._num_clusters:
                raise ValueError(
                    f"a response's cluster_id must be in 0 to {self._num_clusters - 1}, as its "
                    f"space has it, got {cluster_id}."
                )
            impressions[cluster_id] += 1
            if click if type(click) is int else numbers.is_nonzero("a response's click", click):
                clicks[cluster_id] += 1


class VectorClusterClickStatsLayer(vector_agent.ChunkedVectorAgent):
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
        observation_space = environment.single_observation_space
        single_user_space = spaces_lib.single_user_space(observation_space)
        num_clusters = _num_clusters(single_user_space.spaces["response"])
        environment_with_counts = _EnvironmentWithCounts(
            single_observation_space=_space_with_counts(observation_space, num_clusters),
            single_action_space=environment.single_action_space,
            num_envs=self._num_envs,
            first_user=self._first_user,
        )
        create = functools.partial(base_agent_ctor, environment_with_counts)
        self._base_agent = agent_utils.build_base_agent(create, {}, of_layer=type(self), **kwargs)
        self._impressions = np.zeros((self._num_envs, num_clusters), np.int32)
        self._clicks = np.zeros((self._num_envs, num_clusters), np.int32)

    def single_user_agent(self) -> ClusterClickStatsLayer:
        """See :meth:`recsim.vector.agent.AbstractVectorAgent.single_user_agent`."""

        def create_base_agent(**_: object) -> types.SlateAgent:
            base_agent: types.SlateAgent = self._base_agent.single_user_agent()
            return base_agent

        space = self._single_user_space()
        return ClusterClickStatsLayer(create_base_agent, space, self._made_for[1])

    @property
    def _base_agents(self) -> list[Any]:
        return [self._base_agent]

    def begin(self, observation: types.Observation) -> np.ndarray:
        """Forgets the statistics and begins an episode with every user."""
        self._check_users(observation)
        self._impressions[:] = 0
        self._clicks[:] = 0
        slates: np.ndarray = self._base_agent.begin(self._augmented(observation))
        return slates

    def step(
        self,
        observation: types.Observation,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        infos: Mapping[str, Any],
    ) -> np.ndarray:
        """Updates the statistics and returns the base agent's slates."""
        self._check_users(observation)
        rewards, terminated, truncated = self._checked_outcome(rewards, terminated, truncated)
        self._check_infos(infos, terminated | truncated)
        responses = vector_agent.last_responses(observation, infos)
        topics = numbers.whole_per_item("responses' cluster_id", responses["cluster_id"], 2)
        clicks = numbers.whole_per_item("responses' click", responses["click"], 2)
        for rows in self._rows:
            _count(self._impressions[rows], topics[rows], 1)
            _count(self._clicks[rows], topics[rows], clicks[rows])
        if "final_obs" in infos:
            from recsim.vector import env  # Which takes Gymnasium, as whoever made the infos does.

            ended = terminated | truncated
            final = self._augmented(infos["final_obs"].batch)
            infos = {**infos, "final_obs": env.FinalObservations(final, ended)}
            self._impressions[ended] = 0
            self._clicks[ended] = 0
        slates: np.ndarray = self._base_agent.step(
            self._augmented(observation), rewards, terminated, truncated, infos
        )
        return slates

    def propensities(
        self, observation: types.Observation, slate: types.Slate
    ) -> types.Propensities | None:
        """Returns those of the base agent, see :class:`recsim.types.KnowsPropensities`."""
        base: object = self._base_agent
        if not types.knows_propensities(base):
            return None
        return base.propensities(self._augmented(observation), slate)

    def _augmented(self, observation: types.Observation) -> types.Observation:
        statistics = {
            "impression_count": self._impressions.copy(),
            "click_count": self._clicks.copy(),
        }
        user = {"raw_observation": observation["user"], "sufficient_statistics": statistics}
        return {**observation, "user": user}

    def state_dict(self) -> types.State:
        """Returns the base agent's state and the statistics of the episodes under way."""
        return {**super().state_dict(), "base_agent_bundle": bundles.state_of(self._base_agent)}

    def load_state_dict(self, state: types.State) -> None:
        """Restores the base agent, and the statistics if they are of the same users.

        Raises:
            ValueError: if the state is of another agent, or the base agent refuses its own.
        """
        bundles.require(self, state, "users", "base_agent_bundle")
        self._check_state_of_users(state["users"])
        bundles.load(self._base_agent, state["base_agent_bundle"])
        self._load_state_of_users(state["users"])

    def _memory(self) -> types.State:
        return {"impression_count": self._impressions.copy(), "click_count": self._clicks.copy()}

    def _check_memory(self, memory: Mapping[str, Any]) -> None:
        bundles.entries(self, "users", memory, "impression_count", "click_count")
        for name in ("impression_count", "click_count"):
            bundles.array(self, name, memory[name], self._impressions.shape, "iuf")

    def _load_memory(self, memory: Mapping[str, Any] | None) -> None:
        self._impressions[:] = 0 if memory is None else memory["impression_count"]
        self._clicks[:] = 0 if memory is None else memory["click_count"]


@dataclasses.dataclass
class _EnvironmentWithCounts:
    """What a base agent is told of the environment."""

    single_observation_space: types.DictSpace
    single_action_space: types.SlateSpace
    num_envs: int
    first_user: int

    @property
    def unwrapped(self) -> _EnvironmentWithCounts:
        """The environment itself."""
        return self


def _space_with_counts(observation_space: types.DictSpace, num_clusters: int) -> types.DictSpace:
    """Returns the space of a user's observations with the statistics, one of gymnasium."""
    from gymnasium import spaces as gymnasium_spaces

    count_space = gymnasium_spaces.Box(0.0, np.inf, (num_clusters,), np.float32)
    parts: Mapping[str, Any] = observation_space.spaces
    user_space = {
        "raw_observation": parts["user"],
        "sufficient_statistics": gymnasium_spaces.Dict(
            {"impression_count": count_space, "click_count": count_space}
        ),
    }
    return gymnasium_spaces.Dict({**parts, "user": gymnasium_spaces.Dict(user_space)})


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
